"""Trials whose process has died: they fail, and are trained again with the same parameters."""

import warnings
from collections.abc import Callable, Container, Sequence

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)  # they were told a result
ERROR = "error"  # the user attribute of trials that failed by themselves

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ExperimentalWarning)
    _enqueue = RetryHeartbeatStaleTrialCallback()


def retry(study: optuna.Study, trial: FrozenTrial) -> None:
    """Puts an abandoned trial's parameters, and the seed it was trained with, into the queue."""
    if trial.params:
        _enqueue(study, trial)


def _is_finished(trial: FrozenTrial) -> bool:
    return trial.state.is_finished()


class Known:
    """What is known of the trials of a study, of which those that have ended stay as they are.

    All before the first one that has not ended are looked at once, however often it is asked.

    Args:
        has_ended: whether a trial has ended, and nothing can change it.
    """

    def __init__(self, has_ended: Callable[[FrozenTrial], bool] = _is_finished):
        self._has_ended = has_ended
        self._ended = 0  # all before this number
        self._finished = 0  # of these, complete or pruned
        self._abandoned: set[int] = set()  # of these
        self._taken_up: set[int] = set()  # by these

    def taken(
        self,
        trials: Sequence[FrozenTrial],
        before: int | None = None,
        own: Container[int] | None = None,
    ) -> int:
        """How many are finished, or will be if all goes well.

        Args:
            trials: all of the study, by number.
            before: the number of one that has not ended, to count those that came before it.
            own: the numbers of those that this process trains, where nobody knows whether others
                are trained; None where abandoned ones are found, and have a place until they are
                in the queue.
        """
        self._look(trials)
        others = trials[self._ended : before]
        taken = self._finished + sum(
            each.state in FINISHED
            or (each.state == TrialState.RUNNING and (own is None or each.number in own))
            for each in others
        )
        return taken + len(self._lost(trials, before)) if own is None else taken

    def lost(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """The abandoned ones that are failed, and not enqueued yet."""
        self._look(trials)
        return [trials[number] for number in sorted(self._lost(trials))]

    def _lost(self, trials: Sequence[FrozenTrial], before: int | None = None) -> set[int]:
        abandoned = {*self._abandoned, *_abandoned(trials[self._ended : before])}
        if not abandoned:  # as nearly always
            return abandoned
        later = {number for trial in trials[self._ended :] for number in _history(trial)}
        return abandoned - self._taken_up - later

    def _look(self, trials: Sequence[FrozenTrial]) -> None:
        end = first_open(trials, self._ended, self._has_ended)
        ended = trials[self._ended : end]
        self._finished += sum(each.state in FINISHED for each in ended)
        self._abandoned.update(_abandoned(ended))
        self._taken_up.update(number for trial in ended for number in _history(trial))
        self._ended = end


def first_open(
    trials: Sequence[FrozenTrial],
    start: int = 0,
    has_ended: Callable[[FrozenTrial], bool] = _is_finished,
) -> int:
    """The number of the first trial that has not ended; all before `start` are known to have.

    Where one is missing that another process has begun, it is that one.
    """
    while start < len(trials) and trials[start].number == start and has_ended(trials[start]):
        start += 1
    return start


def _abandoned(trials: Sequence[FrozenTrial]) -> set[int]:
    return {
        trial.number
        for trial in trials
        if trial.state == TrialState.FAIL and trial.params and ERROR not in trial.user_attrs
    }


def is_repeated(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> bool:
    """Whether another trial, which came first, takes up the same abandoned one."""
    history = _history(trial)
    return bool(history) and any(
        _history(other)[-1:] == history[-1:] for other in trials[: trial.number]
    )


def _history(trial: FrozenTrial) -> list[int]:
    return trial.system_attrs.get("retry_history", [])
