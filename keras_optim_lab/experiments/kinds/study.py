"""Experiments of one study: what an optimizer gains by tuning, and where its best settings are."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from keras_optim_lab.experiments import experiment_figures as figures
from keras_optim_lab.experiments import schema
from keras_optim_lab.experiments.experiment import Experiment
from keras_optim_lab.experiments.fresh_runs import FreshRuns
from keras_optim_lab.experiments.names import optimizer_name
from keras_optim_lab.experiments.parts import OnProgress, Part
from keras_optim_lab.experiments.schema import Table, key
from keras_optim_lab.experiments.search import Search, SearchKeys, check_space
from keras_optim_lab.reports import report
from keras_optim_lab.reports.html import Page
from keras_optim_lab.tuning.evaluation import Evaluation
from keras_optim_lab.tuning.study import TuningStudy


@dataclass(frozen=True, kw_only=True)
class StudyKeys(SearchKeys):
    optimizer: str | list[str] = key(schema.either(optimizer_name, schema.list_of(optimizer_name)))
    space: dict[str, Any] = key(schema.table, {})

    def check(self, table: Table) -> None:
        super().check(table)
        check_space(table, self.optimizer)


class Study(Experiment[StudyKeys]):
    """One optimizer, or several to choose among, tuned and judged against its defaults."""

    reads = StudyKeys

    def prepare(self) -> None:
        keys, runs = self.keys, FreshRuns(self, self.keys.task)
        self._search = Search(self.name, keys.optimizer, keys.space, keys, runs, suffix=" settings")

    def parts(self) -> list[Part]:
        return self._search.parts()

    def studies(self) -> list[Path]:
        return [self._search.path]

    def train(self, on_progress: OnProgress) -> None:
        self._search.train(on_progress)

    @cached_property
    def _found(self) -> tuple[TuningStudy, Evaluation]:
        return self._search.result()

    def verdict(self) -> str:
        return report.verdict(*self._found)

    def write(self, page: Page) -> None:
        tuning, evaluation = self._found
        report.settings(page, tuning)
        report.comparison(page, evaluation)
        pair = {"default": evaluation.default, "tuned": evaluation.tuned}
        page.figure(figures.curves(pair, self.keys.metric))
        report.search(page, tuning)

    def facts(self) -> list[tuple[str, str]]:
        return report.making(self._found[0])


KIND = Study
