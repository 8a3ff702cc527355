"""The plainest engine: a fresh model and `model.fit` for every trial."""

from collections.abc import Iterator

import keras

from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning.candidate import Candidate
from keras_optim_lab.tuning.session import fresh_session


class FitEngine:
    """Trains one candidate after the other, each with a model of its own."""

    name = "fit"

    def run(self, task: Task, candidates: Iterator[Candidate]) -> None:
        for candidate in candidates:
            with candidate:
                fresh_session()
                model = task.build(candidate.optimizer(), candidate.seed)
                task.fit(model, candidate.seed, callbacks=[_Report(candidate)])


class _Report(keras.callbacks.Callback):
    def __init__(self, candidate: Candidate):
        super().__init__()
        self.candidate = candidate

    def on_epoch_end(self, epoch, logs=None):
        if not self.candidate.report(epoch, logs or {}):
            self.model.stop_training = True
