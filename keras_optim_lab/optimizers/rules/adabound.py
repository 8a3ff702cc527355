from keras import ops

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.ranges import (
    ADAM_BETA_1,
    ADAM_RATE,
    BETA_2,
    EPSILON,
    SGD_RATE,
)
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, decay, nonnegative, rate, switch
from keras_optim_lab.optimizers.shell.optimizer import Optimizer
from keras_optim_lab.optimizers.shell.slots import Slot


@register("adabound", year=2019)
class AdaBound(Optimizer):
    """Adam that turns into gradient descent: each weight's rate is held between closing bounds.

        m ← β₁ m + (1 − β₁) g
        v ← β₂ v + (1 − β₂) g²
        w ← w − clip(ηₜ / (√v + ε), lower, upper) m,    ηₜ = η √(1 − β₂ᵗ) / (1 − β₁ᵗ)
        lower = η* (1 − 1 / (γ t + 1)),    upper = η* (1 + 1 / (γ t))

    With `amsbound` the largest v so far stands for v.

    When to use it:
        To try where Adam learns fast and momentum generalizes better. Its later steps need as much
        tuning of the final rate as momentum does.

    Reference:
        Luo, Xiong, Liu & Sun, 2019, arXiv:1902.09843, in the form of its authors' experiments:
        bias-corrected, ε added before the correction, and without the 1/√t that Algorithm 1
        needs for its proof.

    Relation to others:
        Keras has no AdaBound. The authors' code shrinks η* together with η; here it is a
        hyperparameter like any other: give both a schedule to lower both. Weight decay is
        decoupled here, an L2 penalty there.
    """

    learning_rate: Hyperparameter = rate(default=1e-3, search=ADAM_RATE)
    beta_1: Hyperparameter = decay(default=0.9, search=ADAM_BETA_1, doc="Decay rate of m.")
    beta_2: Hyperparameter = decay(default=0.999, search=BETA_2, doc="Decay rate of v.")
    final_learning_rate: Hyperparameter = rate(
        default=0.1, search=SGD_RATE, doc="η* ≥ 0, to which both bounds converge."
    )
    gamma: Hyperparameter = nonnegative(default=1e-3, doc="γ ≥ 0: how fast the bounds converge.")
    epsilon: Hyperparameter = nonnegative(
        default=1e-8, search=EPSILON, doc="ε ≥ 0, added to the root."
    )
    amsbound: bool = switch(default=False, doc="Scale by the largest v so far.")

    slots = ("momentum", "velocity", Slot("velocity_max", when="amsbound", low_precision=False))

    def prepare(self, shared, h):
        elapsed = h.gamma * h.t
        return shared, h(
            corrected_rate=h.learning_rate * ops.sqrt(h.beta_2.correction) / h.beta_1.correction,
            lower=h.final_learning_rate * elapsed / (elapsed + 1.0),
            upper=h.final_learning_rate * (1.0 + 1.0 / elapsed),
        )

    def rule(self, g, w, slot, h):
        m = h.beta_1.average(slot.momentum, g)
        v = h.beta_2.average(slot.velocity, ops.square(g))
        slot = slot(momentum=m, velocity=v)
        if self.amsbound:
            v = ops.maximum(slot.velocity_max, v)
            slot = slot(velocity_max=v)
        rate = ops.clip(h.corrected_rate / (ops.sqrt(v) + h.epsilon), h.lower, h.upper)
        h.note(rate=rate)
        return rate * m, slot
