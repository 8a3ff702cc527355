"""The plainest engine: a fresh model and `model.fit` for every run."""

from collections.abc import Iterable
from typing import Any

from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning.candidate import Candidate
from keras_optim_lab.tuning.engines.one_by_one import AtEpochEnd, train_one_by_one
from keras_optim_lab.tuning.engines.session import fresh_session


class FitEngine:
    """Trains one candidate after the other, each run with a model of its own.

    What other engines must agree with, and the only one for models that are built from the trial.
    """

    name = "fit"

    def __init__(self) -> None:
        self.summary: dict[str, Any] = {}

    def run(self, task: Task, candidates: Iterable[Candidate]) -> None:
        def train(candidate: Candidate, seed: int, at_epoch_end: AtEpochEnd) -> None:
            fresh_session()
            model = task.build(candidate.optimizer(), seed, candidate.trial)
            task.fit(model, seed, callbacks=[at_epoch_end])

        self.summary = train_one_by_one(self.name, candidates, train)
