"""A tuning study: an `optuna.Study` whose trials train a task."""

import datetime
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from keras_optim_lab import tasks
from keras_optim_lab.arguments import whole_number
from keras_optim_lab.files import file_name
from keras_optim_lab.tasks import Task
from keras_optim_lab.tasks.catalogue import task_of
from keras_optim_lab.tuning import plan, samplers
from keras_optim_lab.tuning.asked import Asked, stoppable
from keras_optim_lab.tuning.budget import Budget
from keras_optim_lab.tuning.checks import (
    Callback,
    check_callbacks,
    check_model,
    check_sampler,
    check_space,
)
from keras_optim_lab.tuning.criterion import Criterion
from keras_optim_lab.tuning.engines.default import default_engine
from keras_optim_lab.tuning.engines.engine import Engine
from keras_optim_lab.tuning.folds import Folds, check_folds, folds_of
from keras_optim_lab.tuning.interruption import ended_by, interruptible, raise_if_interrupted
from keras_optim_lab.tuning.spaces.recipe import Recipe
from keras_optim_lab.tuning.spaces.space import Searched, SearchSpace
from keras_optim_lab.tuning.start import planned
from keras_optim_lab.tuning.storages.buffered import BufferedStorage
from keras_optim_lab.tuning.storages.heartbeat import signs_of_life, take_up_abandoned
from keras_optim_lab.tuning.storages.storage import load_study, open_storage
from keras_optim_lab.tuning.study_result import StudyResult

_TRIALS = "trials"  # the study's attribute: how many finished ones it is to have
ENGINE = "engine"  # and the one that says what trained it
_PAUSE = 1.0  # seconds between two looks at what other processes have done


class TuningStudy(StudyResult):
    """A study and all that is needed to run it, continue it and read its result."""

    @classmethod
    def create(
        cls,
        task: Task | str,
        optimizer: Searched,
        seed: int = 0,
        sampler: str | BaseSampler | None = None,
        pruner: str | BasePruner | None = None,
        storage: str | Path | BaseStorage | None = None,
        name: str | None = None,
        space: Mapping[str, Any] | None = None,
        objective: Any = "val_loss",
        seeds_per_trial: int = 1,
        folds: Folds = None,
        start: Any = "portfolio",
    ) -> Self:
        """A new study, or the stored one of this name. See `keras_optim_lab.tune`."""
        seed = whole_number("seed", seed, least=0)
        seeds_per_trial = whole_number("seeds_per_trial", seeds_per_trial)
        task = task_of(task)
        searched = SearchSpace(optimizer, space, Recipe.of(task))
        wanted = Criterion.of(objective, task)
        check_folds(task, folds)
        check_space(task, searched)
        check_model(task, searched, wanted)
        first = planned(start, searched)
        chosen = samplers.sampler(sampler, seed, searched.distributions)
        check_sampler(task, chosen)
        chosen_pruner = samplers.pruner(pruner, searched.most_epochs or task.epochs)
        name = _new_name(task, searched) if name in (None, "") else name
        opened = BufferedStorage(open_storage(storage, name))
        try:
            study = optuna.load_study(study_name=name, storage=opened, pruner=chosen_pruner)
        except KeyError:
            study = optuna.create_study(
                study_name=name,
                storage=opened,
                pruner=chosen_pruner,
                direction=wanted.direction,
                load_if_exists=True,  # by now
            )
        choices = samplers.described(sampler, pruner)
        folds = folds_of(study, task, wanted, folds)
        described = plan.of_study(task, wanted, searched, seeds_per_trial, folds, first)
        plan.begin_or_check(study, opened, described, seed, choices)
        # The same seed again would ask for the same first trials again.
        study.sampler = samplers.sampler(sampler, seed + len(study.trials), searched.distributions)
        return cls(study, opened, task, searched, wanted, seed, seeds_per_trial, folds)

    @classmethod
    def load(
        cls,
        name: str,
        storage: str | Path | BaseStorage | None = None,
        task: Task | None = None,
        sampler: str | BaseSampler | None = None,
        pruner: str | BasePruner | None = None,
    ) -> Self:
        """A stored study, to read its result or to train more of its trials.

        Args:
            name: of the study.
            storage: where it is; see `keras_optim_lab.tune`.
            task: needed if it is not a built-in one.
            sampler: as in `tune`; that of the study by default, with a seed of its own, so that
                several processes do not propose the same.
            pruner: as in `tune`; that of the study by default.
        """
        study, opened = load_study(name, storage)
        stored = study.user_attrs.get(plan.PLAN)
        if stored is None:
            raise ValueError(
                f"The study {name!r} was not made by keras_optim_lab."
                if study.get_trials(deepcopy=False)
                else f"The study {name!r} is empty, and nothing says yet what it searches. "
                f"Begin it first: tune(..., name={name!r})."
            )
        if task is None and stored["task"] not in tasks.names():
            raise ValueError(
                f"The study {name!r} trains the task {stored['task']!r}, which is not built in. "
                "Pass it: TuningResult.load(name, task=your_task)."
            )
        chosen = study.user_attrs.get(plan.CHOICES, {})
        own_seed = int.from_bytes(os.urandom(4), "little")
        task = task or tasks.get(stored["task"])
        space = SearchSpace.from_description(stored["space"], Recipe.of(task))
        study.sampler = samplers.sampler(
            sampler or chosen.get("sampler"), own_seed, space.distributions
        )
        study.pruner = samplers.pruner(
            pruner or chosen.get("pruner"), space.most_epochs or stored["epochs"]
        )
        return cls(
            study,
            opened,
            task,
            space,
            Criterion(stored["objective"], stored["direction"]),
            stored["seed"],
            stored.get("seeds_per_trial", 1),
            stored.get("folds"),
        )

    def run(
        self,
        trials: int | None = None,
        engine: Engine | None = None,
        callbacks: Sequence[Callback] = (),
        minutes: "float | Budget | None" = None,
    ) -> None:
        """Trains until the study holds `trials` finished ones; those it has count.

        Several processes may do so at once. Trials whose process has died are trained again with
        the same parameters; while others train the last ones, this waits for them.

        Ctrl-C ends it at the end of an epoch, and a second one at once.

        As in `Study.optimize`, a sampler or a callback may end it earlier with `study.stop()`.

        Args:
            trials: how many finished trials the study is to have, at least 1; by default as many
                as it was last told.
            engine: what trains them; a `PopulationEngine` by default.
            callbacks: called as `callback(study, trial)` after every trial that is told.
            minutes: that it may take, or a `Budget` that runs already. No trial begins that would
                not end in time; one that is still in training is trained again by the next run.

        Raises:
            ValueError: the time was over before any trial had ended.
        """
        check_callbacks(callbacks)
        budget = minutes if isinstance(minutes, Budget) else Budget(minutes, kept_back=0.0)
        trials = self.wanted(trials)
        engine = engine or default_engine()
        with (
            ended_by(self.kept),
            interruptible(),
            stoppable(self.study) as stopped,
            signs_of_life(self.storage),
        ):
            asked = Asked(self, trials, callbacks, stopped, budget)
            while True:
                raise_if_interrupted()
                before = len(self.finished_trials)
                take_up_abandoned(self.study, self.storage)
                if asked.left:
                    engine.run(self.task, asked)
                finished = len(self.finished_trials)
                if finished >= trials or asked.ended:
                    break
                if finished == before and not self._others_train():
                    break
                time.sleep(_PAUSE)
        if engine.summary:
            self.study.set_user_attr(ENGINE, engine.summary)
        if budget.minutes and not self.finished_trials and not stopped.is_set():
            raise ValueError(self._too_short(budget))

    def _too_short(self, budget: Budget) -> str:
        """Says that the time was over before there was any result."""
        trials = self.study.get_trials(deepcopy=False)
        ended = {
            trial.user_attrs["epochs"]: self.space.decode(trial.params).on(self.task).epochs
            for trial in trials
            if "epochs" in trial.user_attrs
        }
        epochs, every = max(ended.items(), default=(0, self.task.epochs))
        return (
            f"minutes={budget.minutes:g} are too few for one training: {epochs} of "
            f"{every} epochs had ended when the time for trials was over. Give more, "
            f"with name={self.study.study_name!r}, which trains what was cut off again."
        )

    def kept(self) -> str:
        """Says what an interrupted study keeps and how it goes on."""
        name = self.study.study_name
        return (
            f"Stopped; the study {name!r} keeps its {len(self.finished_trials)} finished trials. "
            f"Continue with the same call and name={name!r}."
        )

    def wanted(self, trials: int | None = None) -> int:
        """How many finished trials the study is to have; a number given is kept with the study.

        Raises:
            ValueError: it was never told.
        """
        if trials is None:
            trials = self.study.user_attrs.get(_TRIALS)
            if trials is None:
                raise ValueError(
                    f"The study {self.study.study_name!r} does not say how many trials it is to "
                    "have. Pass it: run(trials=...)."
                )
            return trials
        trials = whole_number("trials", trials)
        self.study.set_user_attr(_TRIALS, trials)
        return trials

    def _others_train(self) -> bool:
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return bool(running) and self.storage.finds_abandoned


def _new_name(task: Task, space: SearchSpace) -> str:
    # To the microsecond: two studies begun in the same second are two studies.
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    few = len(space.optimizers) <= 3
    searched = "+".join(space.optimizers) if few else f"{len(space.optimizers)}-optimizers"
    return file_name(f"{task.name}-{searched}-{now}")
