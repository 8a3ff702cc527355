"""Freeze and thaw: trials wait while others are likelier to end best, and go on if that changes."""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from optuna import Study
from optuna.pruners import BasePruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

_EXPONENTS = (0.25, 0.5, 1.0, 2.0)
_FEWEST = 3  # epochs of which anything is said


class End(NamedTuple):
    """Where a training is expected to end, lower is better."""

    mean: float
    spread: float


class FreezeThaw(BasePruner):
    """Stops a trial where another is almost certain to end better, as far as it is known now.

    Each curve is extrapolated by power laws c + a t^−b, weighted by how well they fit. The
    population engine parks what is stopped, and asks again whenever it has room: where the others
    have turned out worse than expected, the trial goes on. Other engines stop it for good. In the
    spirit of freeze-thaw optimization (Swersky et al., 2014, arXiv:1406.3896).

    Args:
        epochs: of the longest training; a trial that chose among them has its own.
        chance: of ending better than the best other trial, below which a trial waits.
    """

    def __init__(self, epochs: int, chance: float = 0.05):
        self._epochs = epochs
        self._chance = chance
        self._first = max(_FEWEST, epochs // 5)
        self._ends: dict[int, tuple[int, End]] = {}  # by trial, after how many epochs

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        ended = len(trial.intermediate_values) >= self._epochs_of(trial)
        if ended or not self._tells(trial):
            return False
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        states = (TrialState.RUNNING, TrialState.COMPLETE)
        others = [
            self._end(each, sign)
            for each in study.get_trials(deepcopy=False, states=states)
            if each.number != trial.number and self._tells(each)
        ]
        if not others:
            return False
        own, best = self._end(trial, sign), min(others)
        spread = math.hypot(own.spread, best.spread)
        if spread == 0.0:
            return own.mean > best.mean
        return NormalDist(own.mean, spread).cdf(best.mean) < self._chance

    def _epochs_of(self, trial: FrozenTrial) -> int:
        return trial.params.get("epochs", self._epochs)

    def _tells(self, trial: FrozenTrial) -> bool:
        """Whether anything can be said of where it ends."""
        return len(trial.intermediate_values) >= min(self._first, self._epochs_of(trial))

    def _end(self, trial: FrozenTrial, sign: float) -> End:
        values = [sign * value for _, value in sorted(trial.intermediate_values.items())]
        known, found = self._ends.get(trial.number, (0, End(math.inf, 0.0)))
        if known != len(values):
            found = extrapolated(np.array(values), self._epochs_of(trial))
            self._ends[trial.number] = len(values), found
        return found


def extrapolated(curve: NDArray, epochs: int) -> End:
    """Where a curve ends after so many epochs; where it has ended, its last value.

    Args:
        curve: one value for each epoch so far, at least three.
        epochs: of the whole curve.
    """
    known = len(curve)
    if known >= epochs:
        return End(float(curve[-1]), 0.0)
    time = np.arange(1, known + 1) / known
    weights = np.sqrt(time)  # what was later says more of what comes
    ends, errors = [], []
    for exponent in _EXPONENTS:
        powers = np.stack([np.ones(known), time**-exponent], axis=1)
        fit, *_ = np.linalg.lstsq(powers * weights[:, None], curve * weights, rcond=None)
        errors.append(float(np.sum((weights * (powers @ fit - curve)) ** 2)))
        ends.append(float(fit @ [1.0, (epochs / known) ** -exponent]))
    noise = min(errors) / max(1.0, known - 2.0)
    likely = np.exp(-0.5 * (np.array(errors) - min(errors)) / max(noise, 1e-300))
    likely /= likely.sum()
    mean = float(likely @ ends)
    # Fits agree where the curve has hardly begun to bend: half of what is to come is uncertain.
    ahead = 0.5 * (mean - float(curve[-1]))
    spread = math.sqrt(float(likely @ (np.array(ends) - mean) ** 2) + noise + ahead**2)
    return End(mean, spread)
