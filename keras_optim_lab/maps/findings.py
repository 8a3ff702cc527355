"""What a map says, as numbers: the best settings, what is as good, what matters."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.stats import rankdata

from keras_optim_lab.maps.axes import Axis
from keras_optim_lab.maps.plane import Plane
from keras_optim_lab.reports.writing import listed, plus_minus
from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning.criterion import Criterion
from keras_optim_lab.tuning.paired import diverged
from keras_optim_lab.tuning.spaces.configuration import Configuration

Cell = tuple[int, int]

# A hyperparameter matters if it explains so much of the variance of ranks by itself, or if all that
# is good lies within so much of its range; two matter together if both explain so much more.
MATTERS = 0.1
NARROW = 0.5
TOGETHER = 0.2
_ROUNDING = 1e-6  # of what is measured in float32
EVERYWHERE = 0.9  # of a map that is as good as its best: then nothing matters


@dataclass(frozen=True)
class Point:
    """Settings that were trained again.

    Attributes:
        name: what they are called.
        values: the objective of each run.
    """

    name: str
    configuration: Configuration
    values: list[float]

    @property
    def mean(self) -> float:
        """Of the runs that did not diverge; NaN where all did."""
        finite = [value for value in self.values if math.isfinite(value)]
        return float(np.mean(finite)) if finite else math.nan


@dataclass(frozen=True)
class Findings:
    """The objective over a plane of settings.

    Attributes:
        task: what was trained.
        objective: its value at the end of every run is shown.
        plane: the settings.
        runs: of each cell, as (run, y, x); NaN where one diverged.
        folds: of the cross-validation that each cell's runs are; None for the task's own splits.
        again: of the best cells, over fresh seeds.
        marked: the defaults and, of a study where there is one, its choice or what it found, over
            the same seeds.
    """

    task: Task
    objective: Criterion
    plane: Plane
    runs: np.ndarray
    folds: int | None
    again: Mapping[Cell, list[float]]
    marked: tuple[Point, ...]

    @property
    def values(self) -> np.ndarray:
        """The mean over the seeds in each cell, as (y, x); NaN where a run diverged."""
        return self.runs.mean(axis=0)

    @cached_property
    def best(self) -> Point | None:
        """The best of the best cells over fresh seeds; None where every cell diverged."""
        if self._best is None:
            return None
        return Point("the best cell", self.plane.cell(*self._best), self.again[self._best])

    @property
    def _best(self) -> Cell | None:
        return min(self.again, key=lambda at: self.objective.order(self.again[at]), default=None)

    @property
    def points(self) -> list[Point]:
        """All that was trained again and has a name, the best cell first."""
        return [*([self.best] if self.best else []), *self.marked]

    @property
    def spread(self) -> float:
        """What another seed makes on the same data: the median of the best cells' deviations."""
        rows = (np.reshape(values, (-1, self.folds or 1)) for values in self.again.values())
        deviations = [float(np.sqrt(runs.var(axis=0, ddof=1).mean())) for runs in rows]
        finite = [each for each in deviations if np.isfinite(each)]
        return float(np.median(finite)) if finite else 0.0

    def _lost(self, value: Any) -> Any:
        """By how much an objective, or each of an array, is worse than the best cell's.

        What that one has in the map helped to choose it, and the fresh seeds may have been lucky
        ones: whichever is worse counts.
        """
        if self.best is None or self._best is None:
            return np.full(np.shape(value), np.nan)
        sign = -1.0 if self.objective.direction == "maximize" else 1.0
        reference = np.fmax(sign * self.values[self._best], sign * self.best.mean)
        return sign * np.asarray(value) - reference

    @property
    def behind(self) -> np.ndarray:
        """By how much each cell is worse than the best one."""
        return self._lost(self.values)

    def _as_good(self, lost: np.ndarray) -> np.ndarray:
        """Whether so much is within the spread; an accuracy is often worse by just as much."""
        size = 0.0 if self.best is None else abs(self.best.mean)
        return lost <= self.spread + _ROUNDING * size

    @property
    def good(self) -> np.ndarray:
        """Where the objective is no worse than in the best cell by more than the spread."""
        return self._as_good(self.behind)

    def is_good(self, point: Point) -> bool:
        """Whether the same is true of settings that were trained again.

        They may have diverged as often as the best cell did with these seeds.
        """
        if self.best is None or diverged(point.values) > diverged(self.best.values):
            return False
        return bool(self._as_good(self._lost(point.mean)))

    @property
    def shares(self) -> tuple[float, float]:
        """What x and what y explain by themselves of the variance of ranks over the map.

        Cells are ranked in steps of the spread, so that the order within it, which is chance,
        counts for nothing; those that diverged are last. The rest is what both do together.
        """
        steps = np.where(np.isfinite(self.behind), self.behind, np.inf)
        if self.spread > 0:
            steps = np.maximum(np.ceil(steps / self.spread), 1.0)
        ranks = rankdata(steps).reshape(steps.shape)
        if not ranks.var():
            return 0.0, 0.0
        alone = (float(ranks.mean(axis=axis).var() / ranks.var()) for axis in (0, 1))
        return next(alone), next(alone)

    @property
    def sentence(self) -> str:
        """Which of the two matter here, and how wide the good region is in each."""
        if self.best is None:
            return (
                f"Every setting of {self.plane.x.name} and {self.plane.y.name} diverged: give "
                "them other ranges."
            )
        best = plus_minus(self.best.mean, self.spread)
        wide = " and ".join(map(self._width, (self.plane.x, self.plane.y)))
        inside = "" if self.is_good(self.marked[0]) else "not "
        return (
            f"{self._matters()}: {100 * self.good.mean():.0f} % of the map is as good as the best "
            f"cell ({self.objective.name} {best}), with {wide}; the defaults are {inside}among "
            "these."
        )

    def _matters(self) -> str:
        """`Only learning_rate matters here (…)`."""
        x, y = self.plane.x.name, self.plane.y.name
        first, second = self.shares
        rest = max(0.0, 1.0 - first - second)
        if self.good.mean() >= EVERYWHERE:
            return f"Neither {x} nor {y} matters here"
        narrow, low = (self._extent(axis) <= NARROW for axis in (self.plane.x, self.plane.y))
        alone = first >= MATTERS or narrow, second >= MATTERS or low
        match *alone, rest >= TOGETHER:
            case True, True, _:
                said = f"Both {x} and {y} matter here"
            case True, False, False:
                said = f"Only {x} matters here"
            case False, True, False:
                said = f"Only {y} matters here"
            case True, False, True:
                said = f"{x} matters here, and {y} by what it does together with it"
            case False, True, True:
                said = f"{y} matters here, and {x} by what it does together with it"
            case _:
                said = f"{x} and {y} matter here by what they do together"
        shares = listed([f"{n} {100 * e:.0f} %" for n, e in ((x, first), (y, second))])
        return f"{said} (alone, {shares} of the variance of ranks, together {100 * rest:.0f} %)"

    def _extent(self, axis: Axis) -> float:
        """From the lowest to the highest value with which something is good, of its range."""
        ends = self._ends(axis)
        return float(ends[1] - ends[0] + 1) / axis.cells

    def _ends(self, axis: Axis) -> np.ndarray:
        across = 0 if axis is self.plane.x else 1
        return np.flatnonzero(np.any(self.good, axis=across))[[0, -1]]

    def _width(self, axis: Axis) -> str:
        """The same in words."""
        low, high = (shown(axis, axis.params[end]) for end in self._ends(axis))
        if axis.complementary:
            low, high = high, low
        if (extent := self._extent(axis)) == 1.0:
            return f"any {axis.name} from {low} to {high}"
        where = f"near {low}" if low == high else f"from {low} to {high}"
        return f"{axis.name} {where} ({100 * extent:.0f} % of its range)"


def shown(axis: Axis, param: float) -> str:
    """The hyperparameter of a parameter, with as many digits as tell cells apart."""
    digits = f"{param:.2g}"
    return f"{1.0 - float(digits):.10g}" if axis.complementary else f"{float(digits):g}"
