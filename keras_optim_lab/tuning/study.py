"""A tuning study: an `optuna.Study` whose trials train a task."""

import datetime
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from keras_optim_lab import tasks
from keras_optim_lab.arguments import whole_number
from keras_optim_lab.files import file_name
from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning import samplers
from keras_optim_lab.tuning.candidate import StudyCandidate
from keras_optim_lab.tuning.checks import (
    Callback,
    check_callbacks,
    check_can_be_stored,
    check_model,
    check_something_is_searched,
    check_steps_are_known,
)
from keras_optim_lab.tuning.continuation import check_same_plan, is_empty
from keras_optim_lab.tuning.criterion import Criterion
from keras_optim_lab.tuning.engines.engine import Engine
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from keras_optim_lab.tuning.interruption import ended_by, interruptible, raise_if_interrupted
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.spaces.space import Searched, SearchSpace
from keras_optim_lab.tuning.storages.abandoned import ERROR, is_repeated, lost
from keras_optim_lab.tuning.storages.buffered import BufferedStorage
from keras_optim_lab.tuning.storages.heartbeat import signs_of_life, take_up_abandoned
from keras_optim_lab.tuning.storages.storage import load_study, open_storage

_PLAN = "keras_optim_lab"  # the study's attribute that says what it searches
_CHOICES = "choices"  # names of its sampler and pruner, for other processes
_TRIALS = "trials"  # how many finished ones it is to have
_CONFIRMATION = "confirmation"
ENGINE = "engine"  # and the one that says what trained it
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
_PAUSE = 1.0  # seconds between two looks at what other processes have done


class TuningStudy:
    """A study and all that is needed to run it, continue it and read its result.

    Attributes:
        study: the `optuna.Study`.
        task: what is trained.
        space: what may be chosen.
        objective: what is improved.
        seed: of the sampler, and the first one that a trial is trained with.
        seeds_per_trial: runs of each trial, which is judged by their mean.
    """

    def __init__(
        self,
        study: optuna.Study,
        task: Task,
        space: SearchSpace,
        objective: Criterion,
        seed: int,
        seeds_per_trial: int = 1,
    ):
        self.study = study
        self.task = task
        self.space = space
        self.objective = objective
        self.seed = seed
        self.seeds_per_trial = seeds_per_trial

    @classmethod
    def create(
        cls,
        task: Task | str,
        optimizer: Searched,
        *,
        seed: int = 0,
        sampler: str | BaseSampler | None = None,
        pruner: str | BasePruner | None = None,
        storage: str | Path | BaseStorage | None = None,
        name: str | None = None,
        space: Mapping[str, Any] | None = None,
        objective: Any = "val_loss",
        seeds_per_trial: int = 1,
    ):
        """A new study, or the stored one of this name. See `keras_optim_lab.tune`."""
        seed = whole_number("seed", seed, least=0)
        seeds_per_trial = whole_number("seeds_per_trial", seeds_per_trial)
        searched = SearchSpace(optimizer, space)
        task = tasks.get(task) if isinstance(task, str) else task
        if not isinstance(task, Task):
            raise TypeError(
                "`task` must be the name of a task or a keras_optim_lab.Task. "
                f"Received: task={task!r}"
            )
        wanted = Criterion.of(objective, task)
        check_steps_are_known(task, searched)
        check_something_is_searched(task, searched)
        check_can_be_stored(searched)
        check_model(task, searched, wanted)
        chosen_sampler = samplers.sampler(sampler, seed)
        chosen_pruner = samplers.pruner(pruner, task.epochs)
        name = _new_name(task, searched) if name in (None, "") else name
        plan = {
            "task": task.name,
            "objective": wanted.name,
            "direction": wanted.direction,
            "epochs": task.epochs,
            "batch_size": task.batch_size,
            "space": searched.describe(),
            "seeds_per_trial": seeds_per_trial,
        }
        opened = BufferedStorage(open_storage(storage, name))
        try:
            study = optuna.load_study(
                study_name=name, storage=opened, sampler=chosen_sampler, pruner=chosen_pruner
            )
        except KeyError:
            study = optuna.create_study(
                study_name=name,
                storage=opened,
                sampler=chosen_sampler,
                pruner=chosen_pruner,
                direction=wanted.direction,
                load_if_exists=True,  # by now
            )
        # Whoever created it may have been killed before it had a plan, or be about to write one.
        begun = {_PLAN: {**plan, "seed": seed}, _CHOICES: samplers.described(sampler, pruner)}
        if not is_empty(study, wanted.direction) or not opened.claim(study._study_id, begun):
            check_same_plan(name, study.user_attrs.get(_PLAN), plan)
            if not isinstance(sampler, BaseSampler):
                # The same seed again would ask for the same first trials again.
                study.sampler = samplers.sampler(sampler, seed + len(study.trials))
        return cls(study, task, searched, wanted, seed, seeds_per_trial)

    @classmethod
    def load(
        cls,
        name: str,
        storage: str | Path | BaseStorage | None = None,
        task: Task | None = None,
        sampler: str | BaseSampler | None = None,
        pruner: str | BasePruner | None = None,
    ):
        """A stored study, to read its result or to train more of its trials.

        Args:
            name: of the study.
            storage: where it is; see `keras_optim_lab.tune`.
            task: needed if it is not a built-in one.
            sampler: as in `tune`; that of the study by default, with a seed of its own, so that
                several processes do not propose the same.
            pruner: as in `tune`; that of the study by default.
        """
        study = load_study(name, storage)
        plan = study.user_attrs.get(_PLAN)
        if plan is None:
            raise ValueError(
                f"The study {name!r} was not made by keras_optim_lab."
                if study.get_trials(deepcopy=False)
                else f"The study {name!r} is empty, and nothing says yet what it searches. "
                f"Begin it first: tune(..., name={name!r})."
            )
        if task is None and plan["task"] not in tasks.names():
            raise ValueError(
                f"The study {name!r} trains the task {plan['task']!r}, which is not built in. "
                "Pass it: TuningResult.load(name, task=your_task)."
            )
        chosen = study.user_attrs.get(_CHOICES, {})
        own_seed = int.from_bytes(os.urandom(4), "little")
        study.sampler = samplers.sampler(sampler or chosen.get("sampler"), own_seed)
        study.pruner = samplers.pruner(pruner or chosen.get("pruner"), plan["epochs"])
        return cls(
            study,
            task or tasks.get(plan["task"]),
            SearchSpace.from_description(plan["space"]),
            Criterion(plan["objective"], plan["direction"]),
            plan["seed"],
            plan.get("seeds_per_trial", 1),
        )

    def run(
        self,
        trials: int | None = None,
        engine: Engine | None = None,
        callbacks: Sequence[Callback] = (),
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
        """
        check_callbacks(callbacks)
        trials = self.wanted(trials)
        engine = engine or PopulationEngine()
        with (
            ended_by(self.kept),
            interruptible(),
            stoppable(self.study),
            signs_of_life(self.study),
        ):
            while True:
                raise_if_interrupted()
                before = len(self.finished_trials)
                take_up_abandoned(self.study)
                asked = Asked(self, trials, callbacks)
                if asked.left:
                    engine.run(self.task, asked)
                finished = len(self.finished_trials)
                if finished >= trials or self.study._stop_flag:
                    break
                if finished == before and not self._others_train():
                    break
                time.sleep(_PAUSE)
        if engine.summary:
            self.study.set_user_attr(ENGINE, engine.summary)

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
        return bool(running) and _finds_abandoned(self.study)

    @property
    def steps(self) -> int | None:
        """Optimizer steps of one training, over all epochs; None where the task cannot tell."""
        return self.task.training_steps

    @property
    def metric(self) -> str:
        """What the objective is called when a model is evaluated, on whichever split."""
        return self.objective.name.removeprefix("val_")

    @property
    def finished_trials(self) -> list[FrozenTrial]:
        """Trials that were told a result: complete, pruned or diverged."""
        return self.study.get_trials(deepcopy=False, states=_FINISHED)

    @property
    def ranked_trials(self) -> list[FrozenTrial]:
        """The complete trials, best objective first.

        Raises:
            RuntimeError: no trial has been completed.
        """
        complete = self.study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        if not complete:
            raise RuntimeError(
                f"The study {self.study.study_name!r} has no complete trial yet, so it has no "
                "best settings. Run more trials."
            )
        maximize = self.objective.direction == "maximize"
        return sorted(complete, key=lambda trial: cast(float, trial.value), reverse=maximize)

    @property
    def best_trial(self) -> FrozenTrial:
        """The complete trial with the best objective, over fresh seeds where it was confirmed.

        Raises:
            RuntimeError: no trial has been completed.
        """
        ranked = self.ranked_trials
        confirmed = self.confirmation
        if not confirmed:
            return ranked[0]
        sign = -1.0 if self.objective.direction == "maximize" else 1.0

        def mean(trial: FrozenTrial) -> float:
            value = sign * sum(confirmed[trial.number]) / len(confirmed[trial.number])
            return value if math.isfinite(value) else math.inf

        return min((trial for trial in ranked if trial.number in confirmed), key=mean)

    @property
    def confirmation(self) -> dict[int, list[float]]:
        """The objective over fresh seeds, by number of trial; empty once trials were added."""
        kept = self.study.user_attrs.get(_CONFIRMATION)
        if kept is None or kept["finished"] != len(self.finished_trials):
            return {}
        return {int(number): values for number, values in kept["values"].items()}

    def keep_confirmation(self, values: Mapping[int, list[float]]) -> None:
        """Keeps with the study what the objective was over fresh seeds."""
        self.study.set_user_attr(
            _CONFIRMATION, {"finished": len(self.finished_trials), "values": dict(values)}
        )

    @property
    def best_configuration(self) -> Configuration:
        """What the best trial chose."""
        return self.space.decode(self.best_trial.params)

    @property
    def best_name(self) -> str:
        """The name of the best trial's optimizer, such as "adam" or "lookahead(adam)"."""
        return self.best_configuration.name

    @property
    def best_params(self) -> dict[str, Any]:
        """The best trial's hyperparameters, by the names of the optimizer's arguments.

        `schedule` and `warmup` are among them where they are part of the search space, and what a
        model that is built from the trial has chosen for itself.
        """
        params = self.best_trial.params
        settings = self.space.decode(params).settings
        known = {*settings, *self.space.distributions}
        return {**settings, **{name: params[name] for name in params if name not in known}}

    def best_optimizer(self) -> Optimizer:
        """A fresh optimizer with the best settings found.

        A schedule in it is as long as the training of the study's task.
        """
        return self.best_configuration.optimizer(self.steps)

    def default_optimizer(self) -> Optimizer:
        """A fresh optimizer of the same class with its default settings, or as it was given."""
        return self.best_configuration.default.optimizer(self.steps)


class Asked:
    """The candidates of a study: asks it for one trial after the other, as long as it needs more.

    What engines may know of it beforehand is described in `Candidates`.
    """

    def __init__(self, tuning: TuningStudy, trials: int, callbacks: Sequence[Callback]):
        self.forms = tuning.space.forms
        self.runs = tuning.seeds_per_trial
        self.scheduled = bool(tuning.space.schedule)
        self.sampled = True
        self.objective = tuning.objective.name
        self._tuning = tuning
        self._trials = trials
        self._callbacks = callbacks
        self._asked: set[int] = set()
        # Otherwise a trial that nobody trains any more may seem to be running for ever.
        self._counts_others = _finds_abandoned(tuning.study)

    def together(self) -> AbstractContextManager[None]:
        storage = self._tuning.study._storage
        return storage.together() if isinstance(storage, BufferedStorage) else nullcontext()

    def expect(self, count: int) -> None:
        study = self._tuning.study
        if isinstance(study._storage, BufferedStorage):
            waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
            study._storage.expect(max(0, min(count, self.left) - len(waiting)))

    def flush(self) -> None:
        if isinstance(self._tuning.study._storage, BufferedStorage):
            self._tuning.study._storage.flush()

    @property
    def left(self) -> int:
        if self._tuning.study._stop_flag:
            return 0
        return max(0, self._trials - len(self._taken()))

    def _taken(self) -> list[FrozenTrial]:
        """The trials that are finished, or will be if all goes well."""
        trials = self._tuning.study.get_trials(deepcopy=False)
        return [
            *(
                trial
                for trial in trials
                if (state := trial.state) in _FINISHED
                or (state == TrialState.RUNNING and self._runs(trial))
            ),
            # Their place is kept until they are in the queue.
            *(lost(trials) if self._counts_others else []),
        ]

    def _runs(self, trial: FrozenTrial) -> bool:
        return self._counts_others or trial.number in self._asked

    def __iter__(self) -> "Asked":
        return self

    def __next__(self) -> StudyCandidate:
        raise_if_interrupted()
        trial = self._ask()
        tuning = self._tuning
        # All that another process needs to train it again is stored at once.
        with self.together():
            chosen = tuning.space.suggest(trial)
            runs = tuning.seeds_per_trial
            # A trial that takes up an abandoned one has its seed already.
            first = trial.user_attrs.get("seed", tuning.seed + trial.number * runs)
            seeds = range(first, first + runs)
            return StudyCandidate(
                tuning.study, trial, tuning.objective, chosen, tuning.steps, seeds, self._told
            )

    def _ask(self) -> optuna.Trial:
        study = self._tuning.study
        while self.left:
            trial = study.ask()
            number = trial.number
            self._asked.add(number)
            earlier = [other for other in self._taken() if other.number < number]
            if len(earlier) < self._trials and not is_repeated(
                trial._get_latest_trial(), study.get_trials(deepcopy=False)
            ):
                return trial
            trial.set_user_attr(ERROR, "another process began the last trial at the same moment")
            study.tell(trial, state=TrialState.FAIL)
        raise StopIteration

    def _told(self, trial: FrozenTrial) -> None:
        for callback in self._callbacks:
            callback(self._tuning.study, trial)


def _finds_abandoned(study: optuna.Study) -> bool:
    storage = study._storage
    return isinstance(storage, BufferedStorage) and storage.heartbeat_interval is not None


@contextmanager
def stoppable(study: optuna.Study) -> Iterator[None]:
    """Allows `study.stop()`, which grid samplers call and Optuna refuses outside `optimize`."""
    study._stop_flag = False
    study._thread_local.in_optimize_loop = True
    try:
        yield
    finally:
        study._thread_local.in_optimize_loop = False


def _new_name(task: Task, space: SearchSpace) -> str:
    # To the microsecond: two studies begun in the same second are two studies.
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    few = len(space.optimizers) <= 3
    searched = "+".join(space.optimizers) if few else f"{len(space.optimizers)}-optimizers"
    return file_name(f"{task.name}-{searched}-{now}")
