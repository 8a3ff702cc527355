"""What a comparison is to run, checked before any process is started."""

import io
import pickle
import shlex
import types
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_optim_lab import optimizers
from keras_optim_lab.arguments import near_matches, whole_number
from keras_optim_lab.backend.selection import BACKENDS, installed
from keras_optim_lab.comparison.built_in import built_in
from keras_optim_lab.keras_private import serialized
from keras_optim_lab.optimizers.catalogue import spelled
from keras_optim_lab.tasks import Task
from keras_optim_lab.tasks.catalogue import task_of
from keras_optim_lab.tasks.pipelines import is_pipeline

MOST_STEPS = 100_000  # after which nothing new is seen, and the loss of each is kept
_KEPT = 2**27  # bytes of weights that one run on one backend may leave on the disk


@dataclass(frozen=True)
class Method:
    """An optimizer to run: one of the catalogue, or the Keras built-in beside it.

    Attributes:
        label: what results call it: "adam", or "keras Adam".
        optimizer: name in the catalogue, also of a built-in's counterpart.
        config: the optimizer as Keras serializes it, hyperparameters included.
    """

    label: str
    optimizer: str
    config: dict[str, Any]

    @property
    def ours(self) -> bool:
        return self.label == self.optimizer


@dataclass(frozen=True)
class Tensor:
    """A trainable weight of the model, and where it lies in the vector of all of them."""

    name: str
    shape: tuple[int, ...]
    start: int

    @property
    def place(self) -> slice:
        return slice(self.start, self.start + int(np.prod(self.shape)))


@dataclass(frozen=True)
class Plan:
    """One task, the optimizers to run on it, and where.

    Attributes:
        pickled: the task for another process, where it is none of the built-in ones.
        backends, missing: those asked for that are installed, and that are not.
        steps: after which weights are compared.
        recorded: after which steps weights are kept: all up to the last if they are small enough.
        initial: first values of all weights of the model, in the order of `model.weights`.
        trainable: those of its trainable weights.
        tensors: how the trainable weights are called, and their place in a vector of all.
    """

    task: Task
    pickled: bytes | None
    methods: tuple[Method, ...]
    backends: tuple[str, ...]
    missing: tuple[str, ...]
    steps: tuple[int, ...]
    recorded: tuple[int, ...]
    seed: int
    learning_rate: float | None
    initial: list[np.ndarray]
    trainable: list[np.ndarray]
    tensors: tuple[Tensor, ...]

    @property
    def command(self) -> str:
        """How to run the same again."""
        names = [method.optimizer for method in self.methods if method.ours]
        backends = [name for name in BACKENDS if name in self.backends + self.missing]
        if self.pickled is not None:
            chosen = "" if self.learning_rate is None else f", learning_rate={self.learning_rate}"
            return (
                f"kol.compare_backends(task, {names}, backends={backends}, "
                f"steps={list(self.steps)}, seed={self.seed}{chosen})"
            )
        rate = [] if self.learning_rate is None else [f"--learning-rate={self.learning_rate}"]
        return shlex.join(
            [
                *("keras-optim-lab", "compare-backends", "--task", self.task.name),
                *("--optimizers", ",".join(names), "--backends", ",".join(backends)),
                *("--steps", ",".join(map(str, self.steps)), "--seed", str(self.seed), *rate),
            ]
        )


def make_plan(
    task: Task | str,
    names: Sequence[str] | None,
    backends: Sequence[str],
    steps: Sequence[int],
    seed: int,
    learning_rate: float | None,
) -> Plan:
    """Checks the arguments of `compare_backends` and draws the initial weights."""
    steps = _check_steps(steps)
    seed = whole_number("seed", seed, least=0)
    chosen = _check_backends(backends)
    methods = _methods(names, learning_rate)
    loaded = task_of(task)
    _check_task(loaded)
    pickled = None if isinstance(task, str) else _pickled(loaded)
    model = loaded.build_model(seed)
    tensors = _tensors(model)
    present = installed()
    return Plan(
        task=loaded,
        pickled=pickled,
        methods=methods,
        backends=tuple(name for name in chosen if name in present),
        missing=tuple(name for name in chosen if name not in present),
        steps=steps,
        recorded=recorded_steps(steps, 4 * tensors[-1].place.stop),
        seed=seed,
        learning_rate=learning_rate,
        initial=[np.array(weight) for weight in model.get_weights()],
        trainable=[np.array(ops.convert_to_numpy(v)) for v in model.trainable_variables],
        tensors=tensors,
    )


def recorded_steps(steps: Sequence[int], size: int) -> tuple[int, ...]:
    """Every step up to the last one, or as many as `size` bytes each leave room for.

    These lie closest at the start, where a difference that grows is first seen; those asked for
    are always among them.
    """
    last, room = max(steps), max(2, _KEPT // size)
    every = range(1, last + 1) if last <= room else np.geomspace(1, last, room).astype(int)
    return tuple(sorted({*map(int, every), *steps}))


def _methods(names: Sequence[str] | None, learning_rate: float | None) -> tuple[Method, ...]:
    if isinstance(names, str):
        names = [names]
    if names is not None and not list(names):
        raise ValueError(
            "optimizers=[] names none: pass names of the catalogue, or None for all of them."
        )
    known = [spelled(_check_word("optimizers", n)) for n in names or ()]
    rate = {} if learning_rate is None else {"learning_rate": learning_rate}
    methods = []
    for name in dict.fromkeys(known or optimizers.names()):
        ours = optimizers.get(name, **rate)
        methods.append(Method(name, name, serialized(ours)))
        theirs = built_in(ours)
        if theirs is not None:
            label = f"keras {_shown(name, theirs)}"
            # By its public home: its class lies elsewhere on every backend.
            config = {**serialized(theirs), "module": "keras.optimizers"}
            methods.append(Method(label, name, config))
    return tuple(methods)


def _shown(name: str, theirs: keras.optimizers.Optimizer) -> str:
    """The built-in's name; SGD has two roles, so that it needs one more word."""
    called = type(theirs).__name__
    return f"{called} {name}" if called == "SGD" and name == "momentum" else called


def _tensors(model: keras.Model) -> tuple[Tensor, ...]:
    tensors: list[Tensor] = []
    start = 0
    for weight in model.trainable_variables:
        name = weight.path.removeprefix(f"{model.name}/")
        if any(tensor.name == name for tensor in tensors):  # two layers may share a name
            name = f"{name} ({len(tensors)})"
        tensors.append(Tensor(name, tuple(weight.shape), start))
        start = tensors[-1].place.stop
    if not tensors:
        raise ValueError(f"The model of task {model.name!r} has no trainable weights to compare.")
    return tuple(tensors)


def _check_steps(steps: Any) -> tuple[int, ...]:
    given = steps if isinstance(steps, Sequence) else [steps]
    if isinstance(given, str) or not given:
        raise TypeError(f"steps={steps!r} must be whole numbers, such as steps=(1, 10, 100).")
    return tuple(sorted({whole_number("steps", step, most=MOST_STEPS) for step in given}))


def _check_backends(backends: Any) -> tuple[str, ...]:
    given = [backends] if isinstance(backends, str) else list(backends)
    if not given:
        raise ValueError(f"backends=[] names none: choose of {', '.join(BACKENDS)}.")
    for name in given:
        if _check_word("backends", name) not in BACKENDS:
            raise ValueError(
                f"backends={backends!r}: there is no backend {name!r}."
                f"{near_matches(name, BACKENDS)} There are {', '.join(BACKENDS)}."
            )
    return tuple(dict.fromkeys(given))


def _check_word(argument: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{argument}: {value!r} must be a name; pass a list of names.")
    return value


def _check_task(task: Task) -> None:
    if is_pipeline(task.train):
        raise ValueError(
            f"task={task!r} trains on a data pipeline, whose batches are its own: no two backends "
            "would be sure of the same ones. Pass its data as arrays."
        )
    if task.depends_on_trial:
        raise ValueError(
            f"task={task!r} builds its model from a trial, and here is none. Pass model=lambda: "
            "build(...) with the settings that you mean, as a function of a module."
        )


def _pickled(task: Task) -> bytes:
    """The task for another process, which imports its functions by their names."""
    content = io.BytesIO()
    try:
        _Pickler(content).dump(task)
    except Exception as error:
        raise TypeError(
            f"task={task!r} cannot be handed to the processes of the backends: {error}. Its model, "
            "loss and metrics must be functions that a module defines and that can be imported "
            "from it; or pass the name of a built-in task."
        ) from error
    return content.getvalue()


class _Pickler(pickle.Pickler):
    """Refuses what pickles by a name that means something else in another process."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, types.FunctionType | type) and obj.__module__ == "__main__":
            raise TypeError(f"{obj.__qualname__} is defined in the program itself (__main__)")
        return NotImplemented
