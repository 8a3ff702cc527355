from keras import ops

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.ranges import (
    ADAM_BETA_1,
    ADAM_RATE,
    BETA_2,
    EPSILON,
    WEIGHT_DECAY,
)
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, decay, nonnegative, rate, switch
from keras_optim_lab.optimizers.shell.optimizer import Optimizer
from keras_optim_lab.optimizers.shell.slots import Slot


@register("adam", year=2014)
class Adam(Optimizer):
    """Momentum whose step is scaled by a running root mean square of the gradient.

        m ← β₁ m + (1 − β₁) g
        v ← β₂ v + (1 − β₂) g²
        w ← w − η m̂ / (√v̂ + ε),    m̂ = m / (1 − β₁ᵗ),    v̂ = v / (1 − β₂ᵗ)

    The averages begin at zero; dividing by 1 − βᵗ takes that bias out, so that the first step
    has length η in every weight. With `amsgrad` the largest v so far stands for v, so that a
    step is never lengthened by forgetting a large gradient.

    When to use it:
        First, when nothing is known: the defaults train most networks. Tune η, then ε and β₁; take
        `AdamW` if weights are to decay.

    Reference:
        Kingma & Ba, 2014, arXiv:1412.6980, Algorithm 1. AMSGrad: Reddi, Kale & Kumar, 2018,
        https://openreview.net/forum?id=ryQu7f-RZ, with Adam's bias correction after the maximum.

    Relation to Keras:
        `keras.optimizers.Adam` adds ε to √v before the bias correction (the paper's ε̂). For the
        same ε the two part where √v is as small as ε, most in the first steps. They are equal
        with ε = 0, with `amsgrad` too; and for any ε̂ when this class is given the schedule
        ε(t) = ε̂ / √(1 − β₂ᵗ).
    """

    learning_rate: Hyperparameter = rate(default=1e-3, search=ADAM_RATE)
    beta_1: Hyperparameter = decay(default=0.9, search=ADAM_BETA_1, doc="Decay rate of m.")
    beta_2: Hyperparameter = decay(default=0.999, search=BETA_2, doc="Decay rate of v.")
    epsilon: Hyperparameter = nonnegative(
        default=1e-8, search=EPSILON, doc="ε ≥ 0, added to the corrected root."
    )
    amsgrad: bool = switch(default=False, doc="Scale by the largest v so far.")

    slots = ("momentum", "velocity", Slot("velocity_max", when="amsgrad", low_precision=False))

    def rule(self, g, w, slot, h):
        m = h.beta_1.average(slot.momentum, g)
        v = h.beta_2.average(slot.velocity, ops.square(g))
        slot = slot(momentum=m, velocity=v)
        if self.amsgrad:
            v = ops.maximum(slot.velocity_max, v)
            slot = slot(velocity_max=v)
        step = h.beta_1.debias(m) / (ops.sqrt(h.beta_2.debias(v)) + h.epsilon)
        return h.learning_rate * step, slot


@register("adamw", year=2017)
class AdamW(Adam):
    """Adam with weight decay that is not scaled by the gradient's history.

        w ← w − η (m̂ / (√v̂ + ε) + λ w),    m̂, v̂ as in Adam

    An L2 penalty would pass through Adam's division and hardly touch weights whose gradients are
    large; subtracted beside the step, decay shrinks all weights at the same rate.

    When to use it:
        As the default for transformers and whatever is regularized by weight decay. Give η warm-up
        and decay; tune λ with it.

    Reference:
        Loshchilov & Hutter, 2017, arXiv:1711.05101, Algorithm 2, with the schedule multiplier in
        η. λ defaults to 0.01 as in PyTorch; the paper leaves it open.

    Relation to Keras:
        `AdamW(η, weight_decay=λ)` is `Adam(η, weight_decay=λ)`, here and in Keras, whose default
        is λ = 0.004; what is said of Adam's ε holds here too.
    """

    weight_decay: Hyperparameter = nonnegative(
        default=0.01, kw_only=True, search=WEIGHT_DECAY, doc="Decay λ ≥ 0 of the weights."
    )
