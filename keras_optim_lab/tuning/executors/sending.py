"""A task as bytes, for other processes."""

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from keras_optim_lab.tasks import Task


def pickled(task: Task) -> bytes:
    """The task with all that its functions refer to, those of a script or a notebook as well.

    Raises:
        ImportError: cloudpickle is not installed.
        TypeError: a part of it cannot be sent; the error says which.
    """
    import cloudpickle

    try:
        return cloudpickle.dumps(task)
    except Exception as error:
        every = {each.name: getattr(task, each.name) for each in dataclasses.fields(task)}
        parts = ", ".join(_unsendable(every)) or "one of its parts"
        raise TypeError(
            f"task {task.name!r} cannot be sent to another process: {parts} ({error}). Let the "
            "model's builder open or make what cannot be sent, and give data as arrays or as a "
            "keras.utils.PyDataset; or train without `workers` and `executor`."
        ) from None


def _unsendable(named: Mapping[str, Any]) -> Iterator[str]:
    """Those that cannot be pickled, of a function what it refers to."""
    import cloudpickle

    for name, value in named.items():
        try:
            cloudpickle.dumps(value)
        except Exception:
            inner = [*_unsendable(_referred(value))]
            if inner:
                yield from (f"{each} in {name}" for each in inner)
            else:
                yield f"{name}, a {type(value).__module__}.{type(value).__qualname__}"


def _referred(value: Any) -> dict[str, Any]:
    """What a function refers to, by name, or what a tuple, list or dict holds."""
    if inspect.isfunction(value):
        found = inspect.getclosurevars(value)
        return {**found.globals, **found.nonlocals}
    if isinstance(value, Mapping):
        return {str(name): each for name, each in value.items()}
    if isinstance(value, list | tuple):
        return {f"item {i}": each for i, each in enumerate(value)}
    return {}
