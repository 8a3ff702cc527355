"""A candidate: one trial of a study while an engine trains it."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from keras_optim_lab.optimizers import Optimizer, entry
from keras_optim_lab.tuning.objective import Objective


class Candidate:
    """A configuration that waits to be judged, and the only way in which engines tell Optuna.

    Used as a context: on leaving it the trial is told as complete, pruned or failed. A diverged
    trial is told as pruned, so that samplers learn to stay away from where it was, and carries
    the attribute `diverged`.

    Attributes:
        number: of the trial in its study.
        seed: of the trial's weights, batches and dropout.
        name: the optimizer's name in the catalogue.
        hyperparameters: its arguments.
    """

    def __init__(
        self,
        study: optuna.Study,
        trial: optuna.Trial,
        objective: Objective,
        choice: tuple[str, dict[str, Any]],
        seed: int,
        on_told: Callable[[FrozenTrial], None],
    ):
        self.number = trial.number
        self.seed = seed
        self.name, self.hyperparameters = choice
        self._study = study
        self._trial = trial
        self._objective = objective
        self._on_told = on_told
        self._value: float | None = None
        self._state = TrialState.COMPLETE
        trial.set_user_attr("seed", seed)

    def optimizer(self) -> Optimizer:
        """A new optimizer of this configuration."""
        return entry(self.name).cls(**self.hyperparameters)

    def report(self, epoch: int, logs: Mapping[str, float]) -> bool:
        """Records one epoch (0, 1, …); returns whether training should go on.

        Raises:
            KeyError: the logs do not hold the study's objective.
        """
        if self._objective.name not in logs:
            raise KeyError(
                f"objective={self._objective.name!r} is not in the logs of an epoch. "
                f"They hold: {', '.join(logs)}."
            )
        losses = {self._objective.name, "loss", "val_loss"} & logs.keys()
        if any(not math.isfinite(logs[name]) for name in losses):
            self._trial.set_user_attr("diverged", True)
            self._trial.set_user_attr("epochs", epoch + 1)
            self._state = TrialState.PRUNED
            return False
        self._value = float(logs[self._objective.name])
        self._trial.report(self._value, epoch)
        self._trial.set_user_attr("epochs", epoch + 1)
        if self._trial.should_prune():
            self._state = TrialState.PRUNED
            return False
        return True

    def __enter__(self) -> "Candidate":
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if error is not None:
            self._trial.set_user_attr("error", f"{kind.__name__}: {error}")
            self._study.tell(self._trial, state=TrialState.FAIL)
        elif self._state == TrialState.PRUNED:
            self._on_told(self._study.tell(self._trial, state=TrialState.PRUNED))
        else:
            self._on_told(self._study.tell(self._trial, self._value))
