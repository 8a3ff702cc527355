"""The line search of Moré and Thuente, one trial at a time, without branches.

Reference:
    Moré & Thuente, 1994, "Line search algorithms with guaranteed sufficient decrease",
    doi:10.1145/192115.192132; the safeguards are those of MINPACK-2's `dcsrch`, which SciPy uses.
"""

from typing import Any, NamedTuple

import keras
from keras import ops

_RELATIVE_WIDTH = 1e-10  # of an interval that is not worth narrowing
_LONGEST = 1e10


class Bound(NamedTuple):
    """A length that has been tried: the function and its slope there."""

    length: Any
    value: Any
    slope: Any

    def lowered(self, tilt) -> "Bound":
        """Seen from the line of sufficient decrease, whose slope is `tilt`."""
        return Bound(self.length, self.value - tilt * self.length, self.slope - tilt)


class LineSearch(NamedTuple):
    """The state of a search: where it began, the interval's two bounds, and the next trial.

    Attributes:
        best, other: bounds of the interval; the best has the lowest value so far.
        trial: length to try next.
        low, high: limits of the trial after that.
        bracketed: whether a minimum lies between the bounds.
        first_stage: until a trial has decreased enough with a rising slope.
        width, former_width: of the interval, now and one trial before.
        finished: whether to stop.
    """

    start: Bound
    sufficient: Any
    curvature: Any
    hidden: Any
    best: Bound
    other: Bound
    trial: Any
    low: Any
    high: Any
    bracketed: Any
    first_stage: Any
    width: Any
    former_width: Any
    finished: Any

    @classmethod
    def begin(cls, length, value, slope, sufficient, curvature, rounding) -> "LineSearch":
        zero = ops.zeros_like(slope)
        start = Bound(zero, value, slope)
        return cls(
            start=start,
            sufficient=zero + sufficient,
            curvature=zero + curvature,
            hidden=ops.sqrt(zero + rounding) * ops.abs(value),
            best=start,
            other=start,
            trial=length,
            low=zero,
            high=5.0 * length,
            bracketed=ops.zeros_like(slope, dtype="bool"),
            first_stage=ops.ones_like(slope, dtype="bool"),
            width=zero + _LONGEST,
            former_width=zero + 2 * _LONGEST,
            finished=ops.logical_not(slope < 0),
        )

    def resolved(self, value, slope):
        """The value at the trial, by the slopes at both ends where rounding hides the change.

        A loss made of small differences of large numbers, such as that of an equation, has lost
        the digits of its value long before those of its slope.

        Reference:
            Hager & Zhang, 2005, doi:10.1137/030601880: the approximate Wolfe conditions.
        """
        change = value - self.start.value
        by_slopes = self.trial * (self.start.slope + slope) / 2
        return self.start.value + ops.where(ops.abs(change) <= self.hidden, by_slopes, change)

    def accepts(self, value, slope):
        """Whether the trial fulfils the strong Wolfe conditions."""
        enough = value <= self.line(self.trial)
        return ops.logical_and(enough, ops.abs(slope) <= -self.curvature * self.start.slope)

    def line(self, length):
        """The line of sufficient decrease."""
        return self.start.value + length * self.sufficient * self.start.slope

    def narrowed(self, value, slope) -> "LineSearch":
        """The search after a trial that was evaluated and not accepted."""
        finite = ops.logical_and(ops.isfinite(value), ops.isfinite(slope))
        zero = ops.zeros_like(slope)
        trial = Bound(self.trial, ops.where(finite, value, zero), ops.where(finite, slope, zero))
        search = self._after(trial)
        shorter = self.best.length + 0.1 * (self.trial - self.best.length)
        # Beyond the function's domain: no bound, only a limit.
        beyond = self._replace(trial=shorter, high=self.trial)
        chosen = keras.tree.map_structure(
            lambda found, other: ops.where(finite, found, other), search, beyond
        )
        return chosen._replace(hidden=4.0 * self.hidden)

    def _after(self, trial: Bound) -> "LineSearch":
        line = self.line(trial.length)
        below = trial.value <= line
        stalled = _no_room(self.bracketed, trial.length, self.low, self.high)
        longest = ops.logical_and(trial.length >= _LONGEST, below)
        first_stage = ops.logical_and(
            self.first_stage, ops.logical_not(ops.logical_and(below, trial.slope >= 0))
        )
        # While the trial is lower than the best but not low enough, the distance to the line of
        # sufficient decrease is minimized instead of the function.
        lowered = ops.logical_and(
            first_stage, ops.logical_and(trial.value <= self.best.value, ops.logical_not(below))
        )
        tilt = ops.where(lowered, self.sufficient * self.start.slope, 0.0)
        best, other, length, bracketed = _interpolated(
            self.best.lowered(tilt),
            self.other.lowered(tilt),
            trial.lowered(tilt),
            self.bracketed,
            self.low,
            self.high,
        )
        best, other = best.lowered(-tilt), other.lowered(-tilt)

        # An interval that shrinks too slowly is bisected.
        width = ops.abs(other.length - best.length)
        slow = ops.logical_and(bracketed, width >= 0.66 * self.former_width)
        length = ops.where(slow, best.length + 0.5 * (other.length - best.length), length)
        low = ops.where(
            bracketed,
            ops.minimum(best.length, other.length),
            length + 1.1 * (length - best.length),
        )
        high = ops.where(
            bracketed,
            ops.maximum(best.length, other.length),
            length + 4.0 * (length - best.length),
        )
        length = ops.clip(length, 0.0, _LONGEST)
        useless = _no_room(bracketed, length, low, high)
        return self._replace(
            best=best,
            other=other,
            trial=ops.where(useless, best.length, length),
            low=low,
            high=high,
            bracketed=bracketed,
            first_stage=first_stage,
            width=ops.where(bracketed, width, self.width),
            former_width=ops.where(bracketed, self.width, self.former_width),
            finished=ops.logical_or(self.finished, ops.logical_or(stalled, longest)),
        )


def _no_room(bracketed, length, low, high):
    """Whether a bracket is too narrow for a trial of this length."""
    outside = ops.logical_or(length <= low, length >= high)
    narrow = high - low <= _RELATIVE_WIDTH * high
    return ops.logical_and(bracketed, ops.logical_or(outside, narrow))


def _interpolated(best: Bound, other: Bound, trial: Bound, bracketed, low, high):
    """The bounds with the trial among them, and the minimum of a polynomial through them."""
    t, gap = trial.length, trial.length - best.length
    opposite = trial.slope * best.slope < 0
    higher = trial.value > best.value
    flatter = ops.abs(trial.slope) < ops.abs(best.slope)

    theta, gamma = _cubic(best, trial)
    # 1. The trial is higher: a minimum lies between. The cubic's, if near, else halfway.
    signed = ops.where(t < best.length, -gamma, gamma)
    ratio = _ratio(signed - best.slope + theta, signed - best.slope + signed + trial.slope)
    cubic = best.length + ratio * gap
    secant = _ratio(best.value - trial.value, gap) + best.slope
    quadratic = best.length + _ratio(best.slope, secant) / 2 * gap
    near = ops.abs(cubic - best.length) <= ops.abs(quadratic - best.length)
    between = ops.where(near, cubic, cubic + (quadratic - cubic) / 2)

    # 2. The slopes point at each other: the step farther from the trial.
    signed = ops.where(t > best.length, -gamma, gamma)
    ratio = _ratio(signed - trial.slope + theta, signed - trial.slope + signed + best.slope)
    cubic = t - ratio * gap
    secant = t - _ratio(trial.slope, trial.slope - best.slope) * gap
    farther = ops.abs(cubic - t) > ops.abs(secant - t)
    crossed = ops.where(farther, cubic, secant)

    # 3. The slope flattens: go on, by the cubic where it has a minimum ahead.
    ratio = _ratio(signed - trial.slope + theta, signed + best.slope - trial.slope + signed)
    limit = ops.where(t > best.length, high, low)
    ahead = ops.where(ops.logical_and(ratio < 0, gamma != 0), t - ratio * gap, limit)
    nearer = ops.abs(ahead - t) < ops.abs(secant - t)
    inside = ops.where(nearer, ahead, secant)
    reach = t + 0.66 * (other.length - t)
    inside = ops.where(t > best.length, ops.minimum(reach, inside), ops.maximum(reach, inside))
    outside = ops.clip(ops.where(nearer, secant, ahead), low, high)
    flattened = ops.where(bracketed, inside, outside)

    # 4. The slope steepens: the cubic to the other bound, or as far as allowed.
    theta, gamma = _cubic(other, trial)
    signed = ops.where(t > other.length, -gamma, gamma)
    ratio = _ratio(signed - trial.slope + theta, signed - trial.slope + signed + other.slope)
    steepened = ops.where(bracketed, t + ratio * (other.length - t), limit)

    length = ops.where(
        higher,
        between,
        ops.where(opposite, crossed, ops.where(flatter, flattened, steepened)),
    )
    bracketed = ops.logical_or(bracketed, ops.logical_or(higher, opposite))
    new_other = _chosen(higher, trial, _chosen(opposite, best, other))
    return _chosen(higher, best, trial), new_other, length, bracketed


def _cubic(a: Bound, b: Bound):
    """The numbers θ and γ ≥ 0 from which the minimum of the cubic through two bounds follows."""
    theta = 3.0 * _ratio(a.value - b.value, b.length - a.length) + a.slope + b.slope
    size = ops.maximum(ops.abs(theta), ops.maximum(ops.abs(a.slope), ops.abs(b.slope)))
    radicand = _ratio(theta, size) ** 2 - _ratio(a.slope, size) * _ratio(b.slope, size)
    return theta, size * ops.sqrt(ops.maximum(radicand, 0.0))


def _chosen(condition, a: Bound, b: Bound) -> Bound:
    return Bound(*(ops.where(condition, x, y) for x, y in zip(a, b, strict=True)))


def _ratio(a, b):
    """a / b, and 0 for b = 0, which only branches that are not taken divide by."""
    zero = b == 0
    return ops.where(zero, 0.0, a / ops.where(zero, 1.0, b))
