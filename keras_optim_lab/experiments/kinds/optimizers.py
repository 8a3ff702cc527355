"""Experiments that compare optimizers: each tuned with the same budget, beside its defaults."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from keras_optim_lab.experiments import document, inclusion, schema
from keras_optim_lab.experiments import experiment_figures as figures
from keras_optim_lab.experiments.document import DocumentKeys
from keras_optim_lab.experiments.experiment import Experiment
from keras_optim_lab.experiments.fresh_runs import FreshRuns
from keras_optim_lab.experiments.names import check_names, optimizer_name
from keras_optim_lab.experiments.outputs import Output
from keras_optim_lab.experiments.parts import OnProgress, Part
from keras_optim_lab.experiments.schema import Keys, Table, key
from keras_optim_lab.experiments.search import Search, SearchKeys, check_space
from keras_optim_lab.optimizers import names as catalogue
from keras_optim_lab.reports.html import Page
from keras_optim_lab.reports.report import call, mean_and_spread, over_seeds
from keras_optim_lab.reports.tables import markdown
from keras_optim_lab.reports.writing import number
from keras_optim_lab.tuning.evaluation import Evaluation, Runs
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.spaces.recipe import described
from keras_optim_lab.tuning.study import TuningStudy

_RESULTS = "Default and tuned settings on the test split"
_SETTINGS = "Settings found"
_INCLUSION = "Inclusion"
_INCLUDED = (
    "What can do as another does should end no worse when both are tuned (Choi et al., 2019, "
    "arXiv:1910.05446). Gains are those of the tuned settings, over the same seeds."
)


@dataclass(frozen=True, kw_only=True)
class Method(Keys):
    """An optimizer with a search space."""

    name: str = key(schema.text)
    optimizer: str = key(optimizer_name)
    space: dict[str, Any] = key(schema.table, {})

    def check(self, table: Table) -> None:
        check_space(table, self.optimizer)


@dataclass(frozen=True, kw_only=True)
class OptimizersKeys(DocumentKeys, SearchKeys):
    optimizers: list[str] | None = key(schema.all_or_list_of(optimizer_name, catalogue), None)
    methods: list[Method] | None = key(schema.tables, None, each=Method)

    def check(self, table: Table) -> None:
        super().check(table)
        if (self.optimizers is None) == (self.methods is None):
            wrong = None if self.methods is None else "methods"
            raise table.error('give either optimizers = [names] (or "all") or [[methods]].', wrong)
        check_names(table, [method.name for method in self.entered])

    @property
    def entered(self) -> list[Method]:
        return self.methods or [
            Method(name=n, optimizer=n, space={}) for n in self.optimizers or ()
        ]


class Optimizers(Experiment[OptimizersKeys]):
    """Several methods, each an optimizer with a search space, and a study of its own for each."""

    reads = OptimizersKeys

    def prepare(self) -> None:
        runs = FreshRuns(self, self.keys.task)
        self._searches = {
            m.name: Search(
                f"{self.name}-{m.name}", m.optimizer, m.space, self.keys, runs, f"{m.name}, "
            )
            for m in self.keys.entered
        }
        studies = [search.name for search in self._searches.values()]
        for i, name in enumerate(studies):
            if name in studies[:i]:
                raise self.file.table.error(
                    f"two would share the study {name!r}: rename one.", "methods"
                )

    def parts(self) -> list[Part]:
        return [part for search in self._searches.values() for part in search.parts()]

    def documents(self) -> list[Output]:
        return document.outputs(self)

    def studies(self) -> list[Path]:
        return [search.path for search in self._searches.values()]

    def train(self, on_progress: OnProgress) -> None:
        for search in self._searches.values():
            search.train(on_progress)

    @cached_property
    def _found(self) -> dict[str, tuple[TuningStudy, Evaluation]]:
        return {name: search.result() for name, search in self._searches.items()}

    @property
    def _pairs(self) -> dict[str, Evaluation]:
        """By method, its runs by default and tuned."""
        return {name: evaluation for name, (_, evaluation) in self._found.items()}

    @cached_property
    def _inclusions(self) -> list[inclusion.Inclusion]:
        """What is known to contain what, among the methods."""
        methods = {m.name: inclusion.Searched(m.optimizer, m.space) for m in self.keys.entered}
        metric, pairs = self.keys.metric, self._pairs
        values = {name: pair.tuned.scores[metric] for name, pair in pairs.items()}
        tuning, _ = next(iter(self._found.values()))
        return inclusion.inclusions(methods, values, tuning.objective.direction)

    def verdict(self) -> str:
        pairs, keys, metric = self._pairs, self.keys, self.keys.metric
        best = min(pairs, key=lambda name: self._rank(pairs[name].tuned))
        untuned = min(pairs, key=lambda name: self._rank(pairs[name].default))
        tuned, default = pairs[best].tuned, pairs[untuned].default
        near = [
            name
            for name, pair in pairs.items()
            if name != best and not self._clearly_better(tuned, pair.tuned)
        ]
        gained = sum(self._clearly_better(pair.tuned, pair.default) for pair in pairs.values())
        beyond = sum(self._clearly_better(pair.tuned, default) for pair in pairs.values())
        return (
            f"Tuned with {keys.trials} trials each on {keys.task}, the best on the "
            f"test split is {best}: {metric} {mean_and_spread(tuned, metric)}; within one standard "
            f"deviation of it: {', '.join(near) or 'no other'}. Tuning gains more than that over "
            f"its own defaults for {gained} of {len(pairs)}. The best by default is {untuned}: "
            f"{mean_and_spread(default, metric)}; {beyond} of {len(pairs)} beat it when tuned "
            f"({over_seeds(keys.seeds)})."
        )

    def _rank(self, runs: Runs) -> float:
        """Less is better; a method whose runs all diverged comes last."""
        tuning, _ = next(iter(self._found.values()))
        sign = -1.0 if tuning.objective.direction == "maximize" else 1.0
        mean = runs.mean(self.keys.metric)
        return math.inf if math.isnan(mean) else sign * mean

    def _clearly_better(self, one: Runs, other: Runs) -> bool:
        """Whether it is ahead by more than the larger of the two standard deviations."""
        spreads = [runs.spread(self.keys.metric) for runs in (one, other)]
        spread = max((s for s in spreads if not math.isnan(s)), default=0.0)
        return self._rank(other) - self._rank(one) > spread

    def write(self, page: Page) -> None:
        metric, pairs = self.keys.metric, self._pairs
        header, rows = self._results()
        settings = [
            (name, _shown(tuning.best_configuration)) for name, (tuning, _) in self._found.items()
        ]
        page.heading(_RESULTS)
        page.table(header, rows)
        page.figure(figures.default_and_tuned(pairs, metric), height=120 + 45 * len(pairs))
        page.heading("During training")
        page.paragraph("Mean over seeds in a band of one standard deviation.", "note")
        page.figures(
            [
                figures.curves({"default": pair.default, "tuned": pair.tuned}, metric, name)
                for name, pair in pairs.items()
            ]
        )
        page.heading(_SETTINGS)
        page.facts(settings)
        if found := self._inclusions:
            page.heading(_INCLUSION)
            page.paragraph(inclusion.sentence(found), "result")
            page.table(inclusion.HEADER, inclusion.rows(found))
            page.paragraph(_INCLUDED, "note")
        if path := document.path_of(self):
            sections = [
                (_RESULTS, [markdown(header, rows)]),
                (_SETTINGS, ["\n".join(f"- {name}: `{shown}`" for name, shown in settings)]),
            ]
            if found:
                table = markdown(inclusion.HEADER, inclusion.rows(found))
                sections.append((_INCLUSION, [inclusion.sentence(found), table, _INCLUDED]))
            document.write(self, path, f"Optimizers tuned on {self.keys.task}", sections)

    def _results(self) -> tuple[list[str], list[list[str]]]:
        """The table of all metrics, the best one when tuned first."""
        pairs = self._pairs
        names = sorted(pairs, key=lambda name: self._rank(pairs[name].tuned))
        metrics = list(pairs[names[0]].default.scores)
        header = ["method", *(f"{m}, {which}" for m in metrics for which in ("default", "tuned"))]
        return header, [
            [
                name,
                *(
                    mean_and_spread(runs, metric)
                    for metric in metrics
                    for runs in (pairs[name].default, pairs[name].tuned)
                ),
            ]
            for name in names
        ]

    def facts(self) -> list[tuple[str, str]]:
        keys = self.keys
        return [
            ("task", keys.task),
            (
                "each study",
                f"{keys.trials} trials, {keys.sampler} sampler, {keys.pruner} pruner, "
                f"seed {keys.seed}, {keys.seeds_per_trial} seed(s) per trial, {keys.judged}, "
                f"best {keys.confirm} and the defaults raced over fresh seeds",
            ),
            ("test runs", f"{keys.seeds} seeds that no study used"),
        ]


def _shown(best: Configuration) -> str:
    """`Adam(learning_rate=0.001), batch_size=16`."""
    recipe = described(best.recipe, best.stated).items()
    made = call(best.template, best.hyperparameters)
    return ", ".join([made, *(f"{name}={number(value)}" for name, value in recipe)])


KIND = Optimizers
