"""Names that a file gives: of tasks, optimizers and metrics."""

from collections.abc import Sequence
from typing import Any

from keras_optim_lab import tasks
from keras_optim_lab.arguments import near_matches
from keras_optim_lab.experiments.schema import Table, text
from keras_optim_lab.optimizers.catalogue import entry, spelled
from keras_optim_lab.tasks.built_in.declaration import BuiltInTask


def optimizer_name(value: Any) -> str:
    """The name of an optimizer, or of one with wrappers around it, as the catalogue writes it."""
    return spelled(text(value))


def catalogue_name(value: Any) -> str:
    """The name of an optimizer alone."""
    return entry(text(value)).name


def task_name(value: Any) -> str:
    """The name of a built-in task."""
    if text(value) not in tasks.names():
        raise ValueError(
            f"there is no task {value!r}.{near_matches(value, tasks.names())} "
            f"The tasks are {', '.join(tasks.names())}."
        )
    return value


def declaration_of(task: str) -> BuiltInTask:
    """What is known of a task without its data."""
    return next(declared for declared in tasks.describe() if declared.name == task)


def check_metric(table: Table, task: str, metric: str) -> None:
    """Checks the key `metric` of a table: the loss, or a metric that the task measures."""
    known = ["loss", *declaration_of(task).metrics]
    if metric not in known:
        raise table.error(
            f"{task} does not measure {metric!r}.{near_matches(metric, known)} "
            f"It measures: {', '.join(known)}.",
            "metric",
        )


def check_names(table: Table, names: Sequence[str]) -> None:
    """Checks that no two of a table's methods have the same name."""
    for i, method in enumerate(table.tables("methods")):
        if names[i] in names[:i]:
            raise method.error(f"two methods are called {names[i]!r}.", "name")
