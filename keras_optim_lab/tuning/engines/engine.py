"""Engines: what trains the candidates of a study."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning.candidate import Candidate
from keras_optim_lab.tuning.spaces.configuration import Configuration


class Candidates(Protocol):
    """What there is to train, asked for one by one.

    Attributes:
        left: how many it would give now, if none of those in training failed.
        forms: one configuration of each that needs a program of its own.
        runs: how many seeds each is trained with.
        scheduled: whether some may have a schedule.
        sampled: whether later ones are chosen by the results of earlier ones.
        objective: the name of what they are judged by, among the logs of an epoch.
    """

    forms: list[Configuration]
    runs: int
    scheduled: bool
    sampled: bool
    objective: str

    @property
    def left(self) -> int: ...
    def together(self) -> AbstractContextManager[None]:
        """Within it, what is reported and told is kept back and then stored at once."""
        return nullcontext()

    def expect(self, count: int) -> None:
        """Says how many will be drawn within `together`, if there are as many."""
        return

    def flush(self) -> None:
        """Stores now what is kept back."""
        return

    def __iter__(self) -> Iterator[Candidate]: ...
    def __next__(self) -> Candidate: ...


class Engine(Protocol):
    """Trains candidates of one task until there are no more.

    An engine draws from `candidates` whenever it has room, so it may train one at a time or many
    at once. What it reports of a candidate depends on that candidate's seeds and configuration
    only, not on its neighbours.

    Attributes:
        name: what trials are marked with.
        summary: what the study keeps of how its trials were trained, once `run` has ended.
    """

    name: str
    summary: dict[str, Any]

    def run(self, task: Task, candidates: Candidates) -> None: ...
