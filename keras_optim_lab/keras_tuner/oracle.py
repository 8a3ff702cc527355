"""An oracle for KerasTuner that asks an Optuna study."""

import importlib.util
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import optuna
from keras_tuner.engine.trial import Trial, TrialStatus
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from keras_optim_lab.arguments import whole_number
from keras_optim_lab.keras_tuner.parameters import suggested
from keras_optim_lab.keras_tuner.private import synchronized
from keras_optim_lab.keras_tuner.runs import Runs
from keras_optim_lab.tuning import samplers as choices
from keras_optim_lab.tuning.criterion import Direction
from keras_optim_lab.tuning.spaces.parameters import suggest_parameter
from keras_optim_lab.tuning.storages.abandoned import ERROR
from keras_optim_lab.tuning.storages.buffered import BufferedStorage
from keras_optim_lab.tuning.storages.storage import open_storage

_JOURNAL = "optuna.journal"
_ENDED = (TrialStatus.COMPLETED, TrialStatus.FAILED)


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
        hyperparameters, allow_new_entries, tune_new_entries: as in `keras_tuner.Oracle`.
        max_retries_per_trial, max_consecutive_failed_trials: as there.

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
        self._begun = False
        self._runs = Runs(lambda: self.study)

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

    @synchronized
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
        if trial.status == TrialStatus.RUNNING and not self._runs.running(trial.trial_id):
            self._run_again(trial)
        return trial

    @synchronized
    def update_trial(self, trial_id: str, metrics: Mapping[str, float], step: int = 0) -> Trial:
        """Records metrics; the status of the trial that it returns is STOPPED if it is pruned."""
        trial = super().update_trial(trial_id, metrics, step=step)
        if self.reported_by_epoch:
            value = float(self.objective.get_value(metrics))
            if self._runs.report(trial_id, value, step):
                trial.status = TrialStatus.STOPPED
        return trial

    @synchronized
    def end_trial(self, trial: Trial) -> None:
        # KerasTuner writes its own record first: what is told is never more than what is kept.
        try:
            super().end_trial(trial)
        finally:
            ended = self.trials[trial.trial_id]
            self._runs.tell_discovered(ended, self.hyperparameters.space)
            self._runs.tell(ended)
        self.save()

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "optuna": self._runs.state()}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self._runs.restore(state["optuna"])

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
        for trial_id, number in self._runs.numbers.items():
            if number >= len(stored) or not self._runs.owns(stored[number]):
                project = os.path.dirname(self._get_oracle_fname())
                raise ValueError(
                    f"The project {project!r} has a trial {trial_id} that the study "
                    f"{self.study.study_name!r} does not hold. Give the storage and study_name "
                    "with which it was begun, or overwrite=True to the tuner to begin again."
                )
        for trial in stored:
            if trial.state != TrialState.RUNNING or not self._runs.owns(trial):
                continue
            trial_id = self._runs.trial_id(trial)
            ended = self.trials.get(trial_id)
            last = self._runs.numbers.get(trial_id) == trial.number
            if last and ended is not None and ended.status in _ENDED:
                self._runs.tell(ended)
            else:
                self.study.tell(trial.number, state=TrialState.FAIL)

    def _open_study(self) -> optuna.Study:
        name = self._study_name or self._project_name
        if name is None or (self._project_name is None and self._storage is None):
            raise RuntimeError(
                "The study belongs to a project. Make the tuner first: "
                "keras_tuner.Tuner(oracle, ..., directory=..., project_name=...)."
            )
        path = self._storage or Path(self._get_oracle_fname()).with_name(_JOURNAL)
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
            if self._runs.exhausted:
                return None
            trial = self._runs.ask(trial_id)
            try:
                values = suggested(self.hyperparameters, partial(suggest_parameter, trial))
            except BaseException:
                self.study.tell(trial, state=TrialState.FAIL)
                raise
            if not self._tried(values):
                self._runs.begun(trial_id, trial)
                return values
            trial.set_user_attr(ERROR, "an earlier trial has these values")
            told = self._runs.end(trial.number, TrialState.FAIL)
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
                self._runs.begin(trial_id, params, distributions)
                return values
        return None

    def _at_random(
        self, sampler: RandomSampler, trial: FrozenTrial
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, BaseDistribution]]:
        params: dict[str, Any] = {}
        distributions: dict[str, BaseDistribution] = {}

        def choose(name: str, distribution: BaseDistribution) -> Any:
            distributions[name] = distribution
            params[name] = sampler.sample_independent(self.study, trial, name, distribution)
            return params[name]

        return suggested(self.hyperparameters, choose), params, distributions

    def _tried(self, values: Mapping[str, Any]) -> bool:
        # A trial that fails before it comes to its hyperparameters has had no values.
        known = values or any(t.status == TrialStatus.COMPLETED for t in self.trials.values())
        return bool(known) and self._duplicate(values)

    def _run_again(self, trial: Trial) -> None:
        """Begins another run of a trial whose last one failed or was cut off."""
        self._runs.begin_again(trial.trial_id)
        # Else KerasTuner would average the epochs of this run with those of the last.
        trial.metrics = type(trial.metrics)()
        trial.score = None
        self._save_trial(trial)
        self.save()


def _check_tensorboard() -> None:
    tensorflow = keras.backend.backend() == "tensorflow"
    if tensorflow and importlib.util.find_spec("tensorboard") is None:
        raise ModuleNotFoundError(
            "On TensorFlow, KerasTuner needs tensorboard in every trial, and it is not installed. "
            'Run: pip install "keras-optim-lab[keras-tuner]"',
            name="tensorboard",
        )
