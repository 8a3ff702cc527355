"""Candidates one after the other, and the runs of each one after the other."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras

from keras_optim_lab.tuning.candidate import Candidate
from keras_optim_lab.tuning.interruption import raise_if_interrupted

Logs = Mapping[str, float]


class AtEpochEnd(keras.callbacks.Callback):
    """Hands on the logs of every epoch; ends the training when told that it should not go on."""

    def __init__(self, goes_on: Callable[[int, Logs], bool]):
        super().__init__()
        self._goes_on = goes_on

    def on_epoch_end(self, epoch, logs=None):
        if not self._goes_on(epoch, dict(logs or {})):
            self.model.stop_training = True
        elif epoch + 1 < self.params["epochs"]:  # a run that has ended is told first
            raise_if_interrupted()


Train = Callable[[Candidate, int, AtEpochEnd], None]


def train_one_by_one(engine: str, candidates: Iterable[Candidate], train: Train) -> dict[str, Any]:
    """Trains all candidates and returns what the study keeps of it.

    Args:
        engine: the name of the engine that trains them.
        candidates: drawn when the one before has been told.
        train: trains one run, called as `train(candidate, seed, callback)`.
    """
    begun = time.perf_counter()
    for candidate in candidates:
        with candidate:
            candidate.record(engine=engine, row=0, width=1)
            _train_runs(candidate, train)
    return {"engine": engine, "seconds": round(time.perf_counter() - begun, 3)}


def _train_runs(candidate: Candidate, train: Train) -> None:
    """Reports the last run while it trains, together with the kept curves of those before it.

    Only then is there a mean over all runs that pruners can compare with those of other trials.
    """
    *others, last = candidate.seeds
    curves: list[list[Logs]] = []
    for seed in others:
        curve: list[Logs] = []

        def keep(epoch: int, logs: Logs, curve: list[Logs] = curve) -> bool:
            curve.append(logs)
            return not candidate.diverges(logs)

        train(candidate, seed, AtEpochEnd(keep))
        curves.append(curve)
        if candidate.diverges(curve[-1]):
            # The trial has diverged, whatever the runs that are left would do.
            epoch = len(curve) - 1
            candidate.report(epoch, *(curve[epoch] for curve in curves))
            return
    train(
        candidate,
        last,
        AtEpochEnd(
            lambda epoch, logs: candidate.report(epoch, *(curve[epoch] for curve in curves), logs)
        ),
    )
