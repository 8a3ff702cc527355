"""Paired comparisons: what one setting gains over another with the same seeds and the same data."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

from keras_optim_lab.tasks.splits import Fold
from keras_optim_lab.tuning.criterion import Direction

# Of the interval of a gain; a gain is certain if its one-sided p-value is below half of the rest.
CONFIDENCE = 0.90
_RUNS_OF_A_FOLD = 2


class Gain(NamedTuple):
    """What one setting gains over another: positive is better.

    Attributes:
        mean: over the runs that neither lost; NaN if there is none.
        low, high: its confidence interval; NaN of fewer than two such runs.
        p: the probability of so much or more where there is nothing to gain; NaN as well.
    """

    mean: float
    low: float
    high: float
    p: float


def diverged(values: Sequence[float]) -> int:
    """How many runs ended with NaN or infinity."""
    return sum(not math.isfinite(value) for value in values)


def fold_of(run: int, folds: int) -> Fold:
    """The fold of a run of a comparison: all folds of a partition twice, then another partition.

    Two runs of a fold, with seeds of their own, tell what seeds make of it from what its data do.
    """
    return Fold(run % folds, folds, run // (_RUNS_OF_A_FOLD * folds))


def gain(
    before: Sequence[float],
    after: Sequence[float],
    direction: Direction,
    folds: int | None = None,
    confidence: float = CONFIDENCE,
) -> Gain:
    """What `after` gains over `before`, run by run.

    A run that diverged has no value to compare, so that its pair is left out.

    Args:
        before, after: the objective of each run, in the same order of seeds and of `fold_of`.
        direction: which way is better.
        folds: of the cross-validation that the runs were, if they were one.
        confidence: of the interval.

    Returns:
        The mean difference, its interval and the p-value of a one-sided paired t-test.
    """
    sign = 1.0 if direction == "maximize" else -1.0
    pairs = np.array([before, after], dtype="float64")
    finite = np.isfinite(pairs).all(axis=0)
    difference = sign * (pairs[1] - pairs[0])[finite]
    mean = float(difference.mean()) if len(difference) else math.nan
    units = np.flatnonzero(finite)
    if folds:
        places = [fold_of(int(run), folds) for run in units]
        units = np.array([each.repeat * folds + each.number for each in places])
    error, freedom = _standard_error(difference, units, folds)
    if not freedom:
        return Gain(mean, math.nan, math.nan, math.nan)
    if error == 0:
        return Gain(mean, mean, mean, 0.5 if mean == 0 else float(mean < 0))
    reach = float(stdtrit(freedom, (1 + confidence) / 2)) * error
    return Gain(mean, mean - reach, mean + reach, float(stdtr(freedom, -mean / error)))


def _standard_error(
    differences: np.ndarray, units: np.ndarray, folds: int | None
) -> tuple[float, int]:
    """That of the mean of differences, and its degrees of freedom; 0 of these if it is not known.

    Every run has seeds of its own, but only the folds of one partition hold data of their own:
    those of the next ones hold the same samples again. So what varies within a fold, by its seeds,
    is averaged over all runs, and what varies between folds over one partition's at most. That
    folds share much of what they train on is not corrected for (Dietterich, 1998).

    Args:
        differences: of each run.
        units: the number of the fold of each run; without folds that of the run.
        folds: of a partition.
    """
    _, unit, runs = np.unique(units, return_inverse=True, return_counts=True)
    count, total = len(runs), len(differences)
    if count < 2:
        return 0.0, 0
    means = np.bincount(unit, differences) / runs
    within = total - count
    seeds = float(np.square(differences - means[unit]).sum()) / within if within else 0.0
    data = max(0.0, float(means.var(ddof=1)) - seeds * count / total)
    return math.sqrt(seeds / total + data / min(count, folds or count)), count - 1
