"""What a study tries to improve: one number of each epoch's logs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from keras_optim_lab.arguments import near_matches
from keras_optim_lab.tasks import Task

Direction = Literal["minimize", "maximize"]

# Parts of the names of Keras's metrics and losses, by what happens as a model gets better.
_GROWING = (
    *("acc", "auc", "precision", "recall", "f1", "fbeta", "iou", "r2", "cosine"),
    *("sensitivity", "specificity", "correlation", "true_positives", "true_negatives"),
)
_FALLING = (
    *("loss", "error", "crossentropy", "divergence", "hinge", "poisson", "logcosh", "log_cosh"),
    *("mse", "mae", "mape", "msle", "huber", "dice", "tversky", "false_positives"),
    "false_negatives",
)


@dataclass(frozen=True)
class Criterion:
    """A name in the logs of `fit`, such as `val_loss`, and which way is better."""

    name: str
    direction: Direction

    @classmethod
    def of(cls, objective: "str | tuple[str, Direction] | Criterion", task: Task) -> "Criterion":
        """Completes and checks what a user gave.

        Raises:
            TypeError, ValueError: it is no name, names nothing that the task measures, or its
                direction is neither "minimize" nor "maximize".
        """
        if isinstance(objective, Criterion):
            return objective
        pair = objective if isinstance(objective, tuple) else (objective, None)
        name, direction = pair if len(pair) == 2 else (None, None)
        if not isinstance(name, str):
            raise TypeError(
                '`objective` must be a name such as "val_loss", or a pair such as '
                f'("val_f1", "maximize"). Received: objective={objective!r}'
            )
        known = _log_names(task)
        if known:
            _check_known(name, known, task)
        direction = direction or _direction(name)
        if direction not in ("minimize", "maximize"):
            raise ValueError(
                '`objective`: the direction must be "minimize" or "maximize". '
                f"Received: {direction!r}"
            )
        return cls(name, direction)

    @property
    def given(self) -> "str | tuple[str, Direction]":
        """What gives it again: its name, or a pair where that does not tell this direction."""
        try:
            told = _direction(self.name) == self.direction
        except ValueError:
            told = False
        return self.name if told else (self.name, self.direction)

    def rank(self, values: Sequence[float]) -> float:
        """By what settings are ranked after several runs: less is better, and divergence worst."""
        mean = float(np.mean(values))
        if not math.isfinite(mean):
            return math.inf
        return -mean if self.direction == "maximize" else mean

    def order(self, values: Sequence[float]) -> tuple[float, float]:
        """By what settings are sorted after several runs: who diverges less, then who is better."""
        finite = [value for value in values if math.isfinite(value)]
        return 1 - len(finite) / len(values), self.rank(finite or values)

    def check_measured(self, axes: Mapping[str, int], task: Task) -> None:
        """Checks the name against all that a model of the task measures.

        Args:
            axes: by the name of each metric, how many its result has; 0 is one number.
            task: for the message.
        """
        known = [prefix + name for prefix in ("val_", "") for name in axes]
        _check_known(self.name, known, task)
        if axes.get(self.name, axes.get(self.name.removeprefix("val_"))):
            raise ValueError(_several(self.name))


def _check_known(name: str, known: list[str], task: Task) -> None:
    if name not in known:
        raise ValueError(
            f"objective={name!r} is not among what task {task.name!r} measures."
            f"{near_matches(name, known)} It measures: {', '.join(known)}."
        )


def _several(name: str) -> str:
    return (
        f"objective={name!r} has several numbers, and a trial is judged by one. Let the metric "
        'take their mean, as F1Score(average="macro") does, or choose another objective.'
    )


def diverged(logs: Mapping[str, float], objective: str) -> bool:
    """Whether the objective or a loss is no longer finite in the logs of an epoch.

    Raises:
        ValueError: the objective is not one number.
    """
    if np.ndim(logs.get(objective, 0.0)):
        raise ValueError(_several(objective))
    losses = {objective, "loss", "val_loss"} & logs.keys()
    return any(not math.isfinite(logs[name]) for name in losses)


def _direction(name: str) -> Direction:
    if any(part in name for part in _GROWING):
        return "maximize"
    if any(part in name for part in _FALLING):
        return "minimize"
    raise ValueError(
        f"objective={name!r} does not tell which way is better: give the pair "
        f'({name!r}, "maximize") or ({name!r}, "minimize").'
    )


def _log_names(task: Task) -> list[str]:
    """What the logs of an epoch will hold, or nothing when only training will tell."""
    if isinstance(task.loss, list | tuple | dict) or isinstance(task.metrics, dict):
        return []
    names = ["loss", *map(_metric_name, task.metrics)]
    if any(name is None for name in names):
        return []
    return [prefix + str(name) for prefix in ("val_", "") for name in names]


def _metric_name(metric: Any) -> str | None:
    if isinstance(metric, str):
        return metric
    return getattr(metric, "name", None) or getattr(metric, "__name__", None)
