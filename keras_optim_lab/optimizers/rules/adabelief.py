from keras import ops

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.ranges import ADAM_BETA_1, ADAM_RATE, BETA_2
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, decay, nonnegative, rate
from keras_optim_lab.optimizers.shell.optimizer import Optimizer


@register("adabelief", year=2020)
class AdaBelief(Optimizer):
    """Adam that takes long steps where the gradient is what its average had led to expect.

        m ← β₁ m + (1 − β₁) g
        s ← β₂ s + (1 − β₂) (g − m)² + ε
        w ← w − η m̂ / (√ŝ + ε),    m̂ = m / (1 − β₁ᵗ),    ŝ = s / (1 − β₂ᵗ)

    Adam divides by the size of the gradient, this method by its surprise: a large gradient that
    stays the same gets a long step, one that keeps changing a short one.

    When to use it:
        Where Adam is unstable, as in adversarial training. ε matters more than in Adam: tune it.

    Reference:
        Zhuang et al., 2020, arXiv:2010.07468, Algorithm 2; ε as in its authors' code, where it
        is as small as 1e-16 because it is added to s in every step.

    Relation to others:
        Keras has no AdaBelief. optax and pytorch_optimizer are the same.
    """

    learning_rate: Hyperparameter = rate(default=1e-3, search=ADAM_RATE)
    beta_1: Hyperparameter = decay(default=0.9, search=ADAM_BETA_1, doc="Decay rate of m.")
    beta_2: Hyperparameter = decay(default=0.999, search=BETA_2, doc="Decay rate of s.")
    epsilon: Hyperparameter = nonnegative(
        default=1e-16, doc="ε ≥ 0, added to s and to the corrected root."
    )

    slots = ("momentum", "surprise")

    def rule(self, g, w, slot, h):
        m = h.beta_1.average(slot.momentum, g)
        s = h.beta_2.average(slot.surprise, ops.square(g - m)) + h.epsilon
        step = h.beta_1.debias(m) / (ops.sqrt(h.beta_2.debias(s)) + h.epsilon)
        return h.learning_rate * step, slot(momentum=m, surprise=s)
