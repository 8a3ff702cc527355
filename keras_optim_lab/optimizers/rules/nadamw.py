from keras import ops

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.ranges import (
    ALGOPERF_RATE,
    BETA_2,
    EPSILON,
    NADAM_BETA_1,
    WEIGHT_DECAY,
)
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, decay, nonnegative, rate
from keras_optim_lab.optimizers.shell.optimizer import Optimizer


@register("nadamw", year=2016)
class NAdamW(Optimizer):
    """Nadam without its schedule, with decoupled weight decay: the baseline of AlgoPerf.

        m ← β₁ m + (1 − β₁) g
        v ← β₂ v + (1 − β₂) g²
        m̄ = β₁ m / (1 − β₁ᵗ⁺¹) + (1 − β₁) g / (1 − β₁ᵗ)
        w ← w − η (m̄ / (√v̂ + ε) + λ w),    v̂ = v / (1 − β₂ᵗ)

    When to use it:
        As a strong first choice if there is time to tune: with warm-up, decay and tuned β₁ it is
        what new optimizers are measured by.

    Reference:
        Dozat, 2016, "Incorporating Nesterov Momentum into Adam", with a constant μ; decay as in
        Loshchilov & Hutter, 2017, arXiv:1711.05101. AlgoPerf: Dahl et al., 2023,
        arXiv:2306.07179, whose code divides both terms by 1 − β₁ᵗ: its first step is longer by
        a share of β₁² / (1 + 2 β₁), which falls below a thousandth in fifty steps.

    Relation to others:
        Keras's `Nadam` has a schedule. `NAdamW(η)` is `Nadam(η, momentum_decay=∞)`.
    """

    learning_rate: Hyperparameter = rate(default=1e-3, search=ALGOPERF_RATE)
    beta_1: Hyperparameter = decay(default=0.9, search=NADAM_BETA_1, doc="Decay rate of m.")
    beta_2: Hyperparameter = decay(default=0.999, search=BETA_2, doc="Decay rate of v.")
    epsilon: Hyperparameter = nonnegative(
        default=1e-8, search=EPSILON, doc="ε ≥ 0, added to the corrected root."
    )
    weight_decay: Hyperparameter = nonnegative(
        default=0.01, kw_only=True, search=WEIGHT_DECAY, doc="Decay λ ≥ 0 of the weights."
    )

    slots = ("momentum", "velocity")

    def prepare(self, shared, h):
        now = h.beta_1.correction
        return shared, h(present=h.beta_1.complement / now, following=h.beta_1.average(now, 1.0))

    def rule(self, g, w, slot, h):
        m = h.beta_1.average(slot.momentum, g)
        v = h.beta_2.average(slot.velocity, ops.square(g))
        ahead = h.beta_1.decay(m) / h.following + h.present * g
        step = ahead / (ops.sqrt(h.beta_2.debias(v)) + h.epsilon)
        return h.learning_rate * step, slot(momentum=m, velocity=v)
