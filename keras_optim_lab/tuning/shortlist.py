"""The most promising trials, by a smoothed estimate: neighbours say whether a value was luck."""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

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

from keras_optim_lab.tuning.spaces.settings import nearest
from keras_optim_lab.tuning.start import START
from keras_optim_lab.tuning.study_result import DEFAULTS, StudyResult

# A Gaussian process takes a second for so many trials, and eight for twice as many.
_MOST = 256
_FEWEST = 8  # of fewer, neighbours say nothing
_STEPS = 41  # along each parameter


def shortlist(tuning: StudyResult, top: int) -> list[FrozenTrial]:
    """The `top` complete trials that are the most promising, the best first.

    In turn the best by the smoothed estimate, and the best by their values: a trial that was lucky
    among bad neighbours is soon told from one that is good among good ones, and where neighbours
    were stopped for learning slowly, the estimate of what learns slowly and ends best is bad. The
    trial of the defaults is left out.

    Raises:
        RuntimeError: no trial has been completed.
    """
    ranked = [each for each in tuning.ranked_trials if not _is_default(each)]
    if len(ranked) <= top or len(ranked) < _FEWEST:
        return ranked[:top]
    estimates = Smoothed(tuning).estimates([each.params for each in ranked])
    smoothed = [ranked[i] for i in np.argsort(estimates, kind="stable")]
    in_turn = {each.number: each for pair in zip(smoothed, ranked, strict=True) for each in pair}
    return [*in_turn.values()][:top]


class Smoothed:
    """What a study's trials say of any settings, with the luck of each averaged out.

    The mean of a Gaussian process in the searched parameters, whose noise is fitted with it. Its
    targets are normal scores of ranks, so that no single loss outweighs others. Pruned trials rank
    in the middle of complete ones, as they were behind others and might have overtaken them;
    diverged ones come last.

    Args:
        tuning: a study with a complete trial.
    """

    def __init__(self, tuning: StudyResult):
        self._space = tuning.space.distributions
        every = _fewer(_by_rank(tuning))
        points = np.array([_point(self._space, each.params) for each in every])
        self._process = _fitted(points, _normal_scores(tuning, every))

    def estimates(self, params: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """By these parameters, in standard deviations of ranks; less is better."""
        return self._process.predict(np.array([_point(self._space, each) for each in params]))

    def region(self, params: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
        """How far each number may be changed alone before it does worse than luck explains.

        Args:
            params: of a trial.

        Returns:
            By parameter the ends of the stretch around the trial's value in which the estimate is
            no worse than there by more than the noise of one trial.
        """
        noise = math.exp(self._process.kernel_.k2.theta[0] / 2)
        found = {}
        for name, distribution in self._space.items():
            if name not in params or isinstance(distribution, CategoricalDistribution):
                continue
            assert isinstance(distribution, FloatDistribution | IntDistribution)
            scale = np.geomspace if distribution.log else np.linspace
            along = scale(distribution.low, distribution.high, _STEPS)
            values = np.array([*(nearest(distribution, each) for each in along), params[name]])
            estimates = self.estimates([{**params, name: value} for value in values.tolist()])
            bad = values[estimates > estimates[-1] + noise]
            low, high = bad[bad < params[name]], bad[bad > params[name]]
            inside = values[(values > max(low, default=0)) & (values < min(high, default=math.inf))]
            found[name] = float(inside.min()), float(inside.max())
        return found


def _is_default(trial: FrozenTrial) -> bool:
    return trial.user_attrs.get(START) == DEFAULTS


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
    middle = float(np.median(values))
    values += [
        math.inf if each.user_attrs.get("diverged") else middle for each in ranked[len(complete) :]
    ]
    return ndtri((rankdata(values) - 0.5) / len(values))


def _point(space: Mapping[str, BaseDistribution], params: Mapping[str, Any]) -> list[float]:
    """Parameters as coordinates from 0 to 1; what it has not chosen is in the middle."""
    found: list[float] = []
    for name, distribution in space.items():
        value = params.get(name)
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
