"""What a race has shown: where each method was, and what became of it."""

from dataclasses import dataclass

import numpy as np

from keras_optim_lab.curvature import Newton
from keras_optim_lab.landscapes.arrival import arrivals, distances
from keras_optim_lab.landscapes.paths import Paths, descent
from keras_optim_lab.landscapes.surfaces import Surface
from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.reports import tables
from keras_optim_lab.reports.writing import number, point

WORDS = ("method", "learning rate", "arrived")  # the columns of a race that are no numbers


@dataclass(frozen=True)
class Runner:
    """One method's run.

    Attributes:
        name: how pictures call it.
        optimizer: the method with its hyperparameters.
        points: where it was before every step and after the last one, (steps + 1, n).
        values: the function there, (steps + 1,).
        arrived: the step from which on it stays near a minimum (on a saddle: at which it has
            left); None where it did not come to that.
    """

    name: str
    optimizer: Optimizer
    points: np.ndarray
    values: np.ndarray
    arrived: int | None

    @property
    def settings(self) -> str:
        """`η = 0.01`: the learning rate that it has run with."""
        rate = self.optimizer.numeric["learning_rate"].config(self.optimizer)
        return f"η = {number(rate)}" if isinstance(rate, float) else "η by schedule"

    @property
    def draws_parabola(self) -> bool:
        """Whether the method steps to the bottom of a parabola, and not along a tangent."""
        return isinstance(self.optimizer, Newton)

    @property
    def last(self) -> int:
        """The last step whose point is finite."""
        finite = np.isfinite(self.values) & np.isfinite(self.points).all(axis=-1)
        return len(finite) - 1 if finite.all() else max(0, int(finite.argmin()) - 1)


@dataclass(frozen=True)
class Standings:
    """Where methods have been on a surface, and what became of them.

    Attributes:
        surface: with its usual start, from which all of them began.
        runners: in the order in which they were given.
        tuned: whether their learning rates were tuned to the surface.
    """

    surface: Surface
    runners: tuple[Runner, ...]
    tuned: bool

    @property
    def steps(self) -> int:
        return len(self.runners[0].values) - 1

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows: what became of each method."""
        rows = [
            [
                runner.name,
                runner.settings,
                f"{runner.values[-1]:.4g}",
                self._distance(runner),
                self.outcome(runner),
            ]
            for runner in self.runners
        ]
        return ["method", "learning rate", "last value", "distance to minimum", "arrived"], rows

    def __str__(self) -> str:
        table = tables.table(*self.table(), WORDS)
        return f"{self.surface.name} from {point(self.surface.start)}\n\n{tables.text(table)}"

    def outcome(self, runner: Runner) -> str:
        """`step 57`, `no`, or where it was last seen."""
        if not self.surface.minima and runner.arrived is not None:
            return f"left at step {runner.arrived}"
        if runner.last < self.steps:
            return f"diverged at step {runner.last + 1}"
        return "–" if runner.arrived is None else f"step {runner.arrived}"

    def _distance(self, runner: Runner) -> str:
        if not self.surface.minima:
            return "–"
        return f"{distances(self.surface, runner.points[-1:])[0]:.2g}"


def run(name: str, optimizer: Optimizer, surface: Surface, steps: int) -> Runner:
    """One method's run from the surface's usual start."""
    follow = descent(optimizer, [surface], 1, steps)
    paths = follow(np.reshape(surface.start, (1, 1, -1)), steps)
    paths = Paths(paths.points[0, 0], paths.values[0, 0])
    arrived = arrivals(surface, paths)
    return Runner(name, optimizer, *paths, None if np.isnan(arrived) else int(arrived))
