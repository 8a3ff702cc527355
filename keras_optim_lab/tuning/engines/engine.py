"""What engines train, and the only way in which they tell what came of it."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, Protocol

from optuna.trial import BaseTrial

from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.tasks import Task
from keras_optim_lab.tasks.folds import training_steps
from keras_optim_lab.tasks.splits import Fold
from keras_optim_lab.tuning.criterion import diverged
from keras_optim_lab.tuning.spaces.configuration import Configuration

_log = logging.getLogger("keras_optim_lab")


class Run(NamedTuple):
    """One training: its seed, of weights, batches and dropout, and its fold of the data, if any."""

    seed: int
    fold: Fold | None = None


def runs_of_a_trial(seed: int, repeats: int, folds: int | None) -> list[Run]:
    """As many runs as `repeats`, each with a seed of its own; with folds all of each partition."""
    if folds is None:
        return [Run(seed + i) for i in range(repeats)]
    each = [Fold(i, folds, repeat) for repeat in range(repeats) for i in range(folds)]
    return [Run(seed + i, fold) for i, fold in enumerate(each)]


@dataclass(eq=False)
class Candidate(ABC):
    """A configuration that waits to be trained, once in each of its runs.

    Used as a context: its training begins on entering it and has ended on leaving it.

    Attributes:
        configuration: the optimizer, its hyperparameters and the recipe.
        runs: its trainings, at least one.
        task: that it trains, with its own batch size and epochs.
        objective: the name of what it is judged by, among the logs of an epoch.
        trial: for a model that is built from it.
    """

    configuration: Configuration
    runs: Sequence[Run]
    task: Task
    objective: str
    trial: BaseTrial

    @property
    def steps(self) -> int | None:
        """Of the optimizer in the whole training; None where the task cannot tell."""
        fold = self.runs[0].fold
        return training_steps(self.task, None if fold is None else fold.count)

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

    @property
    def waits(self) -> bool:
        """Whether it is to be parked now that it does not go on, for what is learned of others."""
        return False

    def goes_on(self) -> bool:
        """Whether one that waits is to go on after all."""
        return False

    def record(self, **attributes: Any) -> None:
        """Keeps attributes with it, such as the engine that trains it."""
        return

    @abstractmethod
    def report(self, epoch: int, *logs: Mapping[str, float]) -> bool:
        """Takes one epoch (0, 1, …) of every run; returns whether training should go on.

        Args:
            epoch: that has ended.
            *logs: of each run, in the order of `runs`.

        Raises:
            KeyError: the logs do not hold the objective.
        """

    @abstractmethod
    def __enter__(self) -> "Candidate": ...
    @abstractmethod
    def __exit__(self, kind, error, traceback) -> None: ...


class EndedEpoch(NamedTuple):
    """What `Candidate.report` takes of one epoch, and of whom."""

    candidate: Candidate
    epoch: int
    logs: Sequence[Mapping[str, float]]


class Candidates(ABC, Iterator[Candidate]):
    """What there is to train, asked for one by one or several at a time.

    Attributes:
        structures: one configuration of each that needs a program of its own.
        runs: how many each of them has.
        folds: how many folds the data of every run are parted into; None if they are not.
        scheduled: whether some may have a schedule.
        at_once: how many may be in training at the same time; None for all, where none of them is
            chosen by the results of others.
        objective: the name of what they are judged by, among the logs of an epoch.
    """

    structures: list[Configuration]
    runs: int
    folds: int | None
    scheduled: bool
    at_once: int | None
    objective: str

    @property
    @abstractmethod
    def left(self) -> int:
        """How many there would be now, if none of those in training failed."""

    def take(self, count: int) -> Iterator[Candidate]:
        """The next ones: `count`, or those that are left."""
        return islice(self, count)

    def report(self, epochs: Iterable[EndedEpoch]) -> list[bool]:
        """Takes an epoch of each; returns, in their order, whether its training should go on."""
        return [candidate.report(epoch, *logs) for candidate, epoch, logs in epochs]

    def together(self) -> AbstractContextManager[None]:
        """Within it, all that is reported, ended and taken counts as one moment."""
        return nullcontext()


class Engine(Protocol):
    """Trains candidates of one task until there are no more.

    An engine draws from `candidates` whenever it has room, so it may train one at a time or many
    at once. What it reports of a candidate depends on that candidate's runs and configuration
    only, not on its neighbours.

    Attributes:
        name: what trials are marked with.
        summary: what the study keeps of how its trials were trained, once `run` has ended.
    """

    name: str
    summary: dict[str, Any]

    def run(self, task: Task, candidates: Candidates) -> None: ...


def leave_to(
    engine: Engine,
    task: Task,
    candidates: Any,
    reason: str,
    instead: str,
    level: int = logging.WARNING,
) -> dict[str, Any]:
    """Lets another engine train what one cannot, says so, and returns its summary."""
    _log.log(level, "task %r: %s%s.", task.name, reason, instead)
    engine.run(task, candidates)
    return {**engine.summary, "reason": reason}
