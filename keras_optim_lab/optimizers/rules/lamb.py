from keras import ops

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.norms import norm, ratio
from keras_optim_lab.optimizers.rules.ranges import (
    ALGOPERF_RATE,
    BETA_2,
    EPSILON,
    LAMB_BETA_1,
    LAMB_WEIGHT_DECAY,
)
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, decay, nonnegative, rate
from keras_optim_lab.optimizers.shell.optimizer import Optimizer


@register("lamb", year=2019)
class LAMB(Optimizer):
    """Adam whose step in every weight tensor is as long as η times the tensor itself.

        m, v, m̂, v̂ as in Adam
        u = m̂ / (√v̂ + ε) + λ w
        w ← w − η (‖w‖ / ‖u‖) u                 ‖w‖ / ‖u‖ = 1 where either is 0

    The trust ratio ‖w‖ / ‖u‖ makes every layer change by the same share of itself, which keeps
    training with batches of tens of thousands stable. Weight decay is part of what is scaled.

    When to use it:
        For very large batches of transformers, thousands of samples. With usual batches `AdamW` is
        as good and simpler.

    Reference:
        You et al., 2019, arXiv:1904.00962, Algorithm 2, with φ(z) = z.

    Relation to Keras:
        `keras.optimizers.Lamb` applies weight decay outside of the trust ratio. Without decay, and
        for the same ε, they are equal.
    """

    learning_rate: Hyperparameter = rate(default=1e-3, search=ALGOPERF_RATE)
    beta_1: Hyperparameter = decay(default=0.9, search=LAMB_BETA_1, doc="Decay rate of m.")
    beta_2: Hyperparameter = decay(default=0.999, search=BETA_2, doc="Decay rate of v.")
    epsilon: Hyperparameter = nonnegative(
        default=1e-6, search=EPSILON, doc="ε ≥ 0, added to the corrected root."
    )
    weight_decay: Hyperparameter = nonnegative(
        default=0.01,
        kw_only=True,
        search=LAMB_WEIGHT_DECAY,
        doc="Decay λ ≥ 0 of the weights, part of the step that is scaled.",
    )

    slots = ("momentum", "velocity")
    elementwise = False
    rule_decays = True

    def rule(self, g, w, slot, h):
        m = h.beta_1.average(slot.momentum, g)
        v = h.beta_2.average(slot.velocity, ops.square(g))
        step = h.beta_1.debias(m) / (ops.sqrt(h.beta_2.debias(v)) + h.epsilon)
        if h.weight_decay is not None:
            step = step + h.weight_decay * w
        return h.learning_rate * ratio(norm(w), norm(step)) * step, slot(momentum=m, velocity=v)
