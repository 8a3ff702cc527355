"""Candidates: what an engine trains, and the only way in which it tells what came of it."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import BaseTrial, FrozenTrial, TrialState

from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.tuning.criterion import Criterion, diverged
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.storages.abandoned import ERROR


class Candidate(ABC):
    """A configuration that waits to be trained, once with each of its seeds.

    Used as a context: its training begins on entering it and has ended on leaving it.

    Attributes:
        configuration: the optimizer, its hyperparameters and its schedule.
        seeds: of its runs, one for each: of their weights, batches and dropout.
        steps: of the optimizer in the whole training; None where the task cannot tell.
        objective: the name of what it is judged by, among the logs of an epoch.
        trial: for a model that is built from it.
    """

    def __init__(
        self,
        configuration: Configuration,
        seeds: Sequence[int],
        steps: int | None,
        objective: str,
        trial: BaseTrial,
    ):
        self.configuration = configuration
        self.seeds = tuple(seeds)
        self.steps = steps
        self.objective = objective
        self.trial = trial

    def optimizer(self) -> Optimizer:
        """A new optimizer of this configuration."""
        return self.configuration.optimizer(self.steps)

    def diverges(self, logs: Mapping[str, float]) -> bool:
        """Whether the objective or a loss in the logs of one run's epoch is not finite.

        Raises:
            KeyError: the logs do not hold the objective.
        """
        if self.objective not in logs:
            raise KeyError(
                f"objective={self.objective!r} is not in the logs of an epoch. "
                f"They hold: {', '.join(logs)}."
            )
        return diverged(logs, self.objective)

    @abstractmethod
    def record(self, **attributes: Any) -> None:
        """Keeps attributes with it, such as the engine that trains it."""

    @abstractmethod
    def report(self, epoch: int, *logs: Mapping[str, float]) -> bool:
        """Takes one epoch (0, 1, …) of every run; returns whether training should go on.

        Args:
            epoch: that has ended.
            *logs: of each run, in the order of `seeds`.

        Raises:
            KeyError: the logs do not hold the objective.
        """

    @abstractmethod
    def __enter__(self) -> "Candidate": ...
    @abstractmethod
    def __exit__(self, kind, error, traceback) -> None: ...


class StudyCandidate(Candidate):
    """A trial of a study, judged by the mean of its runs.

    On leaving its context the trial is told as complete, pruned or failed. A diverged trial is told
    as pruned, so that samplers learn to stay away from where it was, and carries the attribute
    `diverged`. Every trial keeps the `epochs` it was trained and the `seconds` from entering the
    context to leaving it.

    Attributes:
        number: of the trial in its study.
    """

    trial: optuna.Trial

    def __init__(
        self,
        study: optuna.Study,
        trial: optuna.Trial,
        objective: Criterion,
        configuration: Configuration,
        steps: int | None,
        seeds: Sequence[int],
        on_told: Callable[[FrozenTrial], None],
    ):
        super().__init__(configuration, seeds, steps, objective.name, trial)
        self.number = trial.number
        self._study = study
        self._on_told = on_told
        self._values: list[float] = []
        self._state = TrialState.COMPLETE
        self._given_up = False  # by others, who took this process for dead
        self._attributes: dict[str, Any] = {}
        self._begun = time.perf_counter()
        trial.set_user_attr("seed", self.seeds[0])

    def record(self, **attributes: Any) -> None:
        self._attributes.update(attributes)

    def report(self, epoch: int, *logs: Mapping[str, float]) -> bool:
        lost = any(map(self.diverges, logs))
        self.record(epochs=epoch + 1)
        if lost:
            self.record(diverged=True)
            self._state = TrialState.PRUNED
            return False
        self._values = [float(run[self.objective]) for run in logs]
        try:
            self.trial.report(self._mean, epoch)
            pruned = self.trial.should_prune()
        except UpdateFinishedTrialError:
            self._given_up = True
            return False
        if pruned:
            self._state = TrialState.PRUNED
        return not pruned

    @property
    def _mean(self) -> float:
        return sum(self._values) / len(self._values)

    def __enter__(self) -> "StudyCandidate":
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
