from keras import ops

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.ranges import ADAGRAD_RATE, EPSILON
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, constant, nonnegative, rate
from keras_optim_lab.optimizers.shell.optimizer import Optimizer
from keras_optim_lab.optimizers.shell.slots import Slot


@register("adagrad", year=2011)
class Adagrad(Optimizer):
    """Gives each weight a learning rate that falls with the gradients it has seen.

        s ← s + g²
        w ← w − η g / (√s + ε)

    Weights that are rarely active keep a large step, which suits sparse features; since s only
    grows, training comes to a stand in the end.

    When to use it:
        For sparse features and embeddings in short or convex training. Its rate only falls, so that
        long training stalls.

    Reference:
        Duchi, Hazan & Singer, 2011, JMLR 12, "Adaptive Subgradient Methods", diagonal form.

    Relation to Keras:
        s starts at 0 as in the paper and at 0.1 in `keras.optimizers.Adagrad`, which computes
        g / √(s + ε). With `initial_accumulator_value=0.1` and ε = 0 in both they are the same;
        with ε > 0 no constant makes them agree.
    """

    learning_rate: Hyperparameter = rate(default=0.01, search=ADAGRAD_RATE)
    initial_accumulator_value: float = constant(default=0.0, doc="First value of s, ≥ 0.")
    epsilon: Hyperparameter = nonnegative(
        default=1e-8, search=EPSILON, doc="ε ≥ 0, added to the root."
    )

    slots = (Slot("accumulator", initial="initial_accumulator_value"),)

    def rule(self, g, w, slot, h):
        s = slot.accumulator + ops.square(g)
        return h.learning_rate * g / (ops.sqrt(s) + h.epsilon), slot(accumulator=s)
