from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.norms import norm, ratio
from keras_optim_lab.optimizers.rules.ranges import ALGOPERF_MOMENTUM_RATE, MOMENTUM_DECAY
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, decay, nonnegative, rate
from keras_optim_lab.optimizers.shell.optimizer import Optimizer


@register("lars", year=2017)
class LARS(Optimizer):
    """Momentum whose learning rate in every weight tensor is in proportion to the tensor.

        ℓ = κ ‖w‖ / (‖g‖ + λ ‖w‖)               1 where either is 0
        m ← β m + ℓ (g + λ w)
        w ← w − η m

    Layers whose gradients are large beside their weights would diverge at the η that others need;
    here all of them change by the same share κ η of themselves, which is what training with very
    large batches asks for. A tensor of zeros, such as a fresh bias, has no size to go by and takes
    its first step with η itself: leave biases to another optimizer where η is large.

    When to use it:
        For very large batches of convolutional networks. With usual batches momentum is as good and
        simpler.

    Reference:
        You, Gitman & Ginsburg, 2017, arXiv:1708.03888, Algorithm 1, which multiplies by η before
        it adds up: the same while η is constant.

    Relation to others:
        Keras has no LARS. optax divides by ‖g + λ w‖: they are the same for λ = 0.
    """

    learning_rate: Hyperparameter = rate(default=0.1, search=ALGOPERF_MOMENTUM_RATE)
    momentum: Hyperparameter = decay(
        default=0.9, search=MOMENTUM_DECAY, doc="Decay rate β of the sum of steps."
    )
    trust_coefficient: Hyperparameter = nonnegative(
        default=1e-3, doc="κ, how far a weight may move as a share of itself."
    )

    slots = ("momentum",)
    elementwise = False
    rule_decays = True

    def rule(self, g, w, slot, h):
        size, slope = norm(w), norm(g)
        if h.weight_decay is not None:
            g = g + h.weight_decay * w
            slope = slope + h.weight_decay * size
        m = h.momentum.decay(slot.momentum) + ratio(h.trust_coefficient * size, slope) * g
        return h.learning_rate * m, slot(momentum=m)
