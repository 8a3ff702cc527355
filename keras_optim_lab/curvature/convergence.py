"""When a minimization has converged, and what else may have ended it.

A gradient is small or large only beside the curvature, so it is judged by the step that it asks
for: the whole step p to the minimum of a quadratic model of the function. In units of the function
it is the decrease ½ |gᵀp| that the model promises, and in units of x it is p itself; neither
changes when the function or a coordinate is measured in other units.
"""

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_optim_lab.arguments import is_number
from keras_optim_lab.curvature.directions import is_curved, remember, two_loop
from keras_optim_lab.curvature.objective import Point
from keras_optim_lab.curvature.spectrum import epsilon
from keras_optim_lab.curvature.step_rules import NO_DECREASE, NOT_FINITE, STILL_FALLING

MESSAGES = {
    "gradient": "The gradient is zero.",
    "gtol": "The gradient is as small as gtol.",
    "ftol": "The decrease that is left is as small as ftol.",
    "xtol": "The step that is left is as small as xtol.",
    "precision": "No decrease is left that the precision of the numbers would show.",
    "no decrease": "No decrease was found along the direction of step {nit}; x is the best point "
    "so far.",
    "not finite": "The function is not finite after step {nit}; see path.",
    "curvature": "The curvature is not finite in step {nit}; x is the point before.",
    "unbounded": "The function seems to be unbounded below: it is still falling at {fun:.3g}, "
    "as steeply as before, after step {nit}.",
    "higher": "The last steps have converged, but to a higher value than that of x; see path.",
    "steps": "All {nit} steps were taken.",
}
SUCCESS = ("gradient", "gtol", "ftol", "xtol", "precision")

_ROUNDINGS = 10  # spacings of numbers below which no tolerance is met but by chance
_OPEN_ENDS = 5  # steps in a row that find a function still falling, before it is called unbounded
_FAR = 1e6  # times the value before them, and below zero
_RESTS = 3  # steps in a row that rounding swallows, before they count as none
_PAIRS = 10
_FALLEN = 1e-4  # of a gradient's largest


class Tolerances(NamedTuple):
    """How small is small enough; None for what shall end nothing.

    Attributes:
        ftol: of the decrease that is left, beside the value of the function.
        xtol: of the step that is left, beside x.
        gtol: of the gradient, as the square root of the decrease that is left beside the value.
    """

    ftol: float | None
    xtol: float | None
    gtol: float | None

    def check(self) -> None:
        for name, value in self._asdict().items():
            if value is not None and not (is_number(value) and 0 <= value < 1):
                raise ValueError(
                    f"{name}: must be a number of at least 0 and below 1, or None, which ends "
                    f"nothing. Received: {name}={value!r}"
                )

    def within(self, epsilon: float) -> "Tolerances":
        """None of them below what rounding leaves."""
        return Tolerances(
            *(None if tol is None else max(float(tol), _ROUNDINGS * epsilon) for tol in self)
        )


class Secants:
    """The model of a method that has none: the one that L-BFGS makes of the last steps."""

    def __init__(self, size: int, dtype: str):
        self._shape = (_PAIRS, size)
        self._dtype = dtype

    def first_state(self) -> tuple[Any, Any]:
        return ops.zeros(self._shape, self._dtype), ops.zeros(self._shape, self._dtype)

    def advance(self, pairs: Any, before: Point, after: Point) -> tuple[Any, Any]:
        """The pairs with the step just taken, and the whole step from where it has led."""
        step, change = after.x - before.x, after.gradient - before.gradient
        curved = is_curved(step, change, before.gradient)
        steps, changes = (
            remember(rows, row, curved) for rows, row in zip(pairs, (step, change), strict=True)
        )
        known = ops.sum(steps[-1] * changes[-1]) > 0
        whole = two_loop(after.gradient, steps, changes)
        return (steps, changes), ops.where(known, whole, float("inf"))


class Seen(NamedTuple):
    """A point in NumPy's arrays."""

    x: np.ndarray
    value: float
    gradient: np.ndarray

    @classmethod
    def of(cls, point: Point) -> "Seen":
        x, value, gradient = (np.array(ops.convert_to_numpy(part)) for part in point)
        return cls(x, float(value), gradient)

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.value) and np.isfinite(self.gradient).all())


class Convergence:
    """Judges a minimization step by step.

    Args:
        tolerances: as given.
        start: where it begins.
        own_model: whether whole steps are those of the method's model at the point before; else
            they are those of secants at the point after.
    """

    def __init__(self, tolerances: Tolerances, start: Seen, own_model: bool):
        self._epsilon = epsilon(start.x)
        self._tolerances = tolerances.within(self._epsilon)
        self._own_model = own_model
        self._steepest = np.abs(start.gradient)
        self._first = abs(start.value)
        self._before_falling = start.value
        self._open_ends = self._rests = 0

    def at_start(self, start: Seen) -> str | None:
        stops = any(tolerance is not None for tolerance in self._tolerances)
        return "gradient" if stops and not start.gradient.any() else None

    def after(self, before: Seen, after: Seen, whole: np.ndarray, status: int) -> str | None:
        """Why a minimization ends after a step, a key of `MESSAGES`; None if it goes on."""
        if status != STILL_FALLING:
            self._open_ends, self._before_falling = 0, after.value
        else:
            self._open_ends += 1
        self._steepest = np.maximum(self._steepest, np.abs(after.gradient))
        far = after.value < -_FAR * abs(self._before_falling)
        if after.value == -np.inf or (far and self._open_ends >= _OPEN_ENDS):
            return "unbounded"
        if not after.finite:
            return "not finite"
        if status == NOT_FINITE:
            return "curvature"
        with np.errstate(over="ignore", invalid="ignore"):
            return self.at_start(after) or self._converged(before, after, whole, status)

    def where_it_is(self, point: Seen, whole: np.ndarray) -> str:
        """The same for a point that a method could not leave, by the whole step from there."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._small(point, whole, [whole], 0.0, stuck=True) or "no decrease"

    def _converged(self, before: Seen, after: Seen, whole: np.ndarray, status: int) -> str | None:
        moved = np.abs(after.x - before.x) > _ROUNDINGS * self._epsilon * np.abs(before.x)
        self._rests = 0 if moved.any() or not self._own_model else self._rests + 1
        stuck = status == NO_DECREASE or self._rests == _RESTS
        there = before if self._own_model else after
        # Secants know only where the method has been, so its own step has to be short as well.
        steps = [whole] if self._own_model else [whole, after.x - before.x]
        fell = abs(before.value - after.value)
        small = self._trusted(after) and self._small(there, whole, steps, fell, stuck)
        return small or ("no decrease" if stuck else None)

    def _small(
        self, point: Seen, whole: np.ndarray, steps: list[np.ndarray], fell: float, stuck: bool
    ) -> str | None:
        ftol, xtol, gtol = self._tolerances
        scale = abs(point.value)
        left = abs(float(np.sum(point.gradient * whole))) / 2
        if gtol is not None and left <= gtol**2 * scale:
            return "gtol"
        if ftol is not None and max(left, fell) <= ftol * scale:
            return "ftol"
        if xtol is not None:
            longest = xtol * (xtol + np.abs(point.x))
            if all((np.abs(step) <= longest).all() for step in steps):
                return "xtol"
        hidden = max(_ROUNDINGS * self._epsilon * scale, self._epsilon**2 * self._first)
        return "precision" if stuck and left <= hidden else None

    def _trusted(self, after: Seen) -> bool:
        """Whether the model may say so: secants of few steps miss directions of little curvature.

        Where that is so the gradient has not fallen yet.
        """
        fallen = np.abs(after.gradient) <= _FALLEN * self._steepest
        return self._own_model or bool(fallen.all())
