"""The runs of KerasTuner's trials, each of which is one trial of a study."""

import math
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import optuna
from keras_tuner.engine.hyperparameters import HyperParameter
from keras_tuner.engine.trial import Trial, TrialStatus
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from keras_optim_lab.keras_tuner.parameters import named, parameter
from keras_optim_lab.tuning.asked import stoppable
from keras_optim_lab.tuning.storages.optuna_private import id_of

# Attributes of the Optuna trials: which oracle runs them, and as which of its trials.
_ORACLE = "keras_tuner_oracle"
_TRIAL = "keras_tuner_trial"


@dataclass
class _Run:
    """A trial of KerasTuner's in training."""

    trial: optuna.Trial
    epochs: int = 0  # that were reported


class Runs:
    """Which trial of the study each run of KerasTuner's trials is.

    Every run is told to the study once, also where somebody has told it by hand.

    Args:
        study: returns the study, which is opened when it is first asked for.

    Attributes:
        numbers: of the last run of each trial in the study, by KerasTuner's id.
        pruned: ids of trials that were.
        exhausted: whether the sampler has nothing left to try.
    """

    def __init__(self, study: Callable[[], optuna.Study]):
        self._study = study
        self._oracle = uuid.uuid4().hex
        self._running: dict[str, _Run] = {}
        self.numbers: dict[str, int] = {}
        self.pruned: set[str] = set()
        self.exhausted = False

    def state(self) -> dict[str, Any]:
        return {
            "oracle": self._oracle,
            "numbers": self.numbers,
            "pruned": sorted(self.pruned),
            "exhausted": self.exhausted,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._oracle = state["oracle"]
        self.numbers = dict(state["numbers"])
        self.pruned = set(state["pruned"])
        self.exhausted = state["exhausted"]

    def running(self, trial_id: str) -> bool:
        return trial_id in self._running

    def owns(self, trial: FrozenTrial) -> bool:
        """Whether a trial of the study is a run of this oracle's."""
        return trial.user_attrs.get(_ORACLE) == self._oracle

    def trial_id(self, trial: FrozenTrial) -> str:
        """KerasTuner's id of the trial that it is a run of."""
        return trial.user_attrs.get(_TRIAL, "")

    def ask(self, trial_id: str) -> optuna.Trial:
        """A trial of the study, which is a run once it is `begun`."""
        trial = self._study().ask()
        trial.set_user_attr(_ORACLE, self._oracle)
        trial.set_user_attr(_TRIAL, trial_id)
        return trial

    def begun(self, trial_id: str, trial: optuna.Trial) -> None:
        self._running[trial_id] = _Run(trial)
        self.numbers[trial_id] = trial.number

    def begin(
        self,
        trial_id: str,
        params: dict[str, Any],
        distributions: dict[str, BaseDistribution],
        system_attrs: dict[str, Any] | None = None,
    ) -> None:
        """Begins a run with these parameters."""
        # Not enqueued: another process on this storage could be given it.
        study = self._study()
        study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params=params,
                distributions=distributions,
                user_attrs={_ORACLE: self._oracle, _TRIAL: trial_id},
                system_attrs=system_attrs,
            )
        )
        stored = next(
            stored
            for stored in reversed(study.get_trials(deepcopy=False))
            if self.owns(stored) and self.trial_id(stored) == trial_id
        )
        self.begun(trial_id, optuna.Trial(study, id_of(stored)))

    def begin_again(self, trial_id: str) -> None:
        """Begins another run with the parameters of the last one."""
        last = self._study().get_trials(deepcopy=False)[self.numbers[trial_id]]
        self.begin(trial_id, last.params, last.distributions, last.system_attrs)
        self.pruned.discard(trial_id)

    def report(self, trial_id: str, value: float, epoch: int) -> bool:
        """Reports the objective after an epoch; returns whether the trial is pruned."""
        run = self._running[trial_id]
        # Of several executions of a trial the first is reported.
        if trial_id not in self.pruned and epoch >= run.epochs:
            run.epochs = epoch + 1
            with suppress(UpdateFinishedTrialError):
                if not math.isfinite(value):
                    run.trial.set_user_attr("diverged", True)
                    self.pruned.add(trial_id)
                else:
                    run.trial.report(value, epoch)
                    if run.trial.should_prune():
                        self.pruned.add(trial_id)
        return trial_id in self.pruned

    def tell_discovered(self, trial: Trial, space: Iterable[HyperParameter]) -> None:
        """Records the default values that a trial had for hyperparameters it met first."""
        run = self._running.get(trial.trial_id)
        if run is None:
            return
        known = run.trial.params
        for hp, name in named(space):
            met = parameter(hp, name)
            if met is None or met.name in known or not trial.hyperparameters.is_active(hp):
                continue
            try:
                value = met.encode(trial.hyperparameters.values[hp.name])
            except (KeyError, ValueError):
                continue
            internal = met.distribution.to_internal_repr(value)
            with suppress(UpdateFinishedTrialError):
                run.trial.storage.set_trial_param(
                    id_of(run.trial), met.name, internal, met.distribution
                )

    def tell(self, trial: Trial) -> None:
        """Tells the study how the last run of a trial has ended."""
        number = self.numbers[trial.trial_id]
        self._running.pop(trial.trial_id, None)
        if trial.score is not None and math.isnan(trial.score):
            # As pruned, so that samplers learn to stay away from where it was.
            self.end(number, TrialState.PRUNED)
        elif trial.status != TrialStatus.COMPLETED or trial.score is None:
            self.end(number, TrialState.FAIL)
        elif trial.trial_id in self.pruned:
            self.end(number, TrialState.PRUNED)
        else:
            self.end(number, TrialState.COMPLETE, float(trial.score))

    def end(self, number: int, state: TrialState, value: float | None = None) -> FrozenTrial:
        """Ends a trial of the study."""
        study = self._study()
        with stoppable(study) as stopped:
            told = study.tell(number, value, state, skip_if_finished=True)
        self.exhausted |= stopped.is_set()
        return told
