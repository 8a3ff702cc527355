"""Races: several methods on one surface, from one start."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from keras_optim_lab.arguments import whole_number
from keras_optim_lab.landscapes import pictures, race_page, rates, surfaces
from keras_optim_lab.landscapes.formula import Formula
from keras_optim_lab.landscapes.paths import check_steps, descent
from keras_optim_lab.landscapes.standings import Standings, run
from keras_optim_lab.landscapes.surfaces import Surface
from keras_optim_lab.optimizers import Optimizer, entry
from keras_optim_lab.reports.writing import point
from keras_optim_lab.shown import Row, Shown

DEFAULT = ("gradient_descent", "momentum", "rmsprop", "adam")
# Learning rates that are tried side by side when they are tuned.
_WIDTH = 32


class Race(Standings, Shown):
    """Methods that have run on a surface: `table()`, `html(path)`, `picture(path)` and `plot()`."""

    @property
    def headline(self) -> str:
        return f"{self.surface.name} from {point(self.surface.start)}, {self.steps} steps"

    def records(self) -> list[Row]:
        return [
            {
                "method": runner.name,
                "learning_rate": runner.optimizer.numeric["learning_rate"].config(runner.optimizer),
                "last_value": float(runner.values[-1]),
                "outcome": self.outcome(runner),
                "arrived": runner.arrived,
            }
            for runner in self.runners
        ]

    def _draw(self, axes: Any) -> None:
        pictures.paths(self, axes)

    def html(self, path: str | Path) -> Path:
        """Writes one self-contained page with the animated race and returns its path."""
        return race_page.write(self, Path(path))

    def picture(self, path: str | Path) -> Path:
        """Writes an animated GIF or a PNG of the whole paths, by the ending of `path`.

        Raises:
            ValueError: the path ends on something else.
            ModuleNotFoundError: Matplotlib is not installed.
        """
        return pictures.write(self, Path(path))


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

    Returns:
        The path of every method, with `table()`, `html(path)` and `picture(path)`.

    Raises:
        TypeError, ValueError: an argument is wrong; nothing has been run by then.
    """
    found = _surface(surface)
    steps = check_steps("race", steps)
    if start is not None:
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
