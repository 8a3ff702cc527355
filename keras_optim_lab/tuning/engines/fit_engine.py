"""The plainest engine: a fresh model and `model.fit` for every run."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras

from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning.engines.engine import Candidate, Run
from keras_optim_lab.tuning.engines.session import fresh_session
from keras_optim_lab.tuning.interruption import raise_if_interrupted

Logs = Mapping[str, float]


class FitEngine:
    """Trains one candidate after the other, each run with a model of its own.

    What other engines must agree with, and the only one for models that are built from the trial.
    """

    name = "fit"

    def __init__(self) -> None:
        self.summary: dict[str, Any] = {}

    def run(self, task: Task, candidates: Iterable[Candidate]) -> None:
        begun = time.perf_counter()
        for candidate in candidates:
            with candidate:
                candidate.record(engine=self.name, row=0, width=1)
                self._train(task, candidate)
        self.summary = {"engine": self.name, "seconds": round(time.perf_counter() - begun, 3)}

    def model(self, task: Task, candidate: Candidate, seed: int) -> keras.Model:
        """A compiled model that has not been trained, with the first values of this seed."""
        return task.build(candidate.optimizer(), seed, candidate.trial)

    def _train(self, task: Task, candidate: Candidate) -> None:
        """Reports the last run while it trains, together with the kept curves of those before it.

        Only then is there a mean over all runs that pruners can compare with those of other trials.
        """

        def fit(run: Run, goes_on: Callable[[int, Logs], bool]) -> None:
            fresh_session()
            model = self.model(task, candidate, run.seed)
            own = candidate.task
            data = own if run.fold is None else own.fold(run.fold)
            data.fit(model, run.seed, callbacks=[_AtEpochEnd(goes_on)])

        def report(epoch: int, *last: Logs) -> bool:
            return candidate.report(epoch, *(curve[epoch] for curve in curves), *last)

        curves: list[list[Logs]] = []
        for run in candidate.runs[:-1]:
            curve: list[Logs] = []

            def keep(epoch: int, logs: Logs, curve: list[Logs] = curve) -> bool:
                curve.append(logs)
                return not candidate.diverges(logs)

            fit(run, keep)
            curves.append(curve)
            if candidate.diverges(curve[-1]):
                # The trial has diverged, whatever the runs that are left would do.
                report(len(curve) - 1)
                return
        fit(candidate.runs[-1], report)


class _AtEpochEnd(keras.callbacks.Callback):
    """Hands on the logs of every epoch; ends the training when told that it should not go on."""

    def __init__(self, goes_on: Callable[[int, Logs], bool]):
        super().__init__()
        self._goes_on = goes_on

    def on_epoch_end(self, epoch, logs=None):
        if not self._goes_on(epoch, dict(logs or {})):
            self.model.stop_training = True
        elif epoch + 1 < self.params["epochs"]:  # a run that has ended is told first
            raise_if_interrupted()
