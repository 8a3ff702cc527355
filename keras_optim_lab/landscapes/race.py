"""Races: several methods on one surface, from one start."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from keras_optim_lab.arguments import whole_number
from keras_optim_lab.curvature import Newton
from keras_optim_lab.landscapes import rates, surfaces, tables
from keras_optim_lab.landscapes.arrival import arrivals, distances
from keras_optim_lab.landscapes.formula import Formula
from keras_optim_lab.landscapes.paths import Paths, check_steps, descent
from keras_optim_lab.landscapes.surfaces import Surface
from keras_optim_lab.optimizers import Optimizer, entry
from keras_optim_lab.reports.numbers import number

DEFAULT = ("gradient_descent", "momentum", "rmsprop", "adam")
# Learning rates that are tried side by side when they are tuned.
_WIDTH = 32


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
        seconds: that a step took, without compiling.
    """

    name: str
    optimizer: Optimizer
    points: np.ndarray
    values: np.ndarray
    arrived: int | None
    seconds: float

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
class Race:
    """Methods that have run on a surface.

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
        header = ["method", "learning rate", "last value", "distance to minimum", "arrived"]
        return header, [
            [
                runner.name,
                runner.settings,
                f"{runner.values[-1]:.4g}",
                self._distance(runner),
                self.outcome(runner),
            ]
            for runner in self.runners
        ]

    def __str__(self) -> str:
        where = tables.point(self.surface.start)
        return f"{self.surface.name} from {where}\n\n{tables.text(tables.table(*self.table()))}"

    def outcome(self, runner: Runner) -> str:
        """`step 57`, `no`, or where it was last seen."""
        if not self.surface.minima and runner.arrived is not None:
            return f"left at step {runner.arrived}"
        if runner.last < self.steps:
            return f"diverged at step {runner.last + 1}"
        return "–" if runner.arrived is None else f"step {runner.arrived}"

    def html(self, path: str | Path) -> Path:
        """Writes one self-contained page with the animated race and returns its path."""
        from keras_optim_lab.landscapes.race_page import write

        return write(self, Path(path))

    def picture(self, path: str | Path) -> Path:
        """Writes an animated GIF or a PNG of the whole paths, by the ending of `path`.

        Raises:
            ValueError: the path ends on something else.
            ModuleNotFoundError: Matplotlib is not installed.
        """
        from keras_optim_lab.landscapes.pictures import write

        return write(self, Path(path))

    def _distance(self, runner: Runner) -> str:
        if not self.surface.minima:
            return "–"
        return f"{distances(self.surface, runner.points[-1:])[0]:.2g}"


def race(
    surface: str | Surface = "rosenbrock",
    optimizers: Sequence[str | Optimizer] | Mapping[str, Optimizer] = DEFAULT,
    *,
    steps: int = 200,
    start: Sequence[float] | None = None,
    tune: bool = False,
    seed: int = 0,
) -> Race:
    """Lets methods run on a surface from one start.

        kol.race("rosenbrock", ["momentum", "adam"], tune=True).html("race.html")

    Args:
        surface: a name, a surface, or a formula in one or two variables as text.
        optimizers: names or optimizers, or optimizers by the name that pictures are to give them.
        steps: that each may take.
        start: in place of the surface's usual one.
        tune: search for each method the learning rate with which it arrives soonest; those of the
            optimizers are not used then.
        seed: of that search.

    Raises:
        TypeError, ValueError: an argument is wrong; nothing has been run by then.
    """
    found = _surface(surface)
    steps = check_steps("race", steps)
    if start is not None:
        if np.shape(start) != (found.dimension,):
            raise ValueError(
                f"race: `start` must be {found.dimension} numbers on {found.name}. "
                f"Received: start={start!r}"
            )
        found = surfaces.started(found, start)
    value = float(ops.convert_to_numpy(found(np.asarray(found.start, "float32"))))
    if not np.isfinite(value):
        raise ValueError(
            f"race: the function must be finite at the start. Received: {value} at {found.start}"
        )
    seed = whole_number("seed", seed, least=0)
    entered = _named(optimizers)
    runners = []
    for name, optimizer in entered.items():
        if tune and rates.rate_range(type(optimizer)):
            searching = descent(optimizer, [found], _WIDTH, steps)
            (rate,) = rates.tuned_rates(optimizer, searching, steps, width=_WIDTH, seed=seed)
            config = {**optimizer.get_config(), "learning_rate": rate}
            optimizer = type(optimizer).from_config(config)
        runners.append(run(name, optimizer, found, steps))
    return Race(found, tuple(runners), tune)


def run(name: str, optimizer: Optimizer, surface: Surface, steps: int) -> Runner:
    """One method's run from the surface's usual start."""
    follow = descent(optimizer, [surface], 1, steps)
    starts = np.reshape(surface.start, (1, 1, -1))
    follow(starts, 1)  # compiles
    begun = time.perf_counter()
    paths = follow(starts, steps)
    seconds = (time.perf_counter() - begun) / steps
    paths = Paths(paths.points[0, 0], paths.values[0, 0])
    arrived = arrivals(surface, paths)
    return Runner(
        name,
        optimizer,
        paths.points,
        paths.values,
        None if np.isnan(arrived) else int(arrived),
        seconds,
    )


def _surface(given: Any) -> Surface:
    if isinstance(given, Formula):
        return surfaces.of_formula(given.text)
    if isinstance(given, str) and any(sign in given for sign in "+*/("):
        return surfaces.of_formula(given)
    if not isinstance(given, str | Surface):
        raise TypeError(
            "race: `surface` must be the name of a test surface, a kol.Surface, or a formula as "
            f'text, such as "x**2 + 3*y**2". Received: surface={given!r}'
        )
    return surfaces.get(given)


def _named(optimizers: Any) -> dict[str, Optimizer]:
    if isinstance(optimizers, Mapping):
        named = list(optimizers.items())
    elif isinstance(optimizers, Sequence) and not isinstance(optimizers, str):
        named = [_with_name(each) for each in optimizers]
    else:
        named = []
    fit = (isinstance(name, str) and isinstance(each, Optimizer) for name, each in named)
    if not named or not all(fit):
        raise TypeError(
            "race: `optimizers` must be a list of names or optimizers, or a dict of optimizers by "
            f"name. Received: optimizers={optimizers!r}"
        )
    found: dict[str, Optimizer] = {}
    for name, optimizer in named:
        if name in found:
            raise ValueError(
                f"race: {name!r} runs twice. Give a dict with a name of its own for each."
            )
        found[name] = optimizer
    return found


def _with_name(given: Any) -> tuple[str, Any]:
    if isinstance(given, str):
        given = entry(given).cls()
    return getattr(type(given), "__name__", str(given)), given
