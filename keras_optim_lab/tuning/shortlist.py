"""The most promising trials, by a smoothed estimate: neighbours say whether a value was luck."""

import math
import warnings
from collections.abc import Sequence

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState
from scipy.special import ndtri
from scipy.stats import rankdata
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from keras_optim_lab.tuning.study_result import DEFAULTS, StudyResult

# A Gaussian process takes a second for so many trials, and eight for twice as many.
_MOST = 256
_FEWEST = 8  # of fewer, neighbours say nothing


def shortlist(tuning: StudyResult, top: int) -> list[FrozenTrial]:
    """The `top` complete trials that are the most promising, the best first.

    A trial that was lucky among bad neighbours comes behind one that is good among good ones: they
    are ordered by the mean of a Gaussian process in the searched parameters, whose noise is fitted
    with it. Its targets are normal scores of ranks, so that no single loss outweighs others; pruned
    trials rank behind complete ones, and diverged ones last. The trial of the defaults is left out.

    Raises:
        RuntimeError: no trial has been completed.
    """
    ranked = [each for each in tuning.ranked_trials if not _is_default(each)]
    if len(ranked) <= top:
        return ranked
    estimates = smoothed(tuning, ranked)
    order = np.argsort(estimates, kind="stable")
    return [ranked[i] for i in order[:top]]


def smoothed(tuning: StudyResult, trials: Sequence[FrozenTrial]) -> np.ndarray:
    """The estimate of each of these trials, in standard deviations of ranks; less is better."""
    every = _fewer(_by_rank(tuning))
    scores = _normal_scores(tuning, every)
    space = tuning.space.distributions
    fitted = _fitted(np.array([_point(space, each) for each in every]), scores)
    return fitted.predict(np.array([_point(space, each) for each in trials]))


def _is_default(trial: FrozenTrial) -> bool:
    return trial.user_attrs.get("start") == DEFAULTS


def _by_rank(tuning: StudyResult) -> list[FrozenTrial]:
    """All finished trials, the best first."""
    cut = [each for each in tuning.finished_trials if each.state != TrialState.COMPLETE]
    cut.sort(key=lambda trial: bool(trial.user_attrs.get("diverged")))
    return [*tuning.ranked_trials, *cut]


def _fewer(ranked: list[FrozenTrial]) -> list[FrozenTrial]:
    """Those that matter most, if there are too many: the best half, and others evenly."""
    if len(ranked) <= _MOST:
        return ranked
    half = _MOST // 2
    return ranked[:half] + [ranked[i] for i in np.linspace(half, len(ranked) - 1, half, dtype=int)]


def _normal_scores(tuning: StudyResult, ranked: Sequence[FrozenTrial]) -> np.ndarray:
    complete = [each for each in ranked if each.state == TrialState.COMPLETE]
    values = [tuning.objective.rank([each.value or 0.0]) for each in complete]
    worst = max(values)
    values += [
        math.inf if each.user_attrs.get("diverged") else np.nextafter(worst, math.inf)
        for each in ranked[len(complete) :]
    ]
    return ndtri((rankdata(values) - 0.5) / len(values))


def _point(space: dict[str, BaseDistribution], trial: FrozenTrial) -> list[float]:
    """A trial's parameters as coordinates from 0 to 1; what it has not chosen is in the middle."""
    found: list[float] = []
    for name, distribution in space.items():
        value = trial.params.get(name)
        if isinstance(distribution, CategoricalDistribution):
            found += [float(value == choice) for choice in distribution.choices]
        elif value is None or distribution.single():
            found.append(0.5)
        elif isinstance(distribution, FloatDistribution | IntDistribution):
            scale = math.log if distribution.log else float
            low, high, at = map(scale, (distribution.low, distribution.high, value))
            found.append((at - low) / (high - low))
    return found


def _fitted(points: np.ndarray, scores: np.ndarray) -> GaussianProcessRegressor:
    lengths = np.full(points.shape[1], 0.5)
    smooth = ConstantKernel(1.0, (0.1, 10)) * Matern(lengths, (0.05, 20), nu=2.5)
    process = GaussianProcessRegressor(smooth + WhiteKernel(0.2, (1e-3, 2)), random_state=0)
    with warnings.catch_warnings():
        # Where a parameter does not matter, its length reaches its bound.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return process.fit(points, scores)
