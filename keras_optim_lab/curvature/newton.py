from keras import ops

from keras_optim_lab.curvature.directions import conjugate_gradients
from keras_optim_lab.curvature.objective import check_size
from keras_optim_lab.curvature.optimizer import CurvatureOptimizer
from keras_optim_lab.curvature.spectrum import Spectrum, smallest
from keras_optim_lab.curvature.step_rules import NOT_FINITE, STEP_RULES
from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.shell.fields import (
    Hyperparameter,
    choice,
    count,
    nonnegative,
    rate,
    switch,
)
from keras_optim_lab.optimizers.shell.slots import Slot

_STEP_RULE = "How far to go: the whole step, Armijo's halving, or a search for strong Wolfe steps."
_LEAST_COSINE = 0.1  # of the angle between a direction and that of steepest descent


@register("newton", year=1669)
class Newton(CurvatureOptimizer):
    """Goes to the minimum of the parabola that has the loss's gradient and curvature.

        w ← w − η (H + λ I)⁻¹ g                saddle-free: w ← w − η (|H| + λ I)⁻¹ g

    On a quadratic that is the minimum itself; near any minimum the number of right digits doubles
    in every step. The parabola of a saddle has its stationary point there too, so that plain
    Newton runs into saddles; with `saddle_free` the eigenvalues of H count by their absolute
    value, and a saddle repels as much as a minimum attracts. Eigenvalues that are zero to
    rounding are left out; where nothing else leads down, they count as what rounding may hide.

    The whole step is taken where the loss falls enough, else halved until it does. Plain Newton
    takes the saddle-free direction where its own does not lead down, or hardly so, as far from
    any stationary point of a network's loss; `step_rule="fixed"` is the bare formula, which
    diverges there.

    H is built whole: for up to 5,000 weights. `NewtonCG` never builds it.

    When to use it:
        For smooth functions and networks of a few thousand weights, trained on all samples at once
        to many digits. Not for mini-batches.

    Reference:
        Nocedal & Wright, 2006, "Numerical Optimization", §2.2 and §3.3. Saddle-free: Dauphin et
        al., 2014, arXiv:1406.2572, with the whole Hessian in place of a Krylov subspace.

    Relation to Keras:
        Keras has no second-order optimizer.
    """

    has_model = True

    learning_rate: Hyperparameter = rate(default=1.0, doc="Step length η ≥ 0; 1 is Newton's.")
    damping: Hyperparameter = nonnegative(default=0.0, doc="λ ≥ 0, added to the eigenvalues of H.")
    saddle_free: bool = switch(default=False, doc="Take eigenvalues by their absolute value.")
    step_rule: str = choice(default="armijo", options=tuple(STEP_RULES), doc=_STEP_RULE)

    def check_layout(self, layout):
        check_size(layout.size)

    def advance(self, objective, point, state, h):
        spectrum = self._spectrum(objective.hessian(point.x), h.damping)
        direction = -spectrum.solve(point.gradient)
        if self.step_rule != "fixed":
            least = ops.where(spectrum.rounding > 0, spectrum.rounding, 1.0)
            down = -spectrum.flipped().raised(least).solve(point.gradient)
            downwards = _leads_down(direction * spectrum.scale, point.gradient / spectrum.scale)
            direction = ops.where(downwards, direction, down)
        after, effort = STEP_RULES[self.step_rule](objective, point, direction, h.learning_rate)
        status = ops.where(spectrum.finite, effort.status, NOT_FINITE)
        effort = effort._replace(whole=lambda: undamped(spectrum, point.gradient, h.damping))
        return after, state, effort._replace(products=point.x.shape[0], status=status)

    def _spectrum(self, hessian, damping) -> Spectrum:
        """Of H + λ I or |H| + λ I."""
        if self.saddle_free:
            spectrum = Spectrum.of(hessian).flipped()
            return spectrum._replace(values=spectrum.values + damping)
        return Spectrum.in_own_units(hessian + damping * ops.diag(ops.ones_like(hessian[0])))


def _leads_down(direction, gradient):
    """Whether the angle to steepest descent is well below 90 degrees."""
    slope = ops.sum(direction * gradient)
    return slope < -_LEAST_COSINE * ops.norm(direction) * ops.norm(gradient)


def undamped(spectrum: Spectrum, gradient, damping=0.0):
    """The step as if no curvature were negative, none less than rounding shows, and λ were 0."""
    least = ops.maximum(spectrum.rounding, smallest(gradient))
    spectrum = spectrum.flipped().raised(least)
    step = -spectrum.solve(gradient)
    damped = spectrum.quadratic_form(step)
    own = ops.absolute(damped - damping * ops.sum(ops.square(step)))
    return step * ops.where(own > 0, damped / ops.where(own > 0, own, 1.0), 1.0)


@register("newton_cg", year=1983)
class NewtonCG(CurvatureOptimizer):
    """Newton's step by conjugate gradients, which ask for products with the Hessian only.

        w ← w + α p,    p ≈ −(H + λ I)⁻¹ g

    A product H v costs about as much as two gradients, and no matrix is ever built. The equation
    is solved only as well as pays: roughly far from the minimum, well near it. A direction of
    negative curvature ends the solve, so that every step leads down and no saddle attracts.

    When to use it:
        For the same problems as `Newton` with too many weights for a Hessian: full batches, many
        digits.

    Reference:
        Dembo & Steihaug, 1983, doi:10.1007/BF02592055; Nocedal & Wright, 2006, Algorithm 7.1.

    Relation to SciPy:
        `scipy.optimize.minimize(method="Newton-CG")` solves and searches in the same way, with
        norms that are sums where these are roots of sums of squares.
    """

    learning_rate: Hyperparameter = rate(default=1.0, doc="First step length η to try.")
    damping: Hyperparameter = nonnegative(default=0.0, doc="λ ≥ 0, added to the curvature.")
    step_rule: str = choice(default="strong_wolfe", options=tuple(STEP_RULES), doc=_STEP_RULE)
    most_products: int = count(default=200, doc="Products with the Hessian in one step, at most.")

    shared = (Slot("last_value", initial=float("nan")),)

    def advance(self, objective, point, state, h):
        products = objective.hessian_products(point.x)
        direction, used, finite = conjugate_gradients(
            lambda v: products(v) + h.damping * v, point.gradient, self.most_products
        )
        # As much decrease as in the last step, to first order: Nocedal & Wright, (3.60).
        slope = ops.sum(point.gradient * direction)
        likely = 2.02 * (point.value - state.last_value) / slope
        length = h.learning_rate
        if self.step_rule != "fixed":
            length = length * ops.where(likely > 0, ops.minimum(likely, 1.0), 1.0)
        after, effort = STEP_RULES[self.step_rule](objective, point, direction, length)
        status = ops.where(finite, effort.status, NOT_FINITE)
        return after, state(last_value=point.value), effort._replace(products=used, status=status)
