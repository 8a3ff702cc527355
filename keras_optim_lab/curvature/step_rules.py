"""How far to go: rules that turn a direction into a step, for every method with a direction.

A rule takes the objective, the present `Point`, a direction and a first length, and returns the
next `Point` and the `Effort`. It assigns nothing, and its loops are part of the compiled program.
"""

from typing import Any, NamedTuple

from keras import ops

from keras_optim_lab.curvature.more_thuente import Search
from keras_optim_lab.curvature.objective import Objective, Point
from keras_optim_lab.curvature.spectrum import Spectrum, epsilon

# What became of a step.
TAKEN, NO_DECREASE, NOT_FINITE, AT_PRECISION = range(4)

_TRIALS = 20
_DAMPINGS = 12  # the last is 2⁷⁸ times the first
_SUFFICIENT = 1e-4  # of the decrease that the slope promises


class Effort(NamedTuple):
    """What a step has cost and what became of it.

    Attributes:
        values, gradients, products: evaluations of the function, its gradient, and of products
            with its Hessian.
        status: `TAKEN` or why the weights stay where they are.
    """

    values: Any = 0
    gradients: Any = 0
    products: Any = 0
    status: Any = TAKEN


def fixed(objective: Objective, point: Point, direction, length) -> tuple[Point, Effort]:
    """The whole length, whatever the function does; nothing if the direction is not finite."""
    finite = ops.all(ops.isfinite(direction))
    x = ops.where(finite, point.x + length * direction, point.x)
    return Point(x), Effort(status=ops.where(finite, TAKEN, NOT_FINITE))


def armijo(objective: Objective, point: Point, direction, length) -> tuple[Point, Effort]:
    """Halves the length until the function falls by a part of what its slope promises.

    Reference:
        Armijo, 1966, doi:10.2140/pjm.1966.16.1.
    """
    slope = ops.sum(point.gradient * direction)

    def falls(length, value):
        return value <= point.value + _SUFFICIENT * length * slope

    def again(length, value, trials):
        return ops.logical_and(ops.logical_not(falls(length, value)), trials < _TRIALS)

    def halve(length, value, trials):
        length = length / 2
        return length, objective.value(point.x + length * direction), trials + 1

    first = ops.ones_like(slope) * length
    length, value, trials = ops.while_loop(
        again,
        halve,
        (first, objective.value(point.x + first * direction), ops.convert_to_tensor(1, "int32")),
    )
    found = ops.logical_and(slope < 0, falls(length, value))
    x = ops.where(found, point.x + length * direction, point.x)
    return Point(x), Effort(values=trials, status=_status(found, slope, point))


def strong_wolfe(
    objective: Objective, point: Point, direction, length, curvature: float = 0.9
) -> tuple[Point, Effort]:
    """Finds a length where the function falls enough and its slope has become flat enough.

        f(x + αp) ≤ f(x) + 10⁻⁴ α fˈ,    |fˈ(x + αp)| ≤ c |fˈ|,    fˈ = gᵀp

    If there is none within 20 evaluations, the best point found is kept, and the status says so.

    Reference:
        Moré & Thuente, 1994, doi:10.1145/192115.192132.
    """
    slope = ops.sum(point.gradient * direction)

    class Best(NamedTuple):
        length: Any
        value: Any
        gradient: Any
        resolved: Any

    def again(search, best, found, trials):
        return ops.logical_not(ops.logical_or(search.finished, trials >= _TRIALS))

    def evaluate(search, best, found, trials):
        x = point.x + search.trial * direction
        value, gradient = objective.value_and_gradient(x)
        trial_slope = ops.sum(gradient * direction)
        resolved = search.resolved(value, trial_slope)
        accepted = search.accepts(resolved, trial_slope)
        better = ops.logical_or(accepted, resolved < best.resolved)
        best = Best(
            ops.where(better, search.trial, best.length),
            ops.where(better, value, best.value),
            ops.where(better, gradient, best.gradient),
            ops.where(better, resolved, best.resolved),
        )
        search = ops.cond(
            accepted,
            lambda: search._replace(finished=accepted),
            lambda: search.narrowed(resolved, trial_slope),
        )
        return search, best, ops.logical_or(found, accepted), trials + 1

    zero = ops.zeros_like(slope)
    search = Search.begin(
        zero + length, point.value, slope, _SUFFICIENT, curvature, epsilon(point.x)
    )
    _, best, found, trials = ops.while_loop(
        again,
        evaluate,
        (search, Best(zero, point.value, point.gradient, point.value), _no(slope), _none()),
    )
    status = _status(found, slope, point)
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

    def again(damping, growth, x, promise, taken, trials):
        return ops.logical_and(ops.logical_not(taken), trials < _DAMPINGS)

    def attempt(damping, growth, x, promise, taken, trials):
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
            # Of the longest step: those that follow promise less and less.
            ops.where(ops.equal(trials, 0), promised, promise),
            taken,
            trials + 1,
        )

    begin = (
        damping,
        growth,
        point.x,
        ops.zeros_like(point.value),
        _no(point.value),
        _none(),
    )
    tried, grown, x, promise, taken, trials = ops.while_loop(again, attempt, begin)
    status = ops.where(spectrum.finite, _status(taken, promise, point), NOT_FINITE)
    # Where no damping helped, the next step begins with the former one again.
    damping, growth = ops.where(taken, tried, damping), ops.where(taken, grown, growth)
    return Point(x), Effort(values=trials, status=status), damping, growth


def _status(found, promise, point: Point):
    """Whether a step was found and, if not, whether rounding would have hidden any decrease."""
    hidden = ops.abs(promise) <= 10 * epsilon(point.x) * ops.abs(point.value)
    return ops.where(found, TAKEN, ops.where(hidden, AT_PRECISION, NO_DECREASE))


def _no(like):
    return ops.zeros_like(like, dtype="bool")


def _none():
    return ops.convert_to_tensor(0, "int32")


STEP_RULES = {"fixed": fixed, "armijo": armijo, "strong_wolfe": strong_wolfe}
