"""Trainings with fresh seeds, judged on the test split and kept in an experiment's records."""

import math
from collections.abc import Sequence
from typing import Any

from keras_optim_lab import tasks
from keras_optim_lab.experiments.experiment import Experiment
from keras_optim_lab.experiments.names import declaration_of
from keras_optim_lab.experiments.parts import OnProgress, Part
from keras_optim_lab.reports.writing import or_none
from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning.evaluation import Runs
from keras_optim_lab.tuning.repetitions import Curves, Training, of_split, train


class FreshRuns:
    """The trainings of one task on the test split; of those that are there none is repeated."""

    def __init__(self, experiment: Experiment, task: str):
        self.declared = declaration_of(task)
        self._experiment = experiment
        self._task: Task | None = None

    def task(self) -> Task:
        """Its data are read when they are first needed."""
        if self._task is None:
            self._task = tasks.get(self.declared.name)
        return self._task

    def part(self, what: str, wanted: Sequence[Training]) -> Part:
        return Part(what, len(wanted), len(wanted) - len(self._missing(wanted)))

    def train(self, what: str, wanted: Sequence[Training], on_progress: OnProgress) -> None:
        """Trains those that are missing; each is kept as soon as it has ended."""
        missing = self._missing(wanted)
        there = len(wanted) - len(missing)
        on_progress(what, there, len(wanted))
        if not missing:
            return  # before the data are read

        def keep(trained: Training, curves: Curves) -> None:
            result = {
                "curves": {name: [*map(or_none, curve)] for name, curve in of_split(curves).items()}
            }
            self._experiment.records.add(self._settings(trained), result, **self._experiment.stamp)

        train(
            self.task(),
            missing,
            split="test",
            on_done=keep,
            on_progress=lambda done, _: on_progress(what, there + done, len(wanted)),
        )

    def runs(self, wanted: Sequence[Training], metric: str, epoch: int | None = None) -> Runs:
        """The results of trainings that are all there, after an epoch (the last by default).

        The curves are those of `metric`.
        """
        every = []
        for settings in map(self._settings, wanted):
            result = self._experiment.records.find(settings)
            if result is not None:
                curves, epochs = result["curves"], settings["epochs"]
                every.append({name: _numbers(each, epochs) for name, each in curves.items()})
        return Runs.of(wanted[0].method, every, metric, epoch)

    def _missing(self, wanted: Sequence[Training]) -> list[Training]:
        found = self._experiment.records.find
        return [each for each in wanted if found(self._settings(each)) is None]

    def _settings(self, one: Training) -> dict[str, Any]:
        """All that the result of a training depends on."""
        chosen = one.configuration
        return {
            "experiment": self._experiment.name,
            "task": self.declared.name,
            "epochs": chosen.recipe.epochs or self.declared.epochs,
            "batch_size": chosen.recipe.batch_size or self.declared.batch_size,
            "split": "test",
            "method": one.method,
            "name": chosen.name,
            "hyperparameters": chosen.hyperparameters,
            "decay": chosen.recipe.schedule,
            "warmup": chosen.recipe.warmup,
            "seed": one.seed,
            "backend": self._experiment.backend,
        }


def _numbers(curve: Sequence[float | None], epochs: int) -> list[float]:
    """NaN for null, and after the end of a run that diverged before so many epochs."""
    missing = [None] * (epochs - len(curve))
    return [math.nan if value is None else value for value in [*curve, *missing]]
