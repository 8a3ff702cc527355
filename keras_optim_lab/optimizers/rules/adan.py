from keras import ops

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.ranges import ADAM_BETA_1, ADAM_RATE, BETA_2, EPSILON
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, decay, nonnegative, rate
from keras_optim_lab.optimizers.shell.optimizer import Optimizer


@register("adan", year=2022)
class Adan(Optimizer):
    """Adam with Nesterov's look ahead, taken from how the gradient changes.

        d ← g − g₋₁                              (0 in the first step)
        m ← β₁ m + (1 − β₁) g
        v ← β₂ v + (1 − β₂) d
        n ← β₃ n + (1 − β₃) (g + β₂ d)²
        w ← w − η (m̂ + β₂ v̂) / (√n̂ + ε),     m̂, v̂, n̂ corrected by 1 − βᵗ as in Adam

    The change d stands for the gradient at the point ahead, so that no second gradient is needed.
    It keeps four slots: the former gradient is one of them.

    When to use it:
        For vision models and large batches, where twice Adam's memory is no matter. On small tasks
        it seldom pays.

    Reference:
        Xie et al., 2022, arXiv:2208.06677, Algorithm 1, whose β are the complements of these,
        with the bias correction of its authors' code. Weight decay is subtracted beside the step,
        which is that code's `no_prox=True`; the paper divides by 1 + η λ instead.

    Relation to others:
        Keras has no Adan. optax weighs the change by 1 − β₂ where the paper weighs it by β₂
        (1 − β₂ in the paper's letters): they are the same for β₂ = 0.5.
    """

    learning_rate: Hyperparameter = rate(default=1e-3, search=ADAM_RATE)
    beta_1: Hyperparameter = decay(default=0.98, search=ADAM_BETA_1, doc="Decay rate of m.")
    beta_2: Hyperparameter = decay(default=0.92, search=ADAM_BETA_1, doc="Decay rate of v.")
    beta_3: Hyperparameter = decay(default=0.99, search=BETA_2, doc="Decay rate of n.")
    epsilon: Hyperparameter = nonnegative(
        default=1e-8, search=EPSILON, doc="ε ≥ 0, added to the corrected root."
    )

    slots = ("momentum", "difference", "velocity", "previous")

    def rule(self, g, w, slot, h):
        change = ops.where(h.t > 1.0, g - slot.previous, 0.0)
        m = h.beta_1.average(slot.momentum, g)
        v = h.beta_2.average(slot.difference, change)
        n = h.beta_3.average(slot.velocity, ops.square(g + h.beta_2.decay(change)))
        ahead = h.beta_1.debias(m) + h.beta_2.decay(h.beta_2.debias(v))
        step = ahead / (ops.sqrt(h.beta_3.debias(n)) + h.epsilon)
        return h.learning_rate * step, slot(momentum=m, difference=v, velocity=n, previous=g)
