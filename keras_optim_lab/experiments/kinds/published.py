"""Experiments that stand beside published results: given settings, many seeds, named epochs."""

import math
from typing import Any, ClassVar

from keras_optim_lab.experiments import experiment_figures as figures
from keras_optim_lab.experiments import schema
from keras_optim_lab.experiments.experiment import Experiment, OnProgress, Part
from keras_optim_lab.experiments.fresh_runs import FreshRuns
from keras_optim_lab.experiments.names import (
    check_methods,
    check_metric,
    declaration_of,
    optimizer_name,
    task_name,
)
from keras_optim_lab.experiments.schema import Key
from keras_optim_lab.experiments.tables import shown_settings
from keras_optim_lab.reports.html import Page
from keras_optim_lab.reports.report import mean_and_spread, over_seeds
from keras_optim_lab.tuning.evaluation import Runs
from keras_optim_lab.tuning.repetitions import Training
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.spaces.template import Template


def _results(value: Any) -> dict[int, tuple[float, float | None]]:
    """By epoch, the published mean and standard deviation."""
    found = {}
    for epoch, result in schema.table(value).items():
        if not epoch.isdecimal() or int(epoch) < 1:
            raise ValueError(f"its keys are epochs, from 1. Received: {epoch!r}")
        parts = result if isinstance(result, list) else [result]
        try:
            mean, spread = map(schema.number, parts if len(parts) > 1 else [*parts, 0])
        except (TypeError, ValueError):
            raise TypeError(
                f"epoch {epoch} takes a mean, or [mean, standard deviation]. Received: {result!r}"
            ) from None
        found[int(epoch)] = (mean, spread if len(parts) > 1 else None)
    if not found:
        raise ValueError("must hold a number for at least one epoch, such as { 100 = 87.1 }")
    return found


_METHOD = {
    "name": Key(schema.text),
    "optimizer": Key(optimizer_name),
    "settings": Key(schema.table, {}),
    "published": Key(_results),
    "source": Key(schema.text),
}


class Published(Experiment):
    """Optimizers with given settings, and the difference to what others have published."""

    keys: ClassVar[dict[str, Key]] = {
        "task": Key(task_name),
        "seeds": Key(schema.whole(1, 1000)),
        "seed": Key(schema.whole(0, 2**31 - 1), 0),
        "metric": Key(schema.text, "loss"),
        "tolerance": Key(schema.positive, 0.01),
        "methods": Key(schema.tables),
    }

    def check(self) -> None:
        table, task = self.file.table, self.read["task"]
        check_metric(table, task, self.read["metric"])
        self._methods = [each.read(_METHOD) for each in table.tables("methods")]
        check_methods(table.tables("methods"), self._methods)
        epochs = declaration_of(task).epochs
        for method, own in zip(self._methods, table.tables("methods"), strict=True):
            settings = own.table("settings")
            make = Template.of(method["optimizer"]).make
            for name, value in method["settings"].items():
                settings.check(name, lambda n, v, make=make: make({n: v}), name, value)
            own.check("settings", make, method["settings"])
            for epoch in method["published"]:
                if epoch > epochs:
                    raise own.table("published").error(
                        f"{task} is trained for {epochs} epochs. Received: {epoch}", str(epoch)
                    )
        self._runs = FreshRuns(self, task)

    def parts(self) -> list[Part]:
        return [self._runs.part(m["name"], self._trainings(m)) for m in self._methods]

    def train(self, on_progress: OnProgress) -> None:
        for method in self._methods:
            self._runs.train(method["name"], self._trainings(method), on_progress)

    def verdict(self) -> str:
        tolerance = self.read["tolerance"]
        shares = {
            f"{method['name']} after epoch {epoch}": (self._after(method, epoch) - mean) / mean
            for method in self._methods
            for epoch, (mean, _) in method["published"].items()
        }
        met = [where for where, share in shares.items() if abs(share) <= tolerance]
        far = max(shares, key=lambda where: _size(shares[where]))
        furthest = "diverged" if math.isnan(shares[far]) else f"{100 * shares[far]:+.2g} %"
        return (
            f"{len(met)} of {len(shares)} published means are met within {100 * tolerance:g} % on "
            f"{self.read['task']}; the furthest away is {far}: {furthest} "
            f"({over_seeds(self.read['seeds'])})."
        )

    def write(self, page: Page) -> None:
        page.heading(f"Test {self.read['metric']} beside the published one")
        rows = []
        for method in self._methods:
            for epoch, (mean, spread) in method["published"].items():
                runs = self._found(method, epoch)
                difference = runs.mean(self.read["metric"]) - mean
                rows.append(
                    [
                        method["name"],
                        str(epoch),
                        f"{mean:.6g}" if spread is None else f"{mean:.6g} ± {spread:.2g}",
                        mean_and_spread(runs, self.read["metric"], digits=6),
                        f"{difference:+.4f}",
                        f"{100 * difference / mean:+.2f} %",
                    ]
                )
        page.table(["method", "epoch", "published", "here", "difference", ""], rows)
        page.paragraph("Below: mean and standard deviation over seeds; points are published.")
        page.figures(
            [
                figures.beside_published(
                    method["name"], self._found(method), method["published"], self.read["metric"]
                )
                for method in self._methods
            ]
        )
        page.heading("Settings and sources")
        page.facts(
            [
                (m["name"], f"{shown_settings(m['optimizer'], m['settings'])}. {m['source']}")
                for m in self._methods
            ]
        )

    def facts(self) -> list[tuple[str, str]]:
        seeds, seed = self.read["seeds"], self.read["seed"]
        return [("task", self.read["task"]), ("seeds", f"{seed} to {seed + seeds - 1}")]

    def _trainings(self, method: dict[str, Any]) -> list[Training]:
        configuration = Configuration(method["optimizer"], method["settings"])
        first = self.read["seed"]
        return [
            Training(method["name"], configuration, first + i) for i in range(self.read["seeds"])
        ]

    def _found(self, method: dict[str, Any], epoch: int | None = None) -> Runs:
        return self._runs.runs(self._trainings(method), self.read["metric"], epoch)

    def _after(self, method: dict[str, Any], epoch: int) -> float:
        return self._found(method, epoch).mean(self.read["metric"])


def _size(share: float) -> float:
    return math.inf if math.isnan(share) else abs(share)


KIND = Published
