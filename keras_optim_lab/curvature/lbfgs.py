from keras import ops

from keras_optim_lab.curvature.directions import is_curved, remember, two_loop
from keras_optim_lab.curvature.objective import Point
from keras_optim_lab.curvature.optimizer import CurvatureOptimizer
from keras_optim_lab.curvature.step_rules import NO_DECREASE, NOT_FINITE, STEP_RULES, TAKEN
from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, choice, count, rate, switch
from keras_optim_lab.optimizers.shell.slots import Slot


def _for_each_pair(optimizer, place):
    return (optimizer.history, *place.shape)


@register("lbfgs", year=1980)
class LBFGS(CurvatureOptimizer):
    """Learns the curvature from how the gradient has changed in its last steps.

        s = w₊ − w,    y = g₊ − g,    w ← w − α H g

    H is the inverse Hessian that fits the last `history` pairs (s, y), applied by two loops over
    them and never built; α comes from a line search. Pairs along which the loss is not convex are
    not remembered, and a step that finds no decrease forgets all of them.

    Trained batch after batch, both gradients of a pair are those of one batch, the one on which the
    step was taken, so that y is curvature and not the difference of two batches: the online form,
    at the price of one more gradient a step. With `full_batch` the gradient at the end of a step is
    the next one's, as in the classical method.

    When to use it:
        For smooth problems on all samples, physics-informed networks among them, often after some
        Adam. Mini-batches mislead it.

    Reference:
        Nocedal, 1980, doi:10.1090/S0025-5718-1980-0572855-7; Liu & Nocedal, 1989,
        doi:10.1007/BF01589116. Online: Schraudolph, Yu & Günter, 2007, AISTATS; in the terms of
        Berahas, Nocedal & Takáč, 2016, arXiv:1605.06049, the whole batch is the overlap.

    Relation to SciPy:
        `scipy.optimize.minimize(method="L-BFGS-B")` without bounds: the same pairs, scaling and
        line search (Moré–Thuente), whose sufficient decrease is 10⁻³ there and 10⁻⁴ here.
    """

    learning_rate: Hyperparameter = rate(default=1.0, doc="First step length η to try.")
    history: int = count(default=10, doc="Pairs of steps and changes to remember.")
    step_rule: str = choice(
        default="strong_wolfe",
        options=tuple(STEP_RULES),
        doc="How far to go: a search for strong Wolfe steps, Armijo's halving, or the whole step.",
    )
    full_batch: bool = switch(
        default=False,
        doc="Every step sees the same loss, as with one batch of all data and no dropout.",
    )

    slots = (
        Slot("steps", shape=_for_each_pair),
        Slot("changes", shape=_for_each_pair),
        Slot("last_x", when="full_batch"),
        Slot("last_gradient", when="full_batch"),
    )
    shared = (Slot("last_value", when="full_batch", initial=float("nan")),)

    def start(self, objective, x, state):
        if not self.full_batch:
            return objective.point(x)
        # Weights that were set from outside are seen by comparing.
        unmoved = ops.logical_and(ops.all(x == state.last_x), ops.isfinite(state.last_value))
        value, gradient = ops.cond(
            unmoved,
            lambda: (state.last_value, state.last_gradient),
            lambda: objective.value_and_gradient(x),
        )
        return Point(x, value, gradient)

    def advance(self, objective, point, state, h):
        direction = two_loop(point.gradient, state.steps, state.changes)
        after, effort = STEP_RULES[self.step_rule](objective, point, direction, h.learning_rate)
        if after.gradient is None:
            after = objective.point(after.x)
            effort = effort._replace(values=effort.values + 1, gradients=effort.gradients + 1)
        step, change = after.x - point.x, after.gradient - point.gradient
        curved = is_curved(step, change, point.gradient)
        # Pairs that led nowhere are forgotten: the next step is one of steepest descent.
        lost = ops.logical_or(
            ops.equal(effort.status, NO_DECREASE), ops.equal(effort.status, NOT_FINITE)
        )
        useful = ops.cast(ops.logical_not(lost), step.dtype)
        again = ops.logical_and(lost, ops.any(state.steps[-1] != 0))
        effort = effort._replace(status=ops.where(again, TAKEN, effort.status))
        state = state(
            steps=useful * remember(state.steps, step, curved),
            changes=useful * remember(state.changes, change, curved),
        )
        if self.full_batch:
            state = state(last_x=after.x, last_gradient=after.gradient, last_value=after.value)
        return after, state, effort
