"""Trainings with fresh seeds, judged on the test split and kept in an experiment's records."""

import math
from collections.abc import Sequence
from typing import Any

from keras_optim_lab import tasks
from keras_optim_lab.experiments import trainings as training
from keras_optim_lab.experiments.experiment import Experiment, OnProgress, Part
from keras_optim_lab.experiments.names import recipe_of
from keras_optim_lab.experiments.trainings import Curves, Training
from keras_optim_lab.tuning.evaluation import Runs


class FreshRuns:
    """The trainings of one task on the test split; of those that are there none is repeated."""

    def __init__(self, experiment: Experiment, task: str):
        self.recipe = recipe_of(task)
        self._experiment = experiment

    def part(self, what: str, wanted: Sequence[Training]) -> Part:
        return Part(what, len(wanted), len(wanted) - len(self._missing(wanted)))

    def train(self, what: str, wanted: Sequence[Training], on_progress: OnProgress) -> None:
        """Trains those that are missing; each is kept as soon as it has ended."""
        missing = self._missing(wanted)
        done = len(wanted) - len(missing)
        on_progress(what, done, len(wanted))
        if not missing:
            return
        task = training.judged_by_test(tasks.get(self.recipe.name))

        def keep(trained: Training, curves: Curves) -> None:
            nonlocal done
            result = {"curves": {name: _json(curve) for name, curve in curves.items()}}
            self._experiment.records.add(self._settings(trained), result, **self._experiment.stamp)
            done += 1
            on_progress(what, done, len(wanted))

        training.train(task, missing, keep)

    def runs(self, wanted: Sequence[Training], metric: str, epoch: int | None = None) -> Runs:
        """The results of trainings that are all there, after an epoch (the last by default).

        The curves are those of `metric`.
        """
        found = [self._experiment.records.find(self._settings(each)) for each in wanted]
        every = [result["curves"] for result in found if result is not None]
        last = epoch or self.recipe.epochs
        scores = {
            name: [_after(curves[name], curves["loss"], last) for curves in every]
            for name in sorted(every[0], key=lambda name: name != "loss")  # the loss first
        }
        curves = [[math.nan if v is None else v for v in curves[metric]] for curves in every]
        return Runs(wanted[0].method, scores, curves)

    def _missing(self, wanted: Sequence[Training]) -> list[Training]:
        found = self._experiment.records.find
        return [each for each in wanted if found(self._settings(each)) is None]

    def _settings(self, one: Training) -> dict[str, Any]:
        """All that the result of a training depends on."""
        chosen = one.configuration
        return {
            "experiment": self._experiment.name,
            "task": self.recipe.name,
            "epochs": self.recipe.epochs,
            "batch_size": self.recipe.batch_size,
            "split": "test",
            "method": one.method,
            "name": chosen.name,
            "hyperparameters": chosen.hyperparameters,
            "decay": chosen.decay,
            "warmup": chosen.warmup,
            "seed": one.seed,
            "backend": self._experiment.backend,
        }


def _after(curve: list[float | None], losses: list[float | None], epoch: int) -> float:
    """The value after an epoch, counted from 1; NaN for a run that had diverged by then."""
    if len(losses) < epoch or losses[epoch - 1] is None:
        return math.nan
    value = curve[epoch - 1]
    return math.nan if value is None else value


def _json(curve: Sequence[float]) -> list[float | None]:
    """The digits that float32 has, and null for what JSON has no number for."""
    return [float(f"{value:.8g}") if math.isfinite(value) else None for value in curve]
