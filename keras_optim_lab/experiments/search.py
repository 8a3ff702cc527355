"""The searches of experiments: studies in their own storage, which go on where they ended."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna

from keras_optim_lab.experiments import schema
from keras_optim_lab.experiments.experiment import OnProgress, Part
from keras_optim_lab.experiments.names import task_name
from keras_optim_lab.experiments.schema import Key, Table
from keras_optim_lab.files import file_name
from keras_optim_lab.tuning import evaluation
from keras_optim_lab.tuning.evaluation import EVALUATION_SEEDS
from keras_optim_lab.tuning.repetitions import Training
from keras_optim_lab.tuning.samplers import PRUNERS, SAMPLERS
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.spaces.space import SearchSpace
from keras_optim_lab.tuning.storages.storage import journal_path
from keras_optim_lab.tuning.study import TuningStudy

# What a file says of a search, the optimizer and its space aside.
KEYS = {
    "task": Key(task_name),
    "trials": Key(schema.whole(1)),
    "seed": Key(schema.whole(0, 2**31 - 1), 0),
    "sampler": Key(schema.one_of(SAMPLERS), "tpe"),
    "pruner": Key(schema.one_of(PRUNERS), "median"),
    "seeds_per_trial": Key(schema.whole(1, 1000), 1),
    "confirm": Key(schema.whole(0, 1000), 0),
    "metric": Key(schema.text, "loss"),
    "seeds": Key(schema.whole(1, 1000)),
}


def check_space(table: Table, optimizers: str | Sequence[str]) -> None:
    """Checks what the key `space` of a table changes, one by one."""
    changes = table.table("space")
    for name, value in changes.data.items():
        changes.check(name, SearchSpace, optimizers, {name: value})


class Search:
    """A study of one experiment, its confirmation, and the trainings that judge its result.

    Args:
        name: of the study.
        optimizers: that it chooses among.
        space: changes to their search space.
        read: the values of `KEYS`.
    """

    def __init__(
        self, name: str, optimizers: str | Sequence[str], space: dict[str, Any], read: dict
    ):
        self.name = file_name(name)
        self._optimizers = optimizers
        self._space = space
        self._read = read

    @property
    def path(self) -> Path:
        """The file that holds the study."""
        return journal_path(self.name)

    def parts(self) -> list[Part]:
        """The study and its confirmation; opens what is stored, and stores nothing."""
        tuning = self.stored()
        trials, runs = self._read["trials"], self._read["seeds_per_trial"]
        done = min(trials, len(tuning.finished_trials)) if tuning else 0
        parts = [Part(f"study {self.name}", trials * runs, done * runs)]
        if confirm := self._read["confirm"]:
            confirmed = self._confirmed(tuning) if tuning else False
            wanted = min(confirm, trials) * evaluation.CONFIRMATIONS
            parts.append(Part(f"confirming {self.name}", wanted, wanted if confirmed else 0))
        return parts

    def run(self, on_progress: OnProgress) -> TuningStudy:
        """The study with all its trials, confirmed."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        tuning = self._open()
        trials, what = self._read["trials"], f"study {self.name}"
        on_progress(what, len(tuning.finished_trials), trials)
        if len(tuning.finished_trials) < trials:
            tuning.run(
                trials,
                callbacks=[lambda *_: on_progress(what, len(tuning.finished_trials), trials)],
            )
        if self._read["confirm"] and not self._confirmed(tuning):
            evaluation.confirm(
                tuning,
                self._read["confirm"],
                on_progress=lambda *step: on_progress(f"confirming {self.name}", *step),
            )
        return tuning

    def stored(self) -> TuningStudy | None:
        """The study, if there is one."""
        return self._open() if self.path.exists() else None

    def finished(self) -> TuningStudy | None:
        """The study, if its result is certain."""
        tuning = self.stored()
        if tuning is None or len(tuning.finished_trials) < self._read["trials"]:
            return None
        return None if self._read["confirm"] and not self._confirmed(tuning) else tuning

    def default(self, method: str, name: str) -> list[Training]:
        """The trainings of an optimizer as it is by default."""
        return self._trainings(method, Configuration(name, {}))

    def tuned(self, method: str, tuning: TuningStudy) -> list[Training]:
        """The trainings of the study's result."""
        return self._trainings(method, tuning.best_configuration)

    def _trainings(self, method: str, configuration: Configuration) -> list[Training]:
        first = self._read["seed"] + EVALUATION_SEEDS
        return [Training(method, configuration, first + i) for i in range(self._read["seeds"])]

    def _open(self) -> TuningStudy:
        read = self._read
        return TuningStudy.create(
            read["task"],
            self._optimizers,
            seed=read["seed"],
            sampler=read["sampler"],
            pruner=read["pruner"],
            name=self.name,
            space=self._space,
            objective=f"val_{read['metric']}",
            seeds_per_trial=read["seeds_per_trial"],
        )

    def _confirmed(self, tuning: TuningStudy) -> bool:
        return evaluation.is_confirmed(tuning, self._read["confirm"])
