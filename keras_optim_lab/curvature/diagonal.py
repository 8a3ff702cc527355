import keras
from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.curvature.objective import Objective, Point
from keras_optim_lab.curvature.optimizer import CurvatureOptimizer
from keras_optim_lab.curvature.step_rules import NOT_FINITE, TAKEN, Effort
from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.ranges import (
    ADAHESSIAN_RATE,
    ADAM_BETA_1,
    BETA_2,
    EPSILON,
    SOPHIA_BETA_1,
    SOPHIA_BETA_2,
    SOPHIA_GAMMA,
    SOPHIA_RATE,
)
from keras_optim_lab.optimizers.shell.fields import (
    Hyperparameter,
    choice,
    count,
    decay,
    nonnegative,
    rate,
)
from keras_optim_lab.optimizers.shell.record import Record

_PROBES = ("signs", "normal")
_PROBES_DOC = 'Distribution of z: "signs" (−1 or 1) or "normal".'
_SEED_DOC = "Seed of the probes: with the step it determines z."


class _Diagonal(CurvatureOptimizer):
    """What methods share that estimate the Hessian's diagonal as z ⊙ H z, with a random z."""

    slots = ("momentum", "curvature")
    carries = slots

    probes: str
    seed: int

    def probe(self, x, t):
        """The random vector z of step t, like x. Override it to give probes of your own."""
        draw = getattr(backend.derivatives(), self.probes)
        dtype = keras.backend.standardize_dtype(x.dtype)
        return draw(tuple(x.shape), dtype, self.seed, ops.cast(t, "int32"))

    def diagonal(self, objective: Objective, x, t):
        """z ⊙ H z, whose mean over all z is the diagonal of H."""
        z = self.probe(x, t)
        return z * objective.hessian_vector_product(x, z)

    def moved(self, point: Point, step, before: Record, after: Record, products):
        """The point after a step, unless a slot is not finite: it would stay so for good."""
        finite = ops.all(ops.isfinite(after.momentum + after.curvature))
        status = ops.where(finite, TAKEN, NOT_FINITE)
        state = {name: ops.where(finite, slot, before[name]) for name, slot in after.items()}
        x = ops.where(finite, point.x - step, point.x)
        return Point(x), Record(state), Effort(products=products, status=status)


@register("adahessian", year=2020)
class AdaHessian(_Diagonal):
    """Adam that is scaled by the curvature of each weight instead of its gradients.

        D = |z ⊙ H z|, averaged over the places of a convolution's kernel
        m ← β₁ m + (1 − β₁) g
        v ← β₂ v + (1 − β₂) D²
        w ← w − η m̂ / (v̂ᵏᐟ² + ε),    m̂ = m / (1 − β₁ᵗ),    v̂ = v / (1 − β₂ᵗ)

    z is random with entries −1 and 1, new in every step; one product H z costs about two
    gradients. k < 1 trusts the curvature less. Weights with four or more axes count as kernels of
    convolutions, whose first axes are places.

    When to use it:
        Where a step may take twice as long as Adam's and η is hard to find: curvature scales it.
        Noisy on small batches.

    Reference:
        Yao et al., 2020, arXiv:2006.00719, Algorithm 1.

    Relation to Keras:
        Keras has no such optimizer. `pytorch_optimizer.AdaHessian` is the same without the average
        over kernels, and with normal probes unless told otherwise.
    """

    decays_weights = True

    learning_rate: Hyperparameter = rate(default=0.1, search=ADAHESSIAN_RATE)
    beta_1: Hyperparameter = decay(default=0.9, search=ADAM_BETA_1, doc="Decay rate of m.")
    beta_2: Hyperparameter = decay(default=0.999, search=BETA_2, doc="Decay rate of v.")
    epsilon: Hyperparameter = nonnegative(
        default=1e-4, search=EPSILON, doc="ε ≥ 0, added to the root."
    )
    hessian_power: Hyperparameter = nonnegative(default=1.0, doc="k ≥ 0, power of the curvature.")
    probes: str = choice(default="signs", options=_PROBES, doc=_PROBES_DOC)
    seed: int = count(default=1, doc=_SEED_DOC)

    def advance(self, objective, point, state, h):
        curvature = ops.abs(self.diagonal(objective, point.x, h.t))
        if objective.layout is not None:
            curvature = objective.layout.mapped(_over_places, curvature)
        m = h.beta_1.average(state.momentum, point.gradient)
        v = h.beta_2.average(state.curvature, ops.square(curvature))
        scale = ops.power(h.beta_2.debias(v), h.hessian_power / 2) + h.epsilon
        step = h.learning_rate * h.beta_1.debias(m) / scale
        step = step + self.decay(point, h, objective.layout)
        return self.moved(point, step, state, state(momentum=m, curvature=v), products=1)


@register("sophia_h", year=2023)
class SophiaH(_Diagonal):
    """Divides the momentum by a sparse estimate of the curvature, and clips what comes out.

        m ← β₁ m + (1 − β₁) g
        c ← β₂ c + (1 − β₂) z ⊙ H z        in every k-th step, beginning with the first
        w ← w − η clip(m / max(γ c, ε), ρ)

    Where the curvature is small, negative or unknown the step is that of the sign of m, of length
    η ρ; where it is large, steps are shorter. An estimate costs about two gradients, and with
    k = 10 a fifth more than none.

    When to use it:
        For language models of moderate size, with η and γ tuned. It diverges more easily than
        AdamW, and its lead has not held at fixed budgets.

    Reference:
        Liu et al., 2023, arXiv:2305.14342, Algorithm 3 with Hutchinson's estimator (Algorithm 1)
        and its normal probes.

    Relation to Keras:
        Keras has no such optimizer. `pytorch_optimizer.SophiaH(lr, p=p)` is
        `SophiaH(lr, gamma=1, clip=p)`. `optax.contrib.sophia` corrects m for its bias, which the
        paper does not, uses the curvature one step later, and draws signs.
    """

    decays_weights = True

    learning_rate: Hyperparameter = rate(default=6e-4, search=SOPHIA_RATE)
    beta_1: Hyperparameter = decay(default=0.96, search=SOPHIA_BETA_1, doc="Decay rate of m.")
    beta_2: Hyperparameter = decay(default=0.99, search=SOPHIA_BETA_2, doc="Decay rate of c.")
    gamma: Hyperparameter = nonnegative(
        default=0.01, search=SOPHIA_GAMMA, doc="γ ≥ 0, factor on the curvature."
    )
    epsilon: Hyperparameter = nonnegative(default=1e-12, doc="ε ≥ 0, least divisor.")
    clip: Hyperparameter = nonnegative(default=1.0, doc="ρ ≥ 0, largest quotient.")
    every: int = count(default=10, doc="k: a new estimate in every so many steps.")
    probes: str = choice(default="normal", options=_PROBES, doc=_PROBES_DOC)
    seed: int = count(default=1, doc=_SEED_DOC)

    def advance(self, objective, point, state, h):
        m = h.beta_1.average(state.momentum, point.gradient)
        due = ops.equal((ops.cast(h.t, "int32") - 1) % self.every, 0)
        curvature = ops.cond(
            due,
            lambda: h.beta_2.average(state.curvature, self.diagonal(objective, point.x, h.t)),
            lambda: state.curvature,
        )
        quotient = m / ops.maximum(h.gamma * curvature, h.epsilon)
        step = h.learning_rate * ops.clip(quotient, -h.clip, h.clip)
        step = step + self.decay(point, h, objective.layout)
        after = state(momentum=m, curvature=curvature)
        return self.moved(point, step, state, after, products=ops.where(due, 1, 0))


def _over_places(weight):
    """The mean over the first axes of a convolution's kernel."""
    axes = tuple(range(len(weight.shape) - 2)) if len(weight.shape) >= 4 else ()
    return ops.mean(weight, axis=axes, keepdims=True) if axes else weight
