"""An oracle for KerasTuner that asks an Optuna study."""

import functools
import importlib.util
import math
import os
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import optuna
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.src.engine import oracle as engine  # for its locks, which nothing exports
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from keras_optim_lab.arguments import whole_number
from keras_optim_lab.keras_tuner.parameters import named, parameter
from keras_optim_lab.tuning import samplers as choices
from keras_optim_lab.tuning.criterion import Direction
from keras_optim_lab.tuning.spaces.space import suggest_parameter
from keras_optim_lab.tuning.storages.abandoned import ERROR
from keras_optim_lab.tuning.storages.buffered import BufferedStorage
from keras_optim_lab.tuning.storages.storage import open_storage
from keras_optim_lab.tuning.study import stoppable

_JOURNAL = "optuna.journal"
# Attributes of the Optuna trials: which oracle runs them, and as which of its trials.
_ORACLE = "keras_tuner_oracle"
_TRIAL = "keras_tuner_trial"
_ENDED = (TrialStatus.COMPLETED, TrialStatus.FAILED)


def _synchronized(method: Callable) -> Callable:
    """KerasTuner's `synchronized`, whose lock nobody gets any more after a method has raised."""
    locked = keras_tuner.synchronized(method)

    @functools.wraps(method)
    def gives_back(oracle, *args, **kwargs):
        thread = threading.current_thread().name
        held = engine.THREADS[oracle] == thread
        try:
            return locked(oracle, *args, **kwargs)
        except BaseException:
            if not held and engine.THREADS[oracle] == thread:
                engine.THREADS[oracle] = None
                engine.LOCKS[oracle].release()
            raise

    return gives_back


@dataclass
class _Run:
    """A trial of KerasTuner's in training."""

    trial: optuna.Trial
    epochs: int = 0  # that were reported


class OptunaOracle(keras_tuner.Oracle):
    """Lets an Optuna study choose the hyperparameters of KerasTuner's trials.

        oracle = kol.keras_tuner.OptunaOracle("val_loss", max_trials=50, seed=0)
        tuner = keras_tuner.Tuner(oracle, hypermodel, directory="searches", project_name="mine")
        tuner.search(x, y, validation_data=(x_val, y_val), epochs=20)
        optuna.visualization.plot_slice(oracle.study)

    Every hyperparameter of KerasTuner's can be searched, in conditional scopes or not, and those
    that are discovered while a model is built join; `parameters.py` says what each becomes.

    Each run of a trial is one trial of the study and is told once. A run that raised, or was cut
    off with its process, is told as failed, and a run that takes its place has the same parameters.
    A search goes on where it stopped when the tuner is made again with `overwrite=False`.

    Several processes work on one search through KerasTuner's chief and workers, or each with its
    own project `directory` on a shared `storage` and `study_name`; `max_trials` then counts those
    of one process, and each needs another `seed`.

    Attributes:
        study: the `optuna.Study`; needs the project's folder, so a tuner must have been made.
        reported_by_epoch: whether the tuner calls `update_trial` after every epoch.

    Args:
        objective: as in `keras_tuner.Oracle`. The value of a trial is what KerasTuner makes its
            score, that of the best epoch; several objectives are one, their sum, as there.
        max_trials: trials of the search, retries not counted; None for no limit. It ends earlier
            when the space is exhausted, as those of KerasTuner's own oracles do: no values are
            tried twice.
        sampler: any Optuna sampler, or "tpe" (the default), "random", "qmc". One that is given as
            an object with a seed draws the same numbers again when a search goes on; a name does
            not.
        pruner: any Optuna pruner; needs an `OptunaTuner`. None never prunes.
        storage: a path to a journal file, an Optuna URL or an Optuna storage; by default the
            journal `optuna.journal` in the project's folder.
        study_name: by default the name of the project. A study of this name that the storage holds
            is gone on with.
        seed: of the sampler, unless that is given as an object. None for a random one.
        hyperparameters, allow_new_entries, tune_new_entries, max_retries_per_trial,
        max_consecutive_failed_trials: as in `keras_tuner.Oracle`.

    Raises:
        TypeError, ValueError: an argument is wrong.
        ModuleNotFoundError: KerasTuner on TensorFlow needs tensorboard, and it is not installed.
    """

    def __init__(
        self,
        objective: Any = None,
        max_trials: int | None = 10,
        *,
        sampler: str | BaseSampler | None = None,
        pruner: BasePruner | None = None,
        storage: str | Path | BaseStorage | None = None,
        study_name: str | None = None,
        seed: int | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
    ):
        _check_tensorboard()
        if max_trials is not None:
            max_trials = whole_number("max_trials", max_trials)
        if pruner is not None and not isinstance(pruner, BasePruner):
            raise TypeError(f"`pruner` must be an Optuna pruner. Received: pruner={pruner!r}")
        seed = None if seed is None else whole_number("seed", seed, least=0)
        choices.sampler(sampler, seed or 0)  # refuses what is none
        super().__init__(
            objective=objective,
            max_trials=max_trials,
            hyperparameters=hyperparameters,
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            seed=seed,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        if seed is not None:
            self.seed = self._seed_state = seed  # KerasTuner takes 0 for none
        self.reported_by_epoch = False
        self._project_name: str | None = None
        self._sampler = sampler
        self._pruner = pruner
        self._storage = storage
        self._study_name = study_name
        self._study: optuna.Study | None = None
        self._id = uuid.uuid4().hex
        self._begun = False
        self._exhausted = False  # the sampler has nothing left to try
        self._running: dict[str, _Run] = {}  # by id of the trial, as all below
        self._numbers: dict[str, int] = {}  # of the last run in the study
        self._pruned: set[str] = set()

    @property
    def study(self) -> optuna.Study:
        if self._study is None:
            self._study = self._open_study()
        return self._study

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Asks the study for a trial. Called by `create_trial`."""
        values = self._draw(trial_id)
        status = TrialStatus.STOPPED if values is None else TrialStatus.RUNNING
        return {"status": status, "values": values}

    @_synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        if self._pruner is not None and not self.reported_by_epoch:
            raise ValueError(
                f"pruner={self._pruner!r} needs to see every epoch, which this tuner does not "
                "report. Use kol.keras_tuner.OptunaTuner in place of keras_tuner.Tuner, or "
                "pruner=None."
            )
        if not self._begun:
            self._begun = True
            # KerasTuner takes a project up only once a trial has ended in it.
            if not self.trials and os.path.exists(self._get_oracle_fname()):
                self.reload()
        trial = super().create_trial(tuner_id)
        if trial.status == TrialStatus.RUNNING and trial.trial_id not in self._running:
            self._run_again(trial)
        return trial

    @_synchronized
    def update_trial(self, trial_id: str, metrics: Mapping[str, float], step: int = 0) -> Trial:
        """Records metrics; the status of the trial that it returns is STOPPED if it is pruned."""
        trial = super().update_trial(trial_id, metrics, step=step)
        if self.reported_by_epoch:
            self._report(trial_id, float(self.objective.get_value(metrics)), step)
            if trial_id in self._pruned:
                trial.status = TrialStatus.STOPPED
        return trial

    @_synchronized
    def end_trial(self, trial: Trial) -> None:
        # KerasTuner writes its own record first: what is told is never more than what is kept.
        try:
            super().end_trial(trial)
        finally:
            ended = self.trials[trial.trial_id]
            self._tell_discovered(ended)
            self._tell(ended)
        self.save()

    def get_state(self) -> dict[str, Any]:
        own = {
            "oracle": self._id,
            "numbers": self._numbers,
            "pruned": sorted(self._pruned),
            "exhausted": self._exhausted,
        }
        return {**super().get_state(), "optuna": own}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        own = state["optuna"]
        self._id = own["oracle"]
        self._numbers = dict(own["numbers"])
        self._pruned = set(own["pruned"])
        self._exhausted = own["exhausted"]

    def reload(self) -> None:
        """Takes the project up: trials in flight will be run again with the same parameters.

        Raises:
            RuntimeError: the project was made with another oracle.
            ValueError: the storage does not hold the trials of this project.
        """
        super().reload()
        # KerasTuner puts every trial here that it had not yet crossed off, and some twice.
        queue: list[str] = self._retry_queue
        queue[:] = [t for t in dict.fromkeys(queue) if self.trials[t].status not in _ENDED]
        stored = self.study.get_trials(deepcopy=False)
        for trial_id, number in self._numbers.items():
            if number >= len(stored) or stored[number].user_attrs.get(_ORACLE) != self._id:
                raise ValueError(
                    f"The project {self._project_dir!r} has a trial {trial_id} that the study "
                    f"{self.study.study_name!r} does not hold. Give the storage and study_name "
                    "with which it was begun, or overwrite=True to the tuner to begin again."
                )
        for trial in stored:
            if trial.state != TrialState.RUNNING or trial.user_attrs.get(_ORACLE) != self._id:
                continue
            trial_id = trial.user_attrs.get(_TRIAL, "")
            ended = self.trials.get(trial_id)
            last = self._numbers.get(trial_id) == trial.number
            if last and ended is not None and ended.status in _ENDED:
                self._tell(ended)
            else:
                self.study.tell(trial.number, state=TrialState.FAIL)

    def _open_study(self) -> optuna.Study:
        name = self._study_name or self._project_name
        if name is None or (self._project_name is None and self._storage is None):
            raise RuntimeError(
                "The study belongs to a project. Make the tuner first: "
                "keras_tuner.Tuner(oracle, ..., directory=..., project_name=...)."
            )
        path = self._storage or Path(self._project_dir) / _JOURNAL
        maximize = self.objective.direction == "max"
        direction: Direction = "maximize" if maximize else "minimize"
        study = optuna.create_study(
            study_name=name,
            storage=BufferedStorage(open_storage(path, name)),
            pruner=self._pruner or NopPruner(),
            direction=direction,
            load_if_exists=True,
        )
        if [held.name.lower() for held in study.directions] != [direction]:
            raise ValueError(
                f"objective={self.objective} is to be {direction}d, and the study {name!r} is "
                f"stored with {', '.join(held.name for held in study.directions)}. Choose another "
                "study_name."
            )
        # The same seed again would ask for the same first trials again.
        study.sampler = choices.sampler(self._sampler, self.seed + len(study.trials))
        return study

    def _draw(self, trial_id: str) -> dict[str, Any] | None:
        """Values that no trial has had; None once the space is exhausted.

        As in KerasTuner's own oracles, that is when so many draws in a row were none.
        """
        for _ in range(self._max_collisions + 1):
            if self._exhausted:
                return None
            trial = self.study.ask()
            trial.set_user_attr(_ORACLE, self._id)
            trial.set_user_attr(_TRIAL, trial_id)
            try:
                values = self._suggest(functools.partial(suggest_parameter, trial))
            except BaseException:
                self.study.tell(trial, state=TrialState.FAIL)
                raise
            if not self._tried(values):
                self._run(trial_id, trial)
                return values
            trial.set_user_attr(ERROR, "an earlier trial has these values")
            told = self._tell_study(trial.number, TrialState.FAIL)
            if not isinstance(self._sampler, BaseSampler):
                # It would propose what it holds for the best again and again.
                return self._draw_at_random(trial_id, told)
        return None

    def _draw_at_random(self, trial_id: str, told: FrozenTrial) -> dict[str, Any] | None:
        sampler = RandomSampler(seed=self._seed_state)
        self._seed_state += 1
        for _ in range(self._max_collisions):
            values, params, distributions = self._at_random(sampler, told)
            if not self._tried(values):
                self._begin(trial_id, params, distributions)
                return values
        return None

    def _at_random(self, sampler: RandomSampler, trial: FrozenTrial):
        params: dict[str, Any] = {}
        distributions: dict[str, BaseDistribution] = {}

        def choose(name: str, distribution: BaseDistribution) -> Any:
            distributions[name] = distribution
            params[name] = sampler.sample_independent(self.study, trial, name, distribution)
            return params[name]

        return self._suggest(choose), params, distributions

    def _tried(self, values: Mapping[str, Any]) -> bool:
        # A trial that fails before it comes to its hyperparameters has had no values.
        known = values or any(t.status == TrialStatus.COMPLETED for t in self.trials.values())
        return bool(known) and self._duplicate(values)

    def _suggest(self, suggest: Callable[[str, BaseDistribution], Any]) -> dict[str, Any]:
        """Values of all hyperparameters that are active with these values."""
        chosen = self.hyperparameters.copy()
        chosen.values = {}
        waiting = named(chosen.space)
        # Not in one pass: in a space that a worker sent, parents may stand behind their children.
        while pair := next((pair for pair in waiting if chosen.is_active(pair[0])), None):
            waiting.remove(pair)
            hp, name = pair
            asked = parameter(hp, name)
            if asked is None:
                chosen.values[hp.name] = hp.value
            else:
                chosen.values[hp.name] = asked.decode(suggest(asked.name, asked.distribution))
        return chosen.values

    def _run_again(self, trial: Trial) -> None:
        """Begins another run of a trial whose last one failed or was cut off."""
        last = self.study.get_trials(deepcopy=False)[self._numbers[trial.trial_id]]
        self._begin(trial.trial_id, last.params, last.distributions, last.system_attrs)
        # Else KerasTuner would average the epochs of this run with those of the last.
        trial.metrics = type(trial.metrics)()
        trial.score = None
        self._pruned.discard(trial.trial_id)
        self._save_trial(trial)
        self.save()

    def _begin(
        self,
        trial_id: str,
        params: dict[str, Any],
        distributions: dict[str, BaseDistribution],
        system_attrs: dict[str, Any] | None = None,
    ) -> None:
        """Begins a run with these parameters."""
        # Not enqueued: another process on this storage could be given it.
        begun = create_trial(
            state=TrialState.RUNNING,
            params=params,
            distributions=distributions,
            user_attrs={_ORACLE: self._id, _TRIAL: trial_id},
            system_attrs=system_attrs,
        )
        self.study.add_trial(begun)
        stored = next(
            stored
            for stored in reversed(self.study.get_trials(deepcopy=False))
            if stored.user_attrs.get(_ORACLE) == self._id
            and stored.user_attrs.get(_TRIAL) == trial_id
        )
        self._run(trial_id, optuna.Trial(self.study, stored._trial_id))

    def _run(self, trial_id: str, trial: optuna.Trial) -> None:
        self._running[trial_id] = _Run(trial)
        self._numbers[trial_id] = trial.number

    def _report(self, trial_id: str, value: float, step: int) -> None:
        run = self._running[trial_id]
        if trial_id in self._pruned or step < run.epochs:  # a later execution of the same trial
            return
        run.epochs = step + 1
        with suppress(UpdateFinishedTrialError):  # somebody told it by hand
            if not math.isfinite(value):
                run.trial.set_user_attr("diverged", True)
                self._pruned.add(trial_id)
                return
            run.trial.report(value, step)
            if run.trial.should_prune():
                self._pruned.add(trial_id)

    def _tell_discovered(self, trial: Trial) -> None:
        """Records the default values that a trial had for hyperparameters it met first."""
        run = self._running.get(trial.trial_id)
        if run is None:
            return
        known = run.trial.params
        for hp, name in named(self.hyperparameters.space):
            met = parameter(hp, name)
            if met is None or met.name in known or not trial.hyperparameters.is_active(hp):
                continue
            try:
                value = met.encode(trial.hyperparameters.values[hp.name])
            except (KeyError, ValueError):
                continue
            internal = met.distribution.to_internal_repr(value)
            with suppress(UpdateFinishedTrialError):  # somebody told it by hand
                run.trial.storage.set_trial_param(
                    run.trial._trial_id, met.name, internal, met.distribution
                )

    def _tell(self, trial: Trial) -> None:
        number = self._numbers[trial.trial_id]
        self._running.pop(trial.trial_id, None)
        state, value = TrialState.FAIL, None
        if trial.score is not None and math.isnan(trial.score):
            # As pruned, so that samplers learn to stay away from where it was.
            state = TrialState.PRUNED
        elif trial.status == TrialStatus.COMPLETED and trial.score is not None:
            pruned = trial.trial_id in self._pruned
            state = TrialState.PRUNED if pruned else TrialState.COMPLETE
            value = None if pruned else float(trial.score)
        self._tell_study(number, state, value)

    def _tell_study(
        self, number: int, state: TrialState, value: float | None = None
    ) -> FrozenTrial:
        with stoppable(self.study):
            told = self.study.tell(number, value, state, skip_if_finished=True)
            self._exhausted |= self.study._stop_flag
        return told


def _check_tensorboard() -> None:
    tensorflow = keras.backend.backend() == "tensorflow"
    if tensorflow and importlib.util.find_spec("tensorboard") is None:
        raise ModuleNotFoundError(
            "On TensorFlow, KerasTuner needs tensorboard in every trial, and it is not installed. "
            'Run: pip install "keras-optim-lab[keras-tuner]"',
            name="tensorboard",
        )
