"""Trials whose process has died: they fail, and are trained again with the same parameters."""

import warnings

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

ERROR = "error"  # the user attribute of trials that failed by themselves

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ExperimentalWarning)
    _enqueue = RetryHeartbeatStaleTrialCallback()


def retry(study: optuna.Study, trial: FrozenTrial) -> None:
    """Puts an abandoned trial's parameters, and the seed it was trained with, into the queue."""
    if trial.params:
        _enqueue(study, trial)


def lost(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """The abandoned ones among all trials of a study that are failed, and not enqueued yet."""
    abandoned = [
        trial
        for trial in trials
        if trial.state == TrialState.FAIL and trial.params and ERROR not in trial.user_attrs
    ]
    if not abandoned:  # as nearly always, and this is asked for every new trial of a study
        return []
    taken_up = {number for trial in trials for number in _history(trial)}
    return [trial for trial in abandoned if trial.number not in taken_up]


def is_repeated(trial: FrozenTrial, trials: list[FrozenTrial]) -> bool:
    """Whether another trial, which came first, takes up the same abandoned one."""
    history = _history(trial)
    return bool(history) and any(
        _history(other)[-1:] == history[-1:] for other in trials[: trial.number]
    )


def _history(trial: FrozenTrial) -> list[int]:
    return trial.system_attrs.get("retry_history", [])
