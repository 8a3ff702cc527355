"""Test surfaces: functions on which methods are seen at work, with all that is known of them.

f = kol.surfaces.get("rosenbrock")
f(keras.ops.array([-1.2, 1.0]))    # 24.2; of shape (..., n), values of shape (...)
f.start, f.minima, f.bounds
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from keras import ops

from keras_optim_lab.arguments import as_float, near_matches, whole_number
from keras_optim_lab.landscapes.formula import Formula

Point = tuple[float, ...]
_WIDEST = 1_000_000  # dimensions


@dataclass(frozen=True)
class Surface:
    """A function of points that are the last axis of a tensor.

    Attributes:
        name: in `get` and on the command line.
        formula: as text; for two dimensions it is also what is computed.
        bounds: lowest and highest value of each coordinate, for random starts and pictures.
        start: where methods usually start.
        minima: all points where the function has its least value: none where it has no least
            value, None where nobody knows.
        note: what the surface asks of a method.
        function: what is computed where the formula is more than arithmetic.
        noise: standard deviation of what `at_step` adds to each component of the gradient.
    """

    name: str
    formula: str
    bounds: tuple[tuple[float, float], ...]
    start: Point
    minima: tuple[Point, ...] | None
    note: str
    function: Callable[[Any], Any] | None = field(default=None, repr=False)
    noise: float = 0.0

    def __call__(self, x: Any) -> Any:
        """Values at points: floating-point numbers of shape (..., n); values of shape (...)."""
        return (self.function or _read(self.formula))(x)

    def at_step(self, x: Any, step: Any) -> Any:
        """Values as a method sees them in a step, 0, 1, …: with that step's noise, if any."""
        if not self.noise:
            return self(x)
        drawn = ops.cast(ops.convert_to_tensor(_draws(self.dimension)), x.dtype)
        slope = ops.take(drawn, ops.cast(step, "int32") % len(drawn), axis=0)
        return self(x) + self.noise * ops.sum(slope * x, axis=-1)

    @property
    def dimension(self) -> int:
        return len(self.bounds)

    @property
    def minimum(self) -> float | None:
        """The least value, or None where there is none."""
        if not self.minima:
            return None
        return float(ops.convert_to_numpy(self(np.asarray(self.minima[0], "float32"))))

    def random_starts(self, count: int, seed: int = 0) -> np.ndarray:
        """Points drawn uniformly within the bounds, (count, n)."""
        low, high = np.transpose(self.bounds)
        drawn = np.random.default_rng(seed).uniform(low, high, (count, self.dimension))
        return drawn.astype("float32")


@cache
def _read(formula: str) -> Formula:
    return Formula(formula)


# Noise is drawn once and looked up by step, so that it is the same in every compiled program, on
# every backend and for every method.
_DRAWS = 4096


@cache
def _draws(dimension: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((_DRAWS, dimension)).astype("float32")


def _square(low: float, high: float, dimension: int = 2) -> tuple[tuple[float, float], ...]:
    return ((low, high),) * dimension


def rosenbrock(dimension: int = 2) -> Surface:
    """Rosenbrock's valley in any dimension from 2 on."""
    dimension = whole_number("dimension", dimension, least=2, most=_WIDEST, owner="rosenbrock")

    def function(x: Any) -> Any:
        here, following = x[..., :-1], x[..., 1:]
        return ops.sum((1.0 - here) ** 2 + 100.0 * (following - here**2) ** 2, axis=-1)

    return Surface(
        "rosenbrock",
        "(1 - x)**2 + 100*(y - x**2)**2"
        if dimension == 2
        else "sum of (1 - x_i)**2 + 100*(x_(i+1) - x_i**2)**2",
        ((-2.0, 2.0), (-1.0, 3.0)) if dimension == 2 else _square(-2.0, 2.0, dimension),
        start=tuple(-1.2 if i % 2 == 0 else 1.0 for i in range(dimension)),
        minima=((1.0,) * dimension,),
        note="a curved valley, steep across and almost flat along",
        function=None if dimension == 2 else function,
    )


def ill_conditioned(condition: float = 100.0) -> Surface:
    """A quadratic bowl that is `condition` times as curved along y as along x."""
    if not 1 <= condition <= sys.float_info.max:
        raise ValueError(
            f"ill-conditioned: `condition` must be a number ≥ 1. Received: {condition!r}"
        )
    return Surface(
        "ill-conditioned",
        f"(x**2 + {condition:g}*y**2) / 2",
        ((-10.0, 10.0), (-3.0, 3.0)),
        start=(-9.0, 2.0),
        minima=((0.0, 0.0),),
        note=f"a convex bowl with condition number {condition:g}",
    )


def noisy(noise: float = 0.1) -> Surface:
    """A round bowl whose gradient is seen with noise of a standard deviation."""
    if not 0 <= noise <= sys.float_info.max:
        raise ValueError(f"noisy: `noise` must be a number ≥ 0. Received: {noise!r}")
    return Surface(
        "noisy",
        "(x**2 + y**2) / 2",
        _square(-5.0, 5.0),
        start=(-4.0, 3.0),
        minima=((0.0, 0.0),),
        note=f"a round bowl; every gradient has noise of standard deviation {noise:g}",
        noise=noise,
    )


_TABLE = (
    rosenbrock(),
    Surface(
        "beale",
        "(1.5 - x + x*y)**2 + (2.25 - x + x*y**2)**2 + (2.625 - x + x*y**3)**2",
        _square(-4.5, 4.5),
        start=(1.0, 1.0),
        minima=((3.0, 0.5),),
        note="flat within, very steep at the corners",
    ),
    Surface(
        "himmelblau",
        "(x**2 + y - 11)**2 + (x + y**2 - 7)**2",
        _square(-5.0, 5.0),
        start=(0.0, 0.0),
        minima=(
            (3.0, 2.0),
            (-2.805118087, 3.131312518),
            (-3.779310253, -3.283185991),
            (3.584428340, -1.848126527),
        ),
        note="four minima of equal value",
    ),
    Surface(
        "rastrigin",
        "20 + x**2 - 10*cos(2*pi*x) + y**2 - 10*cos(2*pi*y)",
        _square(-5.12, 5.12),
        start=(-2.2, 1.8),
        minima=((0.0, 0.0),),
        note="a local minimum in every unit square",
    ),
    Surface(
        "ackley",
        # 1e-30 gives the tip of the funnel a gradient, 0; it is too small to change a value.
        "20 + e - 20*exp(-0.2*sqrt((x**2 + y**2)/2 + 1e-30)) - exp((cos(2*pi*x) + cos(2*pi*y))/2)",
        _square(-5.0, 5.0),
        start=(-2.4, 3.3),
        minima=((0.0, 0.0),),
        note="a funnel under ripples, with a kink at its tip",
    ),
    Surface(
        "booth",
        "(x + 2*y - 7)**2 + (2*x + y - 5)**2",
        _square(-10.0, 10.0),
        start=(-8.0, 8.0),
        minima=((1.0, 3.0),),
        note="a convex bowl with condition number 9",
    ),
    Surface(
        "matyas",
        "0.26*(x**2 + y**2) - 0.48*x*y",
        _square(-10.0, 10.0),
        start=(-6.0, 9.0),
        minima=((0.0, 0.0),),
        note="a convex trough with condition number 25",
    ),
    Surface(
        "styblinski-tang",
        "(x**4 - 16*x**2 + 5*x + y**4 - 16*y**2 + 5*y) / 2",
        _square(-5.0, 5.0),
        start=(-0.5, -0.5),
        minima=((-2.903534028, -2.903534028),),
        note="four minima, one the lowest",
    ),
    Surface(
        "three-hump-camel",
        "2*x**2 - 1.05*x**4 + x**6/6 + x*y + y**2",
        _square(-5.0, 5.0),
        start=(-1.0, 3.0),
        minima=((0.0, 0.0),),
        note="three minima, the middle one the lowest",
    ),
    Surface(
        "goldstein-price",
        "(1 + (x + y + 1)**2 * (19 - 14*x + 3*x**2 - 14*y + 6*x*y + 3*y**2))"
        " * (30 + (2*x - 3*y)**2 * (18 - 32*x + 12*x**2 + 48*y - 36*x*y + 27*y**2))",
        _square(-2.0, 2.0),
        start=(0.5, -0.25),
        minima=((0.0, -1.0),),
        note="values over six powers of ten",
    ),
    Surface(
        "branin",
        "(y - 5.1/(4*pi**2)*x**2 + 5/pi*x - 6)**2 + 10*(1 - 1/(8*pi))*cos(x) + 10",
        ((-5.0, 10.0), (0.0, 15.0)),
        start=(6.0, 12.0),
        minima=((-3.141592654, 12.275), (3.141592654, 2.275), (9.424777961, 2.475)),
        note="three minima of equal value",
    ),
    Surface(
        "saddle",
        "x**2 - y**2",
        _square(-2.0, 2.0),
        start=(1.5, 0.001),
        minima=(),
        note="downhill along y without end; the start is a hair off the ridge",
    ),
    Surface(
        "monkey-saddle",
        "x**3 - 3*x*y**2",
        _square(-2.0, 2.0),
        start=(1.0, 0.001),
        minima=(),
        note="three ways down from a point where even the curvature is zero",
    ),
    Surface(
        "plateau",
        "1 - exp(-(x**2 + y**2)/2)",
        _square(-6.0, 6.0),
        start=(-4.0, 3.0),
        minima=((0.0, 0.0),),
        note="a hole in a plain; at the start the slope is 2e-5",
    ),
    ill_conditioned(),
    noisy(),
)
_SURFACES = {surface.name: surface for surface in _TABLE}
_PARAMETRIC: dict[str, Callable[..., Surface]] = {
    "rosenbrock": rosenbrock,
    "ill-conditioned": ill_conditioned,
    "noisy": noisy,
}


def names() -> list[str]:
    """Names of all surfaces."""
    return list(_SURFACES)


def get(name: str | Surface, /, **parameters: Any) -> Surface:
    """A surface by name: `get("himmelblau")`, `get("rosenbrock", dimension=10)`.

    A surface is returned unchanged, so that arguments may take either.

    Raises:
        ValueError: no surface has this name (the message lists near ones), or it has no such
            parameter.
    """
    if isinstance(name, Surface):
        return name
    if not isinstance(name, str):
        raise TypeError(f"A surface is given by its name. Received: {name!r}")
    plain = "-".join(name.lower().replace("_", "-").split())
    if plain not in _SURFACES:
        raise ValueError(
            f"There is no surface {name!r}.{near_matches(plain, _SURFACES)} "
            f"Known: {', '.join(_SURFACES)}."
        )
    if not parameters:
        return _SURFACES[plain]
    if plain not in _PARAMETRIC:
        raise ValueError(
            f"The surface {plain!r} takes no parameters. Received: {', '.join(parameters)}; "
            f"those that take some: {', '.join(_PARAMETRIC)}."
        )
    return _PARAMETRIC[plain](**parameters)


def of_formula(text: str, bounds: Any = None, start: Any = None) -> Surface:
    """The surface of a user's formula in one or two variables.

    Args:
        text: the formula.
        bounds: (low, high) of each variable; by default −2 to 2.
        start: where methods start; by default half way to the lower bounds.
    """
    formula = Formula(text)
    bounds = tuple(bounds) if bounds else _square(-2.0, 2.0, len(formula.variables))
    if len(bounds) != len(formula.variables):
        raise ValueError(
            f"`bounds` must be a pair (low, high) for each of {', '.join(formula.variables)}. "
            f"Received: {bounds!r}"
        )
    start = start or tuple(0.75 * low + 0.25 * high for low, high in bounds)
    return Surface(formula.text, formula.text, bounds, start, None, "", function=formula)


def started(surface: Surface, start: Any) -> Surface:
    """The surface with another usual start.

    Raises:
        ValueError: it is no point of the surface.
    """
    if np.shape(start) != (surface.dimension,):
        raise ValueError(
            f"`start` must be {surface.dimension} numbers on {surface.name}. "
            f"Received: start={start!r}"
        )
    return replace(surface, start=tuple(map(as_float, start)))
