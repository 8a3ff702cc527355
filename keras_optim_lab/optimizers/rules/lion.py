from keras import ops

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.ranges import LION_BETA_1, LION_BETA_2, LION_RATE
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, decay, rate
from keras_optim_lab.optimizers.shell.optimizer import Optimizer


@register("lion", year=2023)
class Lion(Optimizer):
    """Takes a step of the same length in every weight, in the direction of a momentum's sign.

        c ← β₁ m + (1 − β₁) g
        w ← w − η sign(c)
        m ← β₂ m + (1 − β₂) g

    Found by a search over programs. All steps are as long as the longest of Adam's, so η is three
    to ten times smaller than Adam's, and weight decay, which η multiplies, as much larger. It
    keeps one slot where Adam keeps two, and gains most from large batches, whose signs are sure.

    When to use it:
        For large batches and long training where memory is short: half of Adam's state. Take Adam's
        η divided by three to ten and λ times as much. Not for small batches.

    Reference:
        Chen et al., 2023, arXiv:2302.06675, Algorithm 2.

    Relation to Keras:
        `Lion(η, β₁, β₂)` is `keras.optimizers.Lion(η, β₁, β₂)`.
    """

    learning_rate: Hyperparameter = rate(default=1e-4, search=LION_RATE)
    beta_1: Hyperparameter = decay(
        default=0.9, search=LION_BETA_1, doc="Share of m in the direction of the step."
    )
    beta_2: Hyperparameter = decay(default=0.99, search=LION_BETA_2, doc="Decay rate of m.")

    slots = ("momentum",)
    squares = False

    def rule(self, g, w, slot, h):
        direction = ops.sign(h.beta_1.average(slot.momentum, g))
        return h.learning_rate * direction, slot(momentum=h.beta_2.average(slot.momentum, g))
