"""Whether the trials of a study are cross-validated, and over how many folds."""

import logging
from typing import Any, Literal

import optuna

from keras_optim_lab.arguments import whole_number
from keras_optim_lab.tasks import Task
from keras_optim_lab.tasks.splits import Fold, length
from keras_optim_lab.tuning import plan
from keras_optim_lab.tuning.criterion import Criterion

Folds = int | Literal["auto"] | None

# With so many validation samples settings can be told apart by these alone.
ENOUGH_SAMPLES = 500
_FOLDS = 5

_log = logging.getLogger("keras_optim_lab")


def check_folds(task: Task, folds: Any) -> None:
    """Refuses a number of folds that the task cannot be parted into.

    Raises:
        TypeError, ValueError: it is no such number.
    """
    if folds is not None and folds != "auto":
        task.folds.check(Fold(0, whole_number("folds", folds, least=2, what='"auto" or None')))


def folds_for(task: Task, objective: Criterion, folds: Folds) -> int | None:
    """As many as were asked for; for "auto" those that suit the task.

    Raises:
        TypeError, ValueError: the task cannot be parted into so many.
    """
    check_folds(task, folds)
    return suitable(task, objective) if folds == "auto" else folds


def folds_of(study: optuna.Study, task: Task, objective: Criterion, folds: Folds) -> int | None:
    """How many folds a study has: for "auto" those that it has begun with or that suit the task."""
    if folds != "auto":
        return folds
    begun = study.user_attrs.get(plan.PLAN)
    return suitable(task, objective) if begun is None else begun.get("folds")


def suitable(task: Task, objective: Criterion) -> int | None:
    """The default, where a small validation split is all that trials would be judged by."""
    judged_by_validation = objective.name.startswith("val_")
    if task.streams or task.depends_on_trial or not judged_by_validation:
        return None
    samples = length(task.validation)
    if samples >= ENOUGH_SAMPLES:
        return None
    few = f"task {task.name!r}: {samples} validation samples are few to tell settings apart by"
    try:
        task.folds.check(Fold(0, _FOLDS))
    except ValueError as error:
        _log.info("%s, and cannot be parted into %d folds: %s", few, _FOLDS, error)
        return None
    _log.info(
        "%s; all settings are cross-validated over %d folds of them and the training samples, by "
        "training them %d times. folds=None turns this off.",
        *(few, _FOLDS, _FOLDS),
    )
    return _FOLDS
