"""What callbacks that log to another tool have in common."""

import logging
from abc import ABC, abstractmethod
from importlib import import_module
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from keras_optim_lab.tuning.spaces.parameters import field_name, field_value
from keras_optim_lab.tuning.start import PLAN
from keras_optim_lab.tuning.study_result import StudyResult

_log = logging.getLogger("keras_optim_lab")


class Logger(ABC):
    """A callback of `kol.tune` that makes a run for every trial, and one for the study.

    What cannot be logged, as a server does not answer, is said in the log, and the study goes on.
    """

    def __call__(self, study: optuna.Study, trial: FrozenTrial) -> None:
        try:
            self.log_trial(study, trial)
        except Exception as error:
            self._say(f"trial {trial.number}", error)

    def ended(self, result: StudyResult) -> None:
        """Completes the study's own run; called by `kol.tune` after the race."""
        try:
            self.log_end(result)
        except Exception as error:
            self._say("the end of the study", error)

    @abstractmethod
    def log_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Makes a run of a trial that has ended."""

    @abstractmethod
    def log_end(self, result: StudyResult) -> None:
        """Adds to the study's run what came of it."""

    def _say(self, what: str, error: Exception) -> None:
        name = type(self).__name__
        _log.warning("%s has not logged %s: %s: %s", name, what, type(error).__name__, error)


def needed(module: str, extra: str) -> Any:
    """A module of an extra.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"kol.logging needs {module} for this, which cannot be imported ({error}): "
            f'pip install "keras-optim-lab[{extra}]".'
        ) from error


def objective_of(study: optuna.Study) -> str:
    """The name of what is improved."""
    return study.user_attrs[PLAN]["objective"]


def told(study: optuna.Study, trial: FrozenTrial) -> dict[str, str]:
    """What there is to know of a trial beside its settings and numbers."""
    kept = {
        name: trial.user_attrs[name]
        for name in ("seed", "engine", "start", "diverged")
        if name in trial.user_attrs
    }
    return {
        "study": study.study_name,
        "task": study.user_attrs[PLAN]["task"],
        "trial": str(trial.number),
        "state": trial.state.name.lower(),
        **{name: str(value) for name, value in kept.items()},
    }


def settings(trial: FrozenTrial) -> dict[str, Any]:
    """What a trial has chosen, by the names of arguments."""
    return {field_name(key): field_value(key, value) for key, value in trial.params.items()}


def numbers(trial: FrozenTrial) -> dict[str, float]:
    """What it took, and how far its runs differ if it had several."""
    known = ("epochs", "seconds", "spread")
    return {name: float(trial.user_attrs[name]) for name in known if name in trial.user_attrs}


def outcome(result: StudyResult) -> dict[str, str]:
    """What came of a study, in words: its verdict, if it was raced, and its best settings."""
    if not result.is_complete:
        return {"trials": str(len(result.finished_trials))}
    verdict = result.verdict
    said = {} if verdict is None else {"verdict": str(verdict)}
    best = {f"best {name}": str(value) for name, value in result.best_params.items()}
    return {
        **said,
        "trials": str(len(result.finished_trials)),
        "optimizer": result.best_name,
        **best,
    }
