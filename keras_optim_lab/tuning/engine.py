"""Engines: what trains the candidates of a study."""

from collections.abc import Iterator
from typing import Protocol

from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning.candidate import Candidate


class Engine(Protocol):
    """Trains candidates of one task until there are no more.

    An engine draws from `candidates` whenever it has room, so it may train one at a time or many
    at once. What it reports of a candidate depends on that candidate's seed and hyperparameters
    only, not on its neighbours.
    """

    name: str

    def run(self, task: Task, candidates: Iterator[Candidate]) -> None: ...
