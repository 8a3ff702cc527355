"""One method on many surfaces: how soon it arrives, from how many starts, and what a step costs."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_optim_lab.landscapes.arrival import arrivals
from keras_optim_lab.landscapes.paths import Paths, descent
from keras_optim_lab.landscapes.rates import rate_range, tuned_rates
from keras_optim_lab.landscapes.surfaces import Surface
from keras_optim_lab.optimizers import Optimizer


@dataclass(frozen=True)
class OnSurface:
    """What a method does on one surface.

    Attributes:
        rate: the learning rate that was tuned there; None where there is none to be tuned.
        arrived: the step at which it does from the usual start; None where it does not.
        success: share of the random starts that arrive.
    """

    rate: float | None
    arrived: int | None
    success: float


@dataclass(frozen=True)
class Measured:
    """What a method does on surfaces.

    Attributes:
        bytes: of state per weight.
        step_seconds: of one run, without compiling.
        surfaces: by name.
    """

    bytes: float
    step_seconds: float
    surfaces: dict[str, OnSurface]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Measured":
        """From what `asdict` has made of it."""
        surfaces = {name: OnSurface(**on) for name, on in record["surfaces"].items()}
        return cls(**{**record, "surfaces": surfaces})


def measure(
    optimizer: Optimizer,
    surfaces: Sequence[Surface],
    *,
    steps: int,
    starts: int,
    rounds: int,
    seed: int,
) -> Measured:
    """What a method does on surfaces.

    Args:
        optimizer: the method; where its learning rate has a search range, it is tuned on each
            surface from the usual start. On a surface without a least value, where the longest
            step would be the best one, it is the geometric mean of the others.
        surfaces: of one dimension.
        steps: that a run may take.
        starts: drawn at random on each surface, for the share of them that arrives.
        rounds: of `starts` + 1 trials each, when the learning rate is tuned.
        seed: of starts and samplers.
    """
    width = starts + 1
    follow = descent(optimizer, surfaces, width, steps)
    tunes = rate_range(type(optimizer)) is not None
    rates: list[float] | None = None
    if tunes:
        tuned = tuned_rates(optimizer, follow, steps, width=width, rounds=rounds, seed=seed)
        rates = _usual_where_endless(surfaces, tuned)
    begins = [np.vstack([[s.start], s.random_starts(starts, seed)]) for s in surfaces]
    paths = follow(begins, steps, **_all(rates, width))
    found = {}
    for i, surface in enumerate(surfaces):
        arrived = arrivals(surface, Paths(paths.points[i], paths.values[i]))
        found[surface.name] = OnSurface(
            rate=rates[i] if rates else None,
            arrived=None if np.isnan(arrived[0]) else int(arrived[0]),
            success=float(np.mean(~np.isnan(arrived[1:]))),
        )
    seconds = _step_seconds(optimizer, surfaces[0], min(steps, 1000))
    return Measured(optimizer.bytes_per_weight, seconds, found)


def _usual_where_endless(surfaces: Sequence[Surface], tuned: list[float]) -> list[float]:
    found = [rate for surface, rate in zip(surfaces, tuned, strict=True) if surface.minima]
    usual = float(np.exp(np.mean(np.log(found or tuned))))
    return [rate if s.minima else usual for s, rate in zip(surfaces, tuned, strict=True)]


def _all(rates: list[float] | None, width: int) -> dict[str, Any]:
    return {} if rates is None else {"learning_rate": np.tile(rates, (width, 1)).T}


def _step_seconds(optimizer: Optimizer, surface: Surface, steps: int) -> float:
    """Of one run by itself, without compiling; the best of three."""
    follow = descent(optimizer, [surface], 1, steps)
    start = np.reshape(surface.start, (1, 1, -1))
    follow(start, 1)
    seconds, taken = [], 1
    for _ in range(3):
        begun = time.perf_counter()
        values = follow(start, steps).values[0, 0]
        seconds.append(time.perf_counter() - begun)
        # A curvature method ends at a minimum, and its last point is repeated from there on.
        taken = max(1, int((values != values[-1]).sum())) if optimizer.needs_objective else steps
    return min(seconds) / taken
