from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.ranges import MOMENTUM_DECAY, MOMENTUM_RATE
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, decay, rate, switch
from keras_optim_lab.optimizers.shell.optimizer import Optimizer


@register("momentum", year=1964)
class Momentum(Optimizer):
    """Follows a moving average of the gradients instead of the last one.

        m ← β m + (1 − β) g
        w ← w − η m                          Nesterov: w ← w − η (β m + (1 − β) g)

    Components that change sign from step to step cancel in the average, those that persist add
    up. The heavy-ball form leaves out the factor 1 − β on the gradient, here and in Nesterov's
    look-ahead, so that a step is up to 1/(1 − β) times longer for the same η.

    When to use it:
        For convolutional networks that are trained long enough to tune η and its schedule: it often
        generalizes as well as Adam, at half the memory. Not for transformers.

    Reference:
        Polyak, 1964, doi:10.1016/0041-5553(64)90137-5; Nesterov's form as in Sutskever et al.,
        2013, "On the importance of initialization and momentum in deep learning".

    Relation to Keras:
        For a constant η, `Momentum(η, β)` is `keras.optimizers.SGD(η(1 − β), momentum=β)` and
        `Momentum(η, β, heavy_ball=True)` is `keras.optimizers.SGD(η, momentum=β)`, with or
        without `nesterov`. Keras multiplies by η before it averages, this class after: when η
        changes, the steps that Keras has stored keep the old one.
    """

    learning_rate: Hyperparameter = rate(default=0.1, search=MOMENTUM_RATE)
    beta: Hyperparameter = decay(default=0.9, search=MOMENTUM_DECAY, doc="Decay rate β in [0, 1).")
    nesterov: bool = switch(default=False, doc="Take the gradient's share of the step ahead.")
    heavy_ball: bool = switch(default=False, doc="Add gradients up undamped: m ← β m + g.")

    slots = ("momentum",)
    squares = False

    def rule(self, g, w, slot, h):
        def follow(m):
            return h.beta.decay(m) + g if self.heavy_ball else h.beta.average(m, g)

        m = follow(slot.momentum)
        return h.learning_rate * (follow(m) if self.nesterov else m), slot(momentum=m)
