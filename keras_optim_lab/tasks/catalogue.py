"""The built-in tasks by name."""

from keras_optim_lab.arguments import near_matches
from keras_optim_lab.tasks.built_in import digits, images, mnist1d, quadratic, tabular
from keras_optim_lab.tasks.built_in.declaration import BuiltInTask
from keras_optim_lab.tasks.task import Task

_DECLARED: dict[str, BuiltInTask] = {
    declared.name: declared
    for family in (digits, tabular, mnist1d, quadratic, images)
    for declared in family.DECLARED
}


def names() -> list[str]:
    """Returns the names of the built-in tasks."""
    return list(_DECLARED)


def get(name: str) -> Task:
    """Loads the built-in task of this name.

    Args:
        name: one of `names()`.

    Raises:
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


def describe() -> list[BuiltInTask]:
    """Returns what is known of every built-in task without loading data or building a model.

    Each row has `name`, `summary`, `weights` (trainable), `samples` (training, validation and
    test), `batch_size` and `epochs`.
    """
    return list(_DECLARED.values())
