"""Trials whose process has died: they fail, and are trained again with the same parameters."""

import warnings

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

WORKER = "worker"  # the system attribute that says who trains a trial, where storages need it
ERROR = "error"  # the user attribute of trials that failed by themselves

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ExperimentalWarning)
    _enqueue = RetryHeartbeatStaleTrialCallback()


def retry(study: optuna.Study, trial: FrozenTrial) -> None:
    """Puts an abandoned trial's parameters, and the seed it was trained with, into the queue."""
    if trial.params:
        trial.system_attrs.pop(WORKER, None)
        _enqueue(study, trial)


def retry_lost(study: optuna.Study) -> None:
    """Enqueues abandoned trials that whoever failed them was killed before enqueueing.

    If several processes do so at once, `is_repeated` finds out.
    """
    trials = study.get_trials(deepcopy=False)
    taken_up = {number for trial in trials for number in _history(trial)}
    for trial in trials:
        abandoned = trial.state == TrialState.FAIL and ERROR not in trial.user_attrs
        if abandoned and trial.number not in taken_up:
            retry(study, study.get_trials()[trial.number])


def is_repeated(trial: FrozenTrial, trials: list[FrozenTrial]) -> bool:
    """Whether another trial, which came first, takes up the same abandoned one."""
    history = _history(trial)
    return bool(history) and any(
        _history(other)[-1:] == history[-1:] for other in trials[: trial.number]
    )


def _history(trial: FrozenTrial) -> list[int]:
    return trial.system_attrs.get("retry_history", [])
