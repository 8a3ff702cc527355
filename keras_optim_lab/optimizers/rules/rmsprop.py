from keras import ops

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.ranges import ADAM_RATE, BETA_2, EPSILON
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, decay, nonnegative, rate, switch
from keras_optim_lab.optimizers.shell.optimizer import Optimizer
from keras_optim_lab.optimizers.shell.slots import Slot


@register("rmsprop", year=2012)
class RMSprop(Optimizer):
    """Divides each gradient by a running root mean square of its own history.

        v ← ρ v + (1 − ρ) g²
        w ← w − η g / (√v + ε)

    With `centered`, v − a² stands for v, where a ← ρ a + (1 − ρ) g: the variance instead of the
    second moment. With `momentum` μ > 0 the scaled gradients are added up: b ← μ b + g / (√v + ε),
    w ← w − η b.

    When to use it:
        For recurrent networks and reinforcement learning, where recipes were made with it.
        Elsewhere Adam does the same and is easier to tune.

    Reference:
        Tieleman & Hinton, 2012, Lecture 6.5 of "Neural Networks for Machine Learning"; centered
        as in Graves, 2013, arXiv:1308.0850.

    Relation to Keras:
        ε stands outside the root here and inside it, √(v + ε), in `keras.optimizers.RMSprop`.
        The two agree for ε = 0 and for no other pair of values: the ε that would make them equal,
        √(v + ε) − √v, is another one for every weight and step. Like Keras, v starts at 0.
        For a constant η the momentum agrees as well.
    """

    learning_rate: Hyperparameter = rate(default=1e-3, search=ADAM_RATE)
    rho: Hyperparameter = decay(default=0.9, search=BETA_2, doc="Decay rate ρ of v, in [0, 1).")
    momentum: Hyperparameter = decay(default=0.0, doc="Decay rate μ of the sum b, in [0, 1).")
    epsilon: Hyperparameter = nonnegative(
        default=1e-8, search=EPSILON, doc="ε ≥ 0, added to the root."
    )
    centered: bool = switch(default=False, doc="Scale by the variance of the gradient.")

    slots = ("velocity", Slot("average", when="centered"), Slot("momentum", when="momentum"))

    def rule(self, g, w, slot, h):
        v = h.rho.average(slot.velocity, ops.square(g))
        slot = slot(velocity=v)
        if self.centered:
            a = h.rho.average(slot.average, g)
            slot = slot(average=a)
            v = ops.maximum(v - ops.square(a), 0.0)  # rounding can leave it just below zero
        step = g / (ops.sqrt(v) + h.epsilon)
        if "momentum" in slot:
            step = h.momentum.decay(slot.momentum) + step
            slot = slot(momentum=step)
        return h.learning_rate * step, slot
