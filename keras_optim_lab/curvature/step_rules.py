"""How far to go: rules that turn a direction into a step, for every method with a direction.

A rule takes the objective, the present `Point`, a direction and a first length, and returns the
next `Point` and the `Effort`. It assigns nothing, and its loops are part of the compiled program.
"""

from typing import Any, NamedTuple

from keras import ops

from keras_optim_lab.curvature.more_thuente import LineSearch
from keras_optim_lab.curvature.objective import Objective, Point
from keras_optim_lab.curvature.spectrum import Spectrum, epsilon

# What became of a step. One that is still falling was taken as well: at its end, as far as the rule
# has looked, the function goes on falling as steeply as its slope says.
TAKEN, NO_DECREASE, NOT_FINITE, STILL_FALLING = range(4)

_TRIALS = 20
_DAMPINGS = 12  # the last is 2⁷⁸ times the first
_SUFFICIENT = 1e-4  # of the decrease that the slope promises
_STRAIGHT = 0.99  # of it: what a function falls by that is not curved upwards


class Effort(NamedTuple):
    """What a step has cost and what became of it.

    Attributes:
        values, gradients, products: evaluations of the function, its gradient, and of products
            with its Hessian.
        status: `TAKEN` or why the weights stay where they are.
        whole: returns the step to the minimum of the method's model of the function, as if nothing
            were damped; None where it has no model that can be trusted that far.
    """

    values: Any = 0
    gradients: Any = 0
    products: Any = 0
    status: Any = TAKEN
    whole: Any = None


def fixed(objective: Objective, point: Point, direction, length) -> tuple[Point, Effort]:
    """The whole length, whatever the function does; nothing if the direction is not finite."""
    finite = ops.all(ops.isfinite(direction))
    x = ops.where(finite, point.x + length * direction, point.x)
    return Point(x), Effort(status=ops.where(finite, TAKEN, NOT_FINITE))


def armijo(objective: Objective, point: Point, direction, length) -> tuple[Point, Effort]:
    """Halves the length until the function falls by a part of what its slope promises.

    A function that falls by all of it is not curved upwards: the length is doubled as long as
    that is so.

    Reference:
        Armijo, 1966, doi:10.2140/pjm.1966.16.1.
    """
    slope = ops.sum(point.gradient * direction)

    def falls(length, value, part=_SUFFICIENT):
        return value <= point.value + part * length * slope

    def again(length, value, trials):
        return ops.logical_and(ops.logical_not(falls(length, value)), trials < _TRIALS)

    def halve(length, value, trials):
        length = length / 2
        return length, objective.value(point.x + length * direction), trials + 1

    def straight_on(length, value, straight, trials):
        return ops.logical_and(straight, trials < _TRIALS)

    def double(length, value, straight, trials):
        further = objective.value(point.x + 2 * length * direction)
        lower = further < value
        length, value = ops.where(lower, 2 * length, length), ops.where(lower, further, value)
        return length, value, ops.logical_and(lower, falls(length, value, _STRAIGHT)), trials + 1

    first = ops.ones_like(slope) * length
    value = objective.value(point.x + first * direction)
    length, value, trials = ops.while_loop(again, halve, (first, value, _none() + 1))
    found = ops.logical_and(slope < 0, falls(length, value))
    straight = ops.logical_and(found, falls(length, value, _STRAIGHT))
    length, _, straight, trials = ops.while_loop(
        straight_on, double, (length, value, straight, trials)
    )
    x = ops.where(found, point.x + length * direction, point.x)
    return Point(x), Effort(values=trials, status=_status(found, straight))


class _Tried(NamedTuple):
    """A length that a search has tried; `resolved` is its value where rounding hides it."""

    length: Any
    value: Any
    gradient: Any
    resolved: Any


def strong_wolfe(
    objective: Objective, point: Point, direction, length, curvature: float = 0.9
) -> tuple[Point, Effort]:
    """Finds a length where the function falls enough and its slope has become flat enough.

        f(x + αp) ≤ f(x) + 10⁻⁴ α fˈ,    |fˈ(x + αp)| ≤ c |fˈ|,    fˈ = gᵀp

    If there is none within 20 evaluations, the best point found is kept, and the status says so if
    the function does not fall there.

    Reference:
        Moré & Thuente, 1994, doi:10.1145/192115.192132.
    """
    slope = ops.sum(point.gradient * direction)

    def again(search, best, accepted, inside, trials):
        return ops.logical_not(ops.logical_or(search.finished, trials >= _TRIALS))

    def evaluate(search, best, accepted, inside, trials):
        x = point.x + search.trial * direction
        value, gradient = objective.value_and_gradient(x)
        trial_slope = ops.sum(gradient * direction)
        resolved = search.resolved(value, trial_slope)
        accepted = search.accepts(resolved, trial_slope)
        better = ops.logical_or(accepted, resolved < best.resolved)
        tried = _Tried(search.trial, value, gradient, resolved)
        best = _Tried(*(ops.where(better, a, b) for a, b in zip(tried, best, strict=True)))
        search = ops.cond(
            accepted,
            lambda: search._replace(finished=accepted),
            lambda: search.narrowed(resolved, trial_slope),
        )
        inside = ops.logical_and(inside, ops.isfinite(value))
        return search, best, accepted, inside, trials + 1

    zero = ops.zeros_like(slope)
    search = LineSearch.begin(
        zero + length, point.value, slope, _SUFFICIENT, curvature, epsilon(point.x)
    )
    begin = _Tried(zero, point.value, point.gradient, point.value)
    search, best, accepted, inside, trials = ops.while_loop(
        again, evaluate, (search, begin, _no(slope), ops.logical_not(_no(slope)), _none())
    )
    lower = ops.logical_and(best.length > 0, best.value <= search.line(best.length))
    found = ops.logical_or(accepted, lower)
    # Neither a minimum nor an end of the function's domain has been met.
    open_end = ops.logical_and(inside, ops.logical_not(ops.logical_or(accepted, search.bracketed)))
    status = _status(found, open_end)
    # A direction that is not finite leads nowhere, not to what is no number.
    x = ops.where(best.length > 0, point.x + best.length * direction, point.x)
    return (
        Point(x, best.value, best.gradient),
        Effort(values=trials, gradients=trials, status=status),
    )


def trust_region(
    objective: Objective, point: Point, spectrum: Spectrum, length, damping, growth
) -> tuple[Point, Effort, Any, Any]:
    """Damps the model of the function until a step keeps what the model promises.

    After a good step the damping falls, after each bad one it grows faster and faster.

    Returns:
        The next point, the effort, damping and its growth for the next step.

    Reference:
        Nielsen, 1999, "Damping parameter in Marquardt's method", IMM-REP-1999-05, §2.
    """

    def again(damping, growth, x, taken, trials):
        return ops.logical_and(ops.logical_not(taken), trials < _DAMPINGS)

    def attempt(damping, growth, x, taken, trials):
        step = -length * spectrum.solve(point.gradient, damping)
        promised = -ops.sum(point.gradient * step) - spectrum.quadratic_form(step) / 2
        value = objective.value(point.x + step)
        gain = (point.value - value) / promised
        taken = ops.logical_and(gain > _SUFFICIENT, promised > 0)
        shorter = ops.maximum(1 / 3, 1 - (2 * gain - 1) ** 3)
        return (
            damping * ops.where(taken, shorter, growth),
            ops.where(taken, 2.0, 2 * growth),
            ops.where(taken, point.x + step, x),
            taken,
            trials + 1,
        )

    tried, grown, x, taken, trials = ops.while_loop(
        again, attempt, (damping, growth, point.x, _no(point.value), _none())
    )
    status = ops.where(spectrum.finite, _status(taken), NOT_FINITE)
    # Where no damping helped, the next step begins with the former one again.
    damping, growth = ops.where(taken, tried, damping), ops.where(taken, grown, growth)
    return Point(x), Effort(values=trials, status=status), damping, growth


def _status(found, falling=False):
    return ops.where(found, ops.where(falling, STILL_FALLING, TAKEN), NO_DECREASE)


def _no(like):
    return ops.zeros_like(like, dtype="bool")


def _none():
    return ops.convert_to_tensor(0, "int32")


STEP_RULES = {"fixed": fixed, "armijo": armijo, "strong_wolfe": strong_wolfe}
