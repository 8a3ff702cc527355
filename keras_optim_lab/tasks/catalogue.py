"""The built-in tasks by name."""

from keras_optim_lab.arguments import near_matches
from keras_optim_lab.tasks.built_in import (
    digits,
    generated,
    images,
    mnist1d,
    modular,
    photograph,
    quadratic,
    tabular,
    text,
)
from keras_optim_lab.tasks.built_in.declaration import BuiltInTask
from keras_optim_lab.tasks.task import Task

_DECLARED: dict[str, BuiltInTask] = {
    declared.name: declared
    for family in (
        digits,
        tabular,
        generated,
        mnist1d,
        text,
        photograph,
        modular,
        quadratic,
        images,
    )
    for declared in family.DECLARED
}


def names() -> list[str]:
    """The names of the built-in tasks.

        kol.tasks.names()    # ["digits-mlp", "digits-cnn", …]

    Returns:
        What `get` takes, in the order in which the command lists it.
    """
    return list(_DECLARED)


def get(name: str) -> Task:
    """Loads the built-in task of this name.

        task = kol.tasks.get("digits-mlp")
        model = task.build(kol.Adam(), seed=0)

    Args:
        name: one of `names()`.

    Returns:
        The task, with its data.

    Raises:
        TypeError: the name is no string.
        ValueError: there is no such task, or a data file is damaged.
        FileNotFoundError: a data set is not on this machine and cannot be downloaded.
        ModuleNotFoundError: the package that brings the data is not installed.
    """
    if not isinstance(name, str):
        raise TypeError(
            f"name={name!r}: a built-in task is asked for by its name, one of {', '.join(names())}."
        )
    if name not in _DECLARED:
        raise ValueError(
            f"There is no task {name!r}.{near_matches(name, names())} "
            f"The tasks are {', '.join(names())}."
        )
    return _DECLARED[name].task()


def task_of(given: Task | str) -> Task:
    """The task that is meant, by itself or by the name of a built-in one.

    Raises:
        TypeError: it is neither; for a name as `get`.
    """
    if isinstance(given, str):
        return get(given)
    if not isinstance(given, Task):
        raise TypeError(
            f"`task` must be the name of a task or a keras_optim_lab.Task. Received: task={given!r}"
        )
    return given


def is_built_in(task: Task) -> bool:
    """Whether `get` returns this task by its name: one that was changed keeps the name."""
    declared = _DECLARED.get(task.name)
    return declared is not None and declared.describes(task)


def describe() -> list[BuiltInTask]:
    """What is known of every built-in task without loading data or building a model.

        small = [task.name for task in kol.tasks.describe() if task.weights < 10_000]

    Returns:
        A row for each, with `name`, `summary`, `weights` (trainable), `samples` (training,
        validation and test), `batch_size` and `epochs`.
    """
    return list(_DECLARED.values())
