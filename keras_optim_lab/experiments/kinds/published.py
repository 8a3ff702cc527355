"""Experiments that stand beside published results: given settings, many seeds, named epochs."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from keras_optim_lab.experiments import experiment_figures as figures
from keras_optim_lab.experiments import schema
from keras_optim_lab.experiments.experiment import Experiment
from keras_optim_lab.experiments.file import Common
from keras_optim_lab.experiments.fresh_runs import FreshRuns
from keras_optim_lab.experiments.names import (
    check_metric,
    check_names,
    declaration_of,
    optimizer_name,
    task_name,
)
from keras_optim_lab.experiments.parts import OnProgress, Part
from keras_optim_lab.experiments.schema import Keys, Table, key
from keras_optim_lab.reports.html import Page
from keras_optim_lab.reports.report import call, mean_and_spread, over_seeds
from keras_optim_lab.reports.writing import plus_minus
from keras_optim_lab.tuning.evaluation import Runs
from keras_optim_lab.tuning.repetitions import Training
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.spaces.template import Template


def _results(value: Any) -> dict[int, tuple[float, float]]:
    """By epoch, the published mean and standard deviation, which is NaN where none is given."""
    found = {}
    for epoch, result in schema.table(value).items():
        if not epoch.isdecimal() or int(epoch) < 1:
            raise ValueError(f"its keys are epochs, from 1. Received: {epoch!r}")
        parts = result if isinstance(result, list) else [result]
        try:
            mean, *rest = map(schema.number, parts)
            (spread,) = rest or [math.nan]
        except (TypeError, ValueError):
            raise TypeError(
                f"epoch {epoch} takes a mean, or [mean, standard deviation]. Received: {result!r}"
            ) from None
        found[int(epoch)] = (mean, spread)
    if not found:
        raise ValueError("must hold a number for at least one epoch, such as { 100 = 87.1 }")
    return found


@dataclass(frozen=True, kw_only=True)
class Method(Keys):
    """An optimizer with its settings, and what others have found with them."""

    name: str = key(schema.text)
    optimizer: str = key(optimizer_name)
    settings: dict[str, Any] = key(schema.table, {})
    published: dict[int, tuple[float, float]] = key(_results)
    source: str = key(schema.text)

    def check(self, table: Table) -> None:
        make = Template.of(self.optimizer).make
        settings = table.table("settings")
        for name, value in self.settings.items():
            settings.check(name, make, {name: value})
        table.check("settings", make, self.settings)


@dataclass(frozen=True, kw_only=True)
class PublishedKeys(Common):
    task: str = key(task_name)
    seeds: int = key(schema.whole(1, 1000))
    seed: int = key(schema.whole(0, 2**31 - 1), 0)
    metric: str = key(schema.text, "loss")
    tolerance: float = key(schema.positive, 0.01)
    methods: list[Method] = key(schema.tables, each=Method)

    def check(self, table: Table) -> None:
        check_metric(table, self.task, self.metric)
        check_names(table, [method.name for method in self.methods])
        epochs = declaration_of(self.task).epochs
        for method, own in zip(self.methods, table.tables("methods"), strict=True):
            for epoch in method.published:
                if epoch > epochs:
                    raise own.table("published").error(
                        f"{self.task} is trained for {epochs} epochs. Received: {epoch}", str(epoch)
                    )


@dataclass(frozen=True)
class Compared:
    """A published mean, and our runs until the same epoch."""

    method: Method
    epoch: int
    mean: float
    spread: float
    runs: Runs
    difference: float

    @property
    def share(self) -> float:
        return self.difference / self.mean


class Published(Experiment[PublishedKeys]):
    """Optimizers with given settings, and the difference to what others have published."""

    reads = PublishedKeys

    def prepare(self) -> None:
        self._runs = FreshRuns(self, self.keys.task)

    def parts(self) -> list[Part]:
        return [self._runs.part(m.name, self._trainings(m)) for m in self.keys.methods]

    def train(self, on_progress: OnProgress) -> None:
        for method in self.keys.methods:
            self._runs.train(method.name, self._trainings(method), on_progress)

    @cached_property
    def _found(self) -> list[Compared]:
        metric, found = self.keys.metric, []
        for method in self.keys.methods:
            for epoch, (mean, spread) in method.published.items():
                runs = self._runs.runs(self._trainings(method), metric, epoch)
                difference = runs.mean(metric) - mean
                found.append(Compared(method, epoch, mean, spread, runs, difference))
        return found

    def verdict(self) -> str:
        found, tolerance = self._found, self.keys.tolerance
        met = [each for each in found if abs(each.share) <= tolerance]
        far = max(found, key=lambda each: _size(each.share))
        furthest = "diverged" if math.isnan(far.share) else f"{100 * far.share:+.2g} %"
        return (
            f"{len(met)} of {len(found)} published means are met within {100 * tolerance:g} % on "
            f"{self.keys.task}; the furthest away is {far.method.name} after epoch {far.epoch}: "
            f"{furthest} ({over_seeds(self.keys.seeds)})."
        )

    def write(self, page: Page) -> None:
        metric = self.keys.metric
        page.heading(f"Test {metric} beside the published one")
        rows = [
            [
                each.method.name,
                str(each.epoch),
                plus_minus(each.mean, each.spread, digits=6),
                mean_and_spread(each.runs, metric, digits=6),
                f"{each.difference:+.4f}",
                f"{100 * each.share:+.2f} %",
            ]
            for each in self._found
        ]
        page.table(["method", "epoch", "published", "here", "difference", ""], rows)
        page.paragraph("Below: mean and standard deviation over seeds; points are published.")
        # The curves of a method are the same whatever the epoch.
        by_method = {each.method.name: each for each in self._found}
        page.figures(
            [
                figures.beside_published(name, each.runs, each.method.published, metric)
                for name, each in by_method.items()
            ]
        )
        page.heading("Settings and sources")
        page.facts(
            [
                (m.name, f"{call(Template.of(m.optimizer), m.settings)}. {m.source}")
                for m in self.keys.methods
            ]
        )

    def facts(self) -> list[tuple[str, str]]:
        first, seeds = self.keys.seed, self.keys.seeds
        return [("task", self.keys.task), ("seeds", f"{first} to {first + seeds - 1}")]

    def _trainings(self, method: Method) -> list[Training]:
        configuration = Configuration(method.optimizer, method.settings)
        first = self.keys.seed
        return [Training(method.name, configuration, first + i) for i in range(self.keys.seeds)]


def _size(share: float) -> float:
    return math.inf if math.isnan(share) else abs(share)


KIND = Published
