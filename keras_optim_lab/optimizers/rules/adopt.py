from keras import ops

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.ranges import ADAM_BETA_1, ADAM_RATE, BETA_2, EPSILON
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, decay, nonnegative, rate
from keras_optim_lab.optimizers.shell.numeric import Decay
from keras_optim_lab.optimizers.shell.optimizer import Optimizer

_TINY = 1e-37  # a gradient divided by it is clipped like one divided by 0


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
        # The first step only begins v: the rates in it let m be and v forget all.
        begins = h.t < 2.0
        return shared, h(
            beta_1=Decay.at(ops.where(begins, 0.0, h.beta_1.complement), h.t),
            beta_2=Decay.at(ops.where(begins, 1.0, h.beta_2.complement), h.t),
            epsilon=ops.maximum(h.epsilon, _TINY),
            limit=ops.power(h.t - 1.0, 0.25),
        )

    def rule(self, g, w, slot, h):
        scaled = g / ops.maximum(ops.sqrt(slot.velocity), h.epsilon)
        m = h.beta_1.average(slot.momentum, ops.clip(scaled, -h.limit, h.limit))
        v = h.beta_2.average(slot.velocity, ops.square(g))
        return h.learning_rate * m, slot(momentum=m, velocity=v)
