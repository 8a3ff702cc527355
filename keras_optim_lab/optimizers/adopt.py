from keras import ops

from keras_optim_lab.optimizers.base import Hyperparameter, Optimizer
from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.fields import decay, nonnegative, rate
from keras_optim_lab.optimizers.ranges import ADAM_BETA_1, ADAM_RATE, BETA_2, EPSILON


@register("adopt", year=2024)
class ADOPT(Optimizer):
    """Adam that converges with any β₂: a gradient is scaled by those before it, then averaged.

        v ← g²                                                     in the first step, which
                                                                   leaves the weights still
        m ← β₁ m + (1 − β₁) clip(g / max(√v, ε), ±(t − 1)^¼)
        w ← w − η m
        v ← β₂ v + (1 − β₂) g²

    In Adam the gradient is part of the v that divides it. Here the two are independent, which is
    what the proof of convergence needs. The clip, wider with every step, keeps early ones short
    where the first gradient happened to be small.

    When to use it:
        Where Adam fails to converge or β₂ cannot be tuned. Elsewhere it is as good as Adam, at the
        same cost.

    Reference:
        Taniguchi et al., 2024, arXiv:2411.02853, Algorithm 2, with the clip of its section 3.3.

    Relation to others:
        Keras has no ADOPT. optax and pytorch_optimizer are the same; the latter leaves weight
        decay out of the first step too.
    """

    learning_rate: Hyperparameter = rate(default=1e-3, search=ADAM_RATE)
    beta_1: Hyperparameter = decay(default=0.9, search=ADAM_BETA_1, doc="Decay rate of m.")
    beta_2: Hyperparameter = decay(default=0.9999, search=BETA_2, doc="Decay rate of v.")
    epsilon: Hyperparameter = nonnegative(
        default=1e-6, search=EPSILON, doc="ε ≥ 0, the smallest number that divides a gradient."
    )

    slots = ("momentum", "velocity")

    def prepare(self, shared, h):
        return shared, h(begins=h.t < 2.0, limit=ops.power(h.t - 1.0, 0.25))

    def rule(self, g, w, slot, h):
        size = ops.maximum(ops.sqrt(slot.velocity), h.epsilon)
        scaled = ops.where(size > 0.0, g / ops.where(size > 0.0, size, 1.0), ops.sign(g) * h.limit)
        clipped = ops.clip(scaled, -h.limit, h.limit)
        m = ops.where(h.begins, slot.momentum, h.beta_1.average(slot.momentum, clipped))
        square = ops.square(g)
        v = ops.where(h.begins, square, h.beta_2.average(slot.velocity, square))
        return h.learning_rate * m, slot(momentum=m, velocity=v)
