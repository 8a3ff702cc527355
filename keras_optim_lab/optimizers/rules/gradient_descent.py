from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.ranges import SGD_RATE
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, rate
from keras_optim_lab.optimizers.shell.optimizer import Optimizer


@register("gradient_descent", year=1847)
class GradientDescent(Optimizer):
    """Takes a step against the gradient.

        w ← w − η g

    The direction is the steepest one, so the method is slow where the loss is steep across a
    valley and flat along it; every other method here is an answer to that.

    When to use it:
        As the baseline that everything else must beat, and where a step has to be understood.
        Networks of more than a few layers train faster with momentum or Adam.

    Reference:
        Cauchy, 1847, "Méthode générale pour la résolution des systèmes d'équations simultanées".

    Relation to Keras:
        `GradientDescent(η)` is `keras.optimizers.SGD(η)`.
    """

    learning_rate: Hyperparameter = rate(default=0.01, search=SGD_RATE)

    squares = False

    def rule(self, g, w, slot, h):
        return h.learning_rate * g, slot
