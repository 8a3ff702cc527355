"""The searches of experiments: studies in their own storage, which go on where they ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import optuna

from keras_optim_lab.experiments import schema
from keras_optim_lab.experiments.file import Common
from keras_optim_lab.experiments.fresh_runs import FreshRuns
from keras_optim_lab.experiments.names import check_metric, task_name
from keras_optim_lab.experiments.parts import OnProgress, Part
from keras_optim_lab.experiments.schema import Table, key
from keras_optim_lab.files import file_name
from keras_optim_lab.tuning import confirmation
from keras_optim_lab.tuning.evaluation import EVALUATION_SEEDS, Evaluation
from keras_optim_lab.tuning.racing import SEEDS, most_runs
from keras_optim_lab.tuning.repetitions import Training
from keras_optim_lab.tuning.samplers import PRUNER, PRUNERS, SAMPLER, SAMPLERS
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.spaces.recipe import OF_SOME_TASK
from keras_optim_lab.tuning.spaces.space import SearchSpace
from keras_optim_lab.tuning.start import NAMES
from keras_optim_lab.tuning.storages.storage import journal_path
from keras_optim_lab.tuning.study import TuningStudy


@dataclass(frozen=True, kw_only=True)
class SearchKeys(Common):
    """What a file says of a search, the optimizer and its space aside."""

    task: str = key(task_name)
    trials: int = key(schema.whole(1))
    seed: int = key(schema.whole(0, 2**31 - 1), 0)
    sampler: str = key(schema.one_of(SAMPLERS), SAMPLER)
    pruner: str = key(schema.one_of(PRUNERS), PRUNER)
    seeds_per_trial: int = key(schema.whole(1, 1000), 1)
    folds: int | None = key(schema.whole(2, 1000), None)
    start: str = key(schema.one_of(NAMES), "portfolio")
    confirm: int = key(schema.whole(0, 1000), confirmation.CONFIRM)
    metric: str = key(schema.text, "loss")
    seeds: int = key(schema.whole(1, 1000))

    @property
    def judged(self) -> str:
        """On what trials and races are."""
        return f"{self.folds} folds each" if self.folds else "judged on the validation split"

    def check(self, table: Table) -> None:
        check_metric(table, self.task, self.metric)


def check_space(table: Table, optimizers: str | Sequence[str]) -> None:
    """Checks what the key `space` of a table changes, one by one."""
    changes = table.table("space")
    for name, value in changes.data.items():
        changes.check(name, SearchSpace, optimizers, {name: value}, OF_SOME_TASK)


class Search:
    """A study of one experiment, its confirmation, and the trainings that judge its result.

    Args:
        name: of the study.
        optimizers: that it chooses among.
        space: changes to their search space.
        keys: what the file says.
        runs: keeps these trainings.
        prefix, suffix: around "default" and "tuned" they name a training, with its suffix where
            progress is told: `Adam, tuned`.
    """

    def __init__(
        self,
        name: str,
        optimizers: str | Sequence[str],
        space: dict[str, Any],
        keys: SearchKeys,
        runs: FreshRuns,
        prefix: str = "",
        suffix: str = "",
    ):
        self.name = file_name(name)
        self._optimizers = optimizers
        self._space = space
        self._keys = keys
        self._runs = runs
        self._named = lambda which: f"{prefix}{which}"
        self._told = lambda which: f"{prefix}{which}{suffix}"
        self._study: TuningStudy | None = None

    @property
    def path(self) -> Path:
        """The file that holds the study."""
        return journal_path(self.name)

    def parts(self) -> list[Part]:
        """The study, its confirmation and the trainings that judge it; nothing is stored."""
        keys, tuning = self._keys, self._stored()
        trials, confirm = keys.trials, keys.confirm
        done = min(trials, len(tuning.finished_trials)) if tuning else 0
        each = keys.seeds_per_trial * (keys.folds or 1)
        parts = [Part(f"study {self.name}", trials * each, done * each)]
        if confirm:
            wanted = most_runs(1 + min(confirm, trials), keys.folds or SEEDS)
            confirmed = tuning is not None and confirmation.is_confirmed(tuning, confirm)
            parts.append(Part(f"racing {self.name}", wanted, wanted if confirmed else 0))
        for which, trainings in self._judging(self._finished()).items():
            what = self._told(which)
            known = self._runs.part(what, trainings) if trainings else Part(what, keys.seeds, 0)
            parts.append(known)
        return parts

    def train(self, on_progress: OnProgress) -> None:
        """Runs what is missing of the study, confirms it, and trains what judges it."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        tuning = self._study = self._stored() or self._open()
        trials, what = self._keys.trials, f"study {self.name}"

        def tell(*_: Any) -> None:
            on_progress(what, len(tuning.finished_trials), trials)

        tell()
        if len(tuning.finished_trials) < trials:
            tuning.run(trials, callbacks=[tell])
        if self._keys.confirm and not confirmation.is_confirmed(tuning, self._keys.confirm):
            confirmation.confirm(
                tuning,
                self._keys.confirm,
                on_progress=lambda *step: on_progress(f"racing {self.name}", *step),
            )
        wanted = [*chain.from_iterable(self._judging(tuning).values())]
        self._runs.train(self._told("default and tuned"), wanted, on_progress)

    def result(self) -> tuple[TuningStudy, Evaluation]:
        """What came out, when all is trained."""
        tuning, metric = self._finished(), self._keys.metric
        assert tuning is not None, "verdict and page come after training"
        default, tuned = (self._runs.runs(each, metric) for each in self._judging(tuning).values())
        return tuning, Evaluation(default, tuned, self._seeds, "test")

    def _stored(self) -> TuningStudy | None:
        """The study, if there is one; it is opened once."""
        if self._study is None and self.path.exists():
            self._study = self._open()
        return self._study

    def _finished(self) -> TuningStudy | None:
        """The study, if its result is certain."""
        tuning, confirm = self._stored(), self._keys.confirm
        if tuning is None or len(tuning.finished_trials) < self._keys.trials:
            return None
        return None if confirm and not confirmation.is_confirmed(tuning, confirm) else tuning

    def _judging(self, tuning: TuningStudy | None) -> dict[str, list[Training]]:
        """Trainings of the default and of the tuned settings; none while these are not known."""
        one = self._optimizers if isinstance(self._optimizers, str) else None
        best = tuning.best_configuration if tuning else None
        name = best.name if best else one  # which of several is best, the study is yet to say
        default = Configuration(name, {}) if name else None
        return {
            which: [Training(self._named(which), known, seed) for seed in self._seeds if known]
            for which, known in (("default", default), ("tuned", best))
        }

    @property
    def _seeds(self) -> list[int]:
        first = self._keys.seed + EVALUATION_SEEDS
        return list(range(first, first + self._keys.seeds))

    def _open(self) -> TuningStudy:
        keys = self._keys
        return TuningStudy.create(
            self._runs.task(),
            self._optimizers,
            seed=keys.seed,
            sampler=keys.sampler,
            pruner=keys.pruner,
            name=self.name,
            space=self._space,
            objective=f"val_{keys.metric}",
            seeds_per_trial=keys.seeds_per_trial,
            folds=keys.folds,
            start=keys.start,
        )
