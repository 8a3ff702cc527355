from keras import ops

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.ranges import ADAM_BETA_1, ADAM_RATE, BETA_2, EPSILON
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, decay, nonnegative, rate
from keras_optim_lab.optimizers.shell.optimizer import Optimizer


@register("radam", year=2019)
class RAdam(Optimizer):
    """Adam that trusts its scaling only as far as it has seen gradients: no warm-up needed.

        m, v, m̂, v̂ as in Adam
        ρₜ = ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ),    ρ∞ = 2 / (1 − β₂) − 1
        w ← w − η r m̂ / (√v̂ + ε)   if ρₜ > 4,    w ← w − η m̂   otherwise
        r² = (ρₜ − 4)(ρₜ − 2) ρ∞ / ((ρ∞ − 4)(ρ∞ − 2) ρₜ)

    ρₜ counts how many gradients the average v amounts to. While they are few the scale is left
    out; then its share r grows to 1.

    When to use it:
        In place of Adam, if early steps are unstable and you want no warm-up. After some hundred
        steps the two are nearly the same.

    Reference:
        Liu et al., 2019, arXiv:1908.03265, Algorithm 2; ε, which it leaves out, stands as in
        Adam.

    Relation to others:
        Keras has no RAdam. PyTorch and optax scale from ρₜ > 5 on: `threshold=5.0` here. PyTorch
        adds ε before the bias correction of v, as Keras's Adam does.
    """

    learning_rate: Hyperparameter = rate(default=1e-3, search=ADAM_RATE)
    beta_1: Hyperparameter = decay(default=0.9, search=ADAM_BETA_1, doc="Decay rate of m.")
    beta_2: Hyperparameter = decay(default=0.999, search=BETA_2, doc="Decay rate of v.")
    epsilon: Hyperparameter = nonnegative(
        default=1e-8, search=EPSILON, doc="ε ≥ 0, added to the corrected root."
    )
    threshold: Hyperparameter = nonnegative(
        default=4.0, doc="The step is scaled once ρₜ exceeds this number."
    )

    slots = ("momentum", "velocity")

    def prepare(self, shared, h):
        rho, rho_max = _gradients_seen(h.beta_2, h.t)
        scaled = ops.logical_and(rho > h.threshold, rho > 4.0)
        safe = ops.where(scaled, rho, rho_max)
        r = ops.sqrt(
            (safe - 4.0) * (safe - 2.0) * rho_max / ((rho_max - 4.0) * (rho_max - 2.0) * safe)
        )
        return shared, h(scaled=scaled, rectification=r)

    def rule(self, g, w, slot, h):
        m = h.beta_1.average(slot.momentum, g)
        v = h.beta_2.average(slot.velocity, ops.square(g))
        step = h.beta_1.debias(m)
        scale = h.rectification / (ops.sqrt(h.beta_2.debias(v)) + h.epsilon)
        step = ops.where(h.scaled, step * scale, step)
        return h.learning_rate * step, slot(momentum=m, velocity=v)


def _gradients_seen(beta, t):
    """ρₜ and ρ∞.

    The paper's formula subtracts two numbers near 2/(1 − β) to get one near t, and float32 keeps
    four digits of it. With a = −ln β it equals t − (t coth(t a/2) − coth(a/2)), or
    t (1 − L(t a/2)) + L(a/2) in Langevin's function L(y) = coth y − 1/y, where nothing cancels.
    """
    half = 0.5 * beta.steepness
    rho = t * _one_minus_langevin(t * half) + 1.0 - _one_minus_langevin(half)
    return rho, 1.0 / ops.tanh(half)


def _one_minus_langevin(y):
    series = 1.0 - y / 3.0 * (1.0 - y**2 / 15.0 * (1.0 - 2.0 / 21.0 * y**2 * (1.0 - y**2 / 10.0)))
    far = ops.maximum(y, 0.5)
    return ops.where(y < 0.5, series, 1.0 / far - 2.0 / ops.expm1(2.0 * far))
