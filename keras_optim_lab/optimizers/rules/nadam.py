from keras import ops

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.ranges import ADAM_RATE, BETA_2, EPSILON, NADAM_BETA_1
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, decay, nonnegative, rate
from keras_optim_lab.optimizers.shell.optimizer import Optimizer
from keras_optim_lab.optimizers.shell.slots import Slot


@register("nadam", year=2016)
class Nadam(Optimizer):
    """Adam that looks one momentum step ahead, as Nesterov's method does.

        m ← β₁ m + (1 − β₁) g
        v ← β₂ v + (1 − β₂) g²
        m̄ = μₜ₊₁ m / (1 − μ₁⋯μₜ₊₁) + (1 − μₜ) g / (1 − μ₁⋯μₜ)
        w ← w − η m̄ / (√v̂ + ε),    μₜ = β₁ (1 − ½ · 0.96^(ψ t)),    v̂ = v / (1 − β₂ᵗ)

    When to use it:
        In place of Adam, where training is short and β₁ is high. The gain is small, and Adam's η
        fits.

    Reference:
        Dozat, 2016, "Incorporating Nesterov Momentum into Adam", with its momentum schedule and
        ψ = 0.004.

    Relation to Keras:
        `keras.optimizers.Nadam` has ψ = 1, so that its schedule is over after a hundred steps:
        `Nadam(momentum_decay=1.0)` is the built-in, with ε at the same place.
    """

    learning_rate: Hyperparameter = rate(default=2e-3, search=ADAM_RATE)
    beta_1: Hyperparameter = decay(default=0.9, search=NADAM_BETA_1, doc="Decay rate of m.")
    beta_2: Hyperparameter = decay(default=0.999, search=BETA_2, doc="Decay rate of v.")
    epsilon: Hyperparameter = nonnegative(
        default=1e-8, search=EPSILON, doc="ε ≥ 0, added to the corrected root."
    )
    momentum_decay: Hyperparameter = nonnegative(
        default=4e-3, doc="ψ ≥ 0: how fast the schedule of μ rises."
    )

    slots = ("momentum", "velocity")
    shared = (Slot("mu_product", initial=1.0),)

    def prepare(self, shared, h):
        def share_left_out(t):
            return 0.5 * ops.power(0.96, h.momentum_decay * t)

        beta, left_out = h.beta_1, share_left_out(h.t)
        product = shared.mu_product * beta.decay(1.0 - left_out)
        following = beta.decay(1.0 - share_left_out(h.t + 1.0))
        return shared(mu_product=product), h(
            ahead=following / (1.0 - product * following),
            present=(beta.complement + beta.decay(left_out)) / (1.0 - product),
        )

    def rule(self, g, w, slot, h):
        m = h.beta_1.average(slot.momentum, g)
        v = h.beta_2.average(slot.velocity, ops.square(g))
        step = (h.ahead * m + h.present * g) / (ops.sqrt(h.beta_2.debias(v)) + h.epsilon)
        return h.learning_rate * step, slot(momentum=m, velocity=v)
