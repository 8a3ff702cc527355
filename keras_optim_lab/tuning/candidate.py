"""Candidates: the trials of a study while an engine trains them."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.tuning.abandoned import ERROR
from keras_optim_lab.tuning.configuration import Configuration
from keras_optim_lab.tuning.objective import Objective, diverged


class Candidate:
    """A configuration that waits to be judged, and the only way in which engines tell Optuna.

    Used as a context: on leaving it the trial is told as complete, pruned or failed. A diverged
    trial is told as pruned, so that samplers learn to stay away from where it was, and carries
    the attribute `diverged`. Every trial keeps the `epochs` it was trained and the `seconds` from
    entering the context to leaving it.

    Attributes:
        number: of the trial in its study.
        seeds: of its runs, one for each: of their weights, batches and dropout.
        configuration: the optimizer, its hyperparameters and its schedule.
        steps: of the optimizer in the whole training; None where the task cannot tell.
        trial: for a model that is built from it.
    """

    def __init__(
        self,
        study: optuna.Study,
        trial: optuna.Trial,
        objective: Objective,
        configuration: Configuration,
        steps: int | None,
        seeds: Sequence[int],
        on_told: Callable[[FrozenTrial], None],
    ):
        self.number = trial.number
        self.seeds = tuple(seeds)
        self.configuration = configuration
        self.steps = steps
        self.trial = trial
        self._study = study
        self._objective = objective
        self._on_told = on_told
        self._values: list[float] = []
        self._state = TrialState.COMPLETE
        self._given_up = False  # by others, who took this process for dead
        self._attributes: dict[str, Any] = {}
        self._begun = time.perf_counter()
        trial.set_user_attr("seed", self.seeds[0])

    def optimizer(self) -> Optimizer:
        """A new optimizer of this configuration."""
        return self.configuration.optimizer(self.steps)

    def record(self, **attributes: Any) -> None:
        """Keeps attributes with the trial, such as the engine that trains it."""
        self._attributes.update(attributes)

    def report(self, epoch: int, *logs: Mapping[str, float]) -> bool:
        """Records one epoch (0, 1, …) of every run; returns whether training should go on.

        Args:
            epoch: that has ended.
            *logs: of each run, in the order of `seeds`; the trial is judged by their mean.

        Raises:
            KeyError: the logs do not hold the study's objective.
        """
        if self._objective.name not in logs[0]:
            raise KeyError(
                f"objective={self._objective.name!r} is not in the logs of an epoch. "
                f"They hold: {', '.join(logs[0])}."
            )
        self.record(epochs=epoch + 1)
        if any(map(self.diverges, logs)):
            self.record(diverged=True)
            self._state = TrialState.PRUNED
            return False
        self._values = [float(run[self._objective.name]) for run in logs]
        try:
            self.trial.report(self._mean, epoch)
            pruned = self.trial.should_prune()
        except UpdateFinishedTrialError:
            self._given_up = True
            return False
        if pruned:
            self._state = TrialState.PRUNED
        return not pruned

    def diverges(self, logs: Mapping[str, float]) -> bool:
        """Whether the objective or a loss in the logs of one run's epoch is not finite."""
        return diverged(logs, self._objective.name)

    @property
    def _mean(self) -> float:
        return sum(self._values) / len(self._values)

    def __enter__(self) -> "Candidate":
        self._begun = time.perf_counter()
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if self._given_up:
            return
        self.record(seconds=round(time.perf_counter() - self._begun, 3))
        if error is not None:
            self.record(**{ERROR: f"{kind.__name__}: {error}"})
            self._state = TrialState.FAIL
        if len(self._values) > 1:
            self.record(values=self._values, spread=float(np.std(self._values, ddof=1)))
        for name, value in self._attributes.items():
            self.trial.set_user_attr(name, value)
        if self._state == TrialState.COMPLETE:
            self._on_told(self._study.tell(self.trial, self._mean))
        elif self._state == TrialState.PRUNED:
            self._on_told(self._study.tell(self.trial, state=TrialState.PRUNED))
        else:
            self._study.tell(self.trial, state=TrialState.FAIL)
