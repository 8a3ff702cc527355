from keras import ops

from keras_optim_lab.curvature.objective import Objective, Point, half_of_squares
from keras_optim_lab.curvature.optimizer import CurvatureOptimizer
from keras_optim_lab.curvature.spectrum import Spectrum
from keras_optim_lab.curvature.step_rules import NOT_FINITE, STEP_RULES, trust_region
from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.ranges import MARQUARDT_DAMPING
from keras_optim_lab.optimizers.shell.fields import (
    Hyperparameter,
    choice,
    nonnegative,
    rate,
    switch,
)
from keras_optim_lab.optimizers.shell.slots import Slot


@register("gauss_newton", year=1809)
class GaussNewton(CurvatureOptimizer):
    """Newton's step with the curvature of the loss alone, as if the outputs were linear in w.

        w ← w − η (JᵀLJ + λ I)⁻¹ g

    J is the Jacobian of the outputs and L the Hessian of the loss with respect to them: for
    squared errors JᵀJ, up to a factor. It has no negative eigenvalue where the loss is convex in
    the outputs, so that every step leads down; it is exact where residuals vanish. Eigenvalues
    that are zero to rounding are left out, as in the step of least norm.

    Either the weights or the outputs of a batch may be up to 5,000: the smaller matrix is built.

    When to use it:
        For least squares whose residuals end small, from a good start. Otherwise take
        `LevenbergMarquardt`.

    Reference:
        Nocedal & Wright, 2006, "Numerical Optimization", §10.3; for any convex loss: Schraudolph,
        2002, doi:10.1162/08997660260028683.

    Relation to Keras:
        Keras has no second-order optimizer.
    """

    least_squares = True
    has_model = True

    learning_rate: Hyperparameter = rate(default=1.0, doc="Step length η ≥ 0.")
    damping: Hyperparameter = nonnegative(default=0.0, doc="λ ≥ 0, added to the eigenvalues.")
    step_rule: str = choice(
        default="fixed",
        options=tuple(STEP_RULES),
        doc="How far to go: the whole step, Armijo's halving, or a search for strong Wolfe steps.",
    )

    def advance(self, objective, point, state, h):
        spectrum, products = _spectrum(objective, point.x)
        direction = -spectrum.solve(point.gradient, h.damping)
        after, effort = STEP_RULES[self.step_rule](objective, point, direction, h.learning_rate)
        status = ops.where(spectrum.finite, effort.status, NOT_FINITE)
        effort = effort._replace(whole=lambda: _whole(objective, point))
        return after, state, effort._replace(products=products, status=status)


@register("levenberg_marquardt", year=1944)
class LevenbergMarquardt(CurvatureOptimizer):
    """Gauss–Newton steps as long as they keep their promise, shorter and steeper ones otherwise.

        w ← w − η (JᵀLJ + λ D)⁻¹ g,    D = diag(JᵀLJ), at least 1 % of its largest

    λ adapts: where the loss falls as much as the model says, λ goes down by up to 3, towards
    Gauss–Newton; where it does not, the step is not taken, and λ goes up, faster each time, until
    the loss falls. D makes the method blind to the units of the weights, up to a factor of 100 in
    curvature; without that bound, weights that hardly matter take all the length of a step.

    Either the weights or the outputs of a batch may be up to 5,000: the smaller matrix is built.

    When to use it:
        For curve fitting and small regression networks on all samples, where it is the first
        choice.

    Reference:
        Levenberg, 1944, doi:10.1090/qam/10666; Marquardt, 1963, doi:10.1137/0111030; the rule for
        λ is Nielsen's, 1999, IMM-REP-1999-05.

    Relation to SciPy:
        `scipy.optimize.least_squares(method="lm")` finds the same optimum; it bounds the length of
        a step where this class adapts λ.
    """

    least_squares = True
    has_model = True

    learning_rate: Hyperparameter = rate(default=1.0, doc="Step length η ≥ 0.")
    damping: Hyperparameter = nonnegative(
        default=1e-2, search=MARQUARDT_DAMPING, doc="λ ≥ 0 of the first step."
    )

    scaled: bool = switch(
        default=True, doc="Damp each weight by its own curvature, else all by the mean: D = mean I."
    )

    shared = (Slot("adapted_damping", initial="damping"), Slot("growth", initial=2.0))
    carries = ("adapted_damping", "growth")

    def advance(self, objective, point, state, h):
        spectrum, products = _spectrum(objective, point.x, _own if self.scaled else _mean)
        after, effort, damping, growth = trust_region(
            objective, point, spectrum, h.learning_rate, state.adapted_damping, state.growth
        )
        state = state(adapted_damping=damping, growth=growth)
        effort = effort._replace(whole=lambda: _whole(objective, point))
        return after, state, effort._replace(products=products)


def _spectrum(objective: Objective, x, damped=ops.ones_like) -> tuple[Spectrum, int]:
    """The Gauss–Newton matrix by its eigenvalues, and the number of products it took.

    It is taken apart on its smaller side, the weights or the outputs, and for residuals as the
    Jacobian that it is the square of. `damped` makes of its diagonal that of D.
    """
    weights, outputs = x.shape[0], objective.count_outputs(x)
    if outputs is not None and (outputs < weights or objective.loss is half_of_squares):
        factor = objective.gauss_newton_factor(x)
        scale = ops.sqrt(damped(ops.sum(ops.square(factor), axis=0)))
        return Spectrum.of_factor(factor, scale), min(outputs, weights)
    matrix = objective.gauss_newton(x)
    return Spectrum.of(matrix, ops.sqrt(damped(ops.diagonal(matrix)))), weights


def _whole(objective: Objective, point: Point):
    """The Gauss–Newton step of residuals, the same in all units of the weights."""
    spectrum = Spectrum.of_factor(objective.gauss_newton_factor(point.x))
    return -spectrum.solve(point.gradient)


def _own(diagonal):
    """The diagonal, with a floor for weights that the outputs hardly depend on."""
    floor = 0.01 * ops.max(diagonal)
    return ops.where(floor > 0, ops.maximum(diagonal, floor), 1.0)


def _mean(diagonal):
    mean = ops.mean(diagonal)
    return ops.where(mean > 0, mean, 1.0) * ops.ones_like(diagonal)
