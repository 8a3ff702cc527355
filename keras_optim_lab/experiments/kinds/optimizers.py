"""Experiments that compare optimizers: each tuned with the same budget, beside its defaults."""

import math
from typing import Any, ClassVar

from keras_optim_lab.experiments import document, schema, search
from keras_optim_lab.experiments import experiment_figures as figures
from keras_optim_lab.experiments.experiment import Experiment, OnProgress, Part
from keras_optim_lab.experiments.fresh_runs import FreshRuns
from keras_optim_lab.experiments.names import check_methods, check_metric, optimizer_name
from keras_optim_lab.experiments.outputs import Output
from keras_optim_lab.experiments.schema import Key
from keras_optim_lab.experiments.search import Search
from keras_optim_lab.experiments.tables import shown_settings
from keras_optim_lab.optimizers import names as catalogue
from keras_optim_lab.reports.html import Page
from keras_optim_lab.reports.report import mean_and_spread, over_seeds
from keras_optim_lab.tuning.criterion import Criterion
from keras_optim_lab.tuning.evaluation import Runs
from keras_optim_lab.tuning.repetitions import Training
from keras_optim_lab.tuning.study import TuningStudy

_RESULTS = "Default and tuned settings on the test split"
_SETTINGS = "Settings found"
_METHOD = {
    "name": Key(schema.text),
    "optimizer": Key(optimizer_name),
    "space": Key(schema.table, {}),
}


def _optimizers(value: Any) -> list[str]:
    """Names of optimizers, or "all"."""
    return catalogue() if value == "all" else schema.list_of(optimizer_name)(value)


class Optimizers(Experiment):
    """Several methods, each an optimizer with a search space, and a study of its own for each."""

    keys: ClassVar[dict[str, Key]] = {
        **search.KEYS,
        "optimizers": Key(_optimizers, None),
        "methods": Key(schema.tables, None),
        "document": Key(document.name, ""),
    }

    def check(self) -> None:
        table = self.file.table
        check_metric(table, self.read["task"], self.read["metric"])
        if (self.read["optimizers"] is None) == (self.read["methods"] is None):
            key = None if self.read["methods"] is None else "methods"
            raise table.error('give either optimizers = [names] (or "all") or [[methods]].', key)
        if self.read["methods"] is None:
            self._methods = [
                {"name": name, "optimizer": name, "space": {}} for name in self.read["optimizers"]
            ]
        else:
            own = table.tables("methods")
            self._methods = [each.read(_METHOD) for each in own]
            check_methods(own, self._methods)
            for each, method in zip(own, self._methods, strict=True):
                search.check_space(each, method["optimizer"])
        self._searches = {
            m["name"]: Search(f"{self.name}-{m['name']}", m["optimizer"], m["space"], self.read)
            for m in self._methods
        }
        studies = [each.name for each in self._searches.values()]
        for i, name in enumerate(studies):
            if name in studies[:i]:
                raise table.error(f"two would share the study {name!r}: rename one.", "methods")
        self._runs = FreshRuns(self, self.read["task"])

    def parts(self) -> list[Part]:
        parts = []
        for method in self._methods:
            name, of_study = method["name"], self._searches[method["name"]]
            tuning = of_study.finished()
            parts += of_study.parts()
            parts.append(self._runs.part(f"{name}, default", self._default(method)))
            tuned = (
                Part(f"{name}, tuned", self.read["seeds"], 0)
                if tuning is None
                else self._runs.part(f"{name}, tuned", self._tuned(method, tuning))
            )
            parts.append(tuned)
        return parts

    def documents(self) -> list[Output]:
        return document.outputs(self)

    def searches(self) -> list[Search]:
        return list(self._searches.values())

    def train(self, on_progress: OnProgress) -> None:
        for method in self._methods:
            name = method["name"]
            tuning = self._searches[name].run(on_progress)
            wanted = [*self._default(method), *self._tuned(method, tuning)]
            self._runs.train(f"{name}, default and tuned", wanted, on_progress)

    def verdict(self) -> str:
        pairs, metric = self._pairs(), self.read["metric"]
        best = min(pairs, key=lambda name: self._rank(pairs[name][1]))
        untuned = min(pairs, key=lambda name: self._rank(pairs[name][0]))
        tuned, default = pairs[best][1], pairs[untuned][0]
        near = [
            name
            for name, (_, runs) in pairs.items()
            if name != best and not self._clearly_better(tuned, runs)
        ]
        gained = sum(self._clearly_better(runs, own) for own, runs in pairs.values())
        beyond = sum(self._clearly_better(runs, default) for _, runs in pairs.values())
        return (
            f"Tuned with {self.read['trials']} trials each on {self.read['task']}, the best on the "
            f"test split is {best}: {metric} {mean_and_spread(tuned, metric)}; within one standard "
            f"deviation of it: {', '.join(near) or 'no other'}. Tuning gains more than that over "
            f"its own defaults for {gained} of {len(pairs)}. The best by default is {untuned}: "
            f"{mean_and_spread(default, metric)}; {beyond} of {len(pairs)} beat it when tuned "
            f"({over_seeds(self.read['seeds'])})."
        )

    def _rank(self, runs: Runs) -> float:
        """Less is better; a method whose runs all diverged comes last."""
        mean = runs.mean(self.read["metric"])
        return math.inf if math.isnan(mean) else self._sign * mean

    def _clearly_better(self, one: Runs, other: Runs) -> bool:
        """Whether it is ahead by more than the larger of the two standard deviations."""
        spreads = [runs.spread(self.read["metric"]) for runs in (one, other)]
        spread = max((s for s in spreads if not math.isnan(s)), default=0.0)
        return self._rank(other) - self._rank(one) > spread

    def write(self, page: Page) -> None:
        metric, pairs = self.read["metric"], self._pairs()
        header, rows = self._results()
        page.heading(_RESULTS)
        page.table(header, rows)
        page.figure(figures.default_and_tuned(pairs, metric), height=120 + 45 * len(pairs))
        page.heading("During training")
        page.paragraph("Mean over seeds in a band of one standard deviation.", "note")
        page.figures(
            [
                figures.curves({"default": default, "tuned": tuned}, metric, name)
                for name, (default, tuned) in pairs.items()
            ]
        )
        page.heading(_SETTINGS)
        page.facts(self._found())
        if path := document.path_of(self):
            sections = [
                (_RESULTS, [document.table(header, rows)]),
                (_SETTINGS, ["\n".join(f"- {name}: `{shown}`" for name, shown in self._found())]),
            ]
            document.write(self, path, f"Optimizers tuned on {self.read['task']}", sections)

    def _results(self) -> tuple[list[str], list[list[str]]]:
        """The table of all metrics, the best one when tuned first."""
        pairs = self._pairs()
        names = sorted(pairs, key=lambda name: self._rank(pairs[name][1]))
        metrics = list(pairs[names[0]][0].scores)
        header = ["method", *(f"{m}, {which}" for m in metrics for which in ("default", "tuned"))]
        return header, [
            [name, *(mean_and_spread(runs, m) for m in metrics for runs in pairs[name])]
            for name in names
        ]

    def _found(self) -> list[tuple[str, str]]:
        """By method, the settings that its search found."""
        bests = {
            method["name"]: self._finished(method).best_configuration for method in self._methods
        }
        return [(name, shown_settings(best.name, best.settings)) for name, best in bests.items()]

    def facts(self) -> list[tuple[str, str]]:
        read = self.read
        return [
            ("task", read["task"]),
            (
                "each study",
                f"{read['trials']} trials, {read['sampler']} sampler, {read['pruner']} pruner, "
                f"seed {read['seed']}, {read['seeds_per_trial']} seed(s) per trial, "
                f"best {read['confirm']} confirmed over fresh seeds",
            ),
            ("test runs", f"{read['seeds']} seeds that no study used"),
        ]

    @property
    def _sign(self) -> float:
        metric = self.read["metric"]
        if metric == "loss":
            return 1.0
        tuning = self._finished(self._methods[0])
        direction = Criterion.of(f"val_{metric}", tuning.task).direction
        return 1.0 if direction == "minimize" else -1.0

    def _finished(self, method: dict[str, Any]) -> TuningStudy:
        tuning = self._searches[method["name"]].finished()
        assert tuning is not None, "verdict and page come after training"
        return tuning

    def _default(self, method: dict[str, Any]) -> list[Training]:
        name = method["name"]
        return self._searches[name].default(f"{name}, default", method["optimizer"])

    def _tuned(self, method: dict[str, Any], tuning: TuningStudy) -> list[Training]:
        name = method["name"]
        return self._searches[name].tuned(f"{name}, tuned", tuning)

    def _pairs(self) -> dict[str, tuple[Runs, Runs]]:
        """By method, its runs by default and tuned."""
        metric = self.read["metric"]
        return {
            method["name"]: (
                self._runs.runs(self._default(method), metric),
                self._runs.runs(self._tuned(method, self._finished(method)), metric),
            )
            for method in self._methods
        }


KIND = Optimizers
