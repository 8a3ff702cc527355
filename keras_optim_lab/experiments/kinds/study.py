"""Experiments of one study: what an optimizer gains by tuning, and where its best settings are."""

from typing import Any, ClassVar

from keras_optim_lab.experiments import experiment_figures as figures
from keras_optim_lab.experiments import schema, search
from keras_optim_lab.experiments.experiment import Experiment, OnProgress, Part
from keras_optim_lab.experiments.fresh_runs import FreshRuns
from keras_optim_lab.experiments.names import check_metric, optimizer_name
from keras_optim_lab.experiments.schema import Key
from keras_optim_lab.experiments.search import Search
from keras_optim_lab.reports import report
from keras_optim_lab.reports.html import Page
from keras_optim_lab.reports.report import mean_and_spread, over_seeds
from keras_optim_lab.tuning.evaluation import Evaluation, Runs
from keras_optim_lab.tuning.study import TuningStudy


class Study(Experiment):
    """One optimizer, or several to choose among, tuned and judged against its defaults."""

    keys: ClassVar[dict[str, Key]] = {
        **search.KEYS,
        "optimizer": Key(schema.either(optimizer_name, schema.list_of(optimizer_name))),
        "space": Key(schema.table, {}),
    }

    def check(self) -> None:
        table, optimizers = self.file.table, self.read["optimizer"]
        check_metric(table, self.read["task"], self.read["metric"])
        search.check_space(table, optimizers)
        self._search = Search(self.name, optimizers, self.read["space"], self.read)
        self._runs = FreshRuns(self, self.read["task"])

    def parts(self) -> list[Part]:
        tuning, optimizer = self._search.finished(), self.read["optimizer"]
        default = Part("default settings", self.read["seeds"], 0)
        tuned = Part("tuned settings", self.read["seeds"], 0)
        if tuning is not None:
            optimizer = tuning.best_name
            tuned = self._runs.part(tuned.what, self._search.tuned("tuned", tuning))
        if isinstance(optimizer, str):  # which of several is best, the study is yet to say
            default = self._runs.part(default.what, self._search.default("default", optimizer))
        return [*self._search.parts(), default, tuned]

    def searches(self) -> list[Search]:
        return [self._search]

    def train(self, on_progress: OnProgress) -> None:
        default, tuned = self._pair(self._search.run(on_progress))
        self._runs.train("default and tuned settings", [*default, *tuned], on_progress)

    def verdict(self) -> str:
        return report.verdict(*self._result())

    def write(self, page: Page) -> None:
        tuning, evaluation = self._result()
        named = {"default": evaluation.default, "tuned": evaluation.tuned}
        report.settings(page, tuning)
        page.heading("Default and tuned settings on the test split")
        metrics = list(evaluation.default.scores)
        page.table(
            ["settings", *metrics],
            [[label, *(mean_and_spread(r, m) for m in metrics)] for label, r in named.items()],
        )
        page.paragraph(
            f"From seeds that the search did not use: {over_seeds(self.read['seeds'])}.", "note"
        )
        page.figure(figures.curves(named, self.read["metric"]))
        report.search(page, tuning)

    def facts(self) -> list[tuple[str, str]]:
        return report.making(self._result()[0])

    def _pair(self, tuning: TuningStudy) -> tuple[list[Any], list[Any]]:
        default = self._search.default("default", tuning.best_name)
        return default, self._search.tuned("tuned", tuning)

    def _result(self) -> tuple[TuningStudy, Evaluation]:
        tuning = self._search.finished()
        assert tuning is not None, "verdict and page come after training"
        pair = self._pair(tuning)
        default, tuned = (self._found(trainings) for trainings in pair)
        seeds = [training.seed for training in pair[0]]
        return tuning, Evaluation(default, tuned, seeds, "test")

    def _found(self, trainings: list[Any]) -> Runs:
        return self._runs.runs(trainings, self.read["metric"])


KIND = Study
