from keras import ops

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.ranges import ADAM_BETA_1, ADAM_RATE, BETA_2, EPSILON
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, decay, nonnegative, rate
from keras_optim_lab.optimizers.shell.numeric import Decay
from keras_optim_lab.optimizers.shell.optimizer import Optimizer


@register("ademamix", year=2024)
class AdEMAMix(Optimizer):
    """Adam with a second, much slower momentum: gradients stay useful for thousands of steps.

        m₁ ← β₁ m₁ + (1 − β₁) g
        m₂ ← β₃(t) m₂ + (1 − β₃(t)) g
        v ← β₂ v + (1 − β₂) g²
        w ← w − η (m̂₁ + α(t) m₂) / (√v̂ + ε),    m̂₁, v̂ corrected by 1 − βᵗ as in Adam

    The slow average is not corrected: it fills itself. Over the first T = `warmup` steps α(t)
    rises linearly to α, and 1/−ln β₃(t) linearly from 1/−ln β₁ to 1/−ln β₃, so that the memory
    of m₂ grows by as much in every step. Without warm-up early training is often unstable.

    When to use it:
        For long training of language models, thousands of steps and more. Short training ends
        before the slow momentum has learned anything.

    Reference:
        Pagliardini, Ablin & Grangier, 2024, arXiv:2409.03137, Algorithm 1 and its two schedulers,
        with T for both.

    Relation to others:
        Keras has no AdEMAMix. optax takes schedules of its own for α and β₃; without them it is
        the same as with `warmup=0`. pytorch_optimizer is the same.
    """

    learning_rate: Hyperparameter = rate(default=1e-3, search=ADAM_RATE)
    beta_1: Hyperparameter = decay(default=0.9, search=ADAM_BETA_1, doc="Decay rate of m₁.")
    beta_2: Hyperparameter = decay(default=0.999, search=BETA_2, doc="Decay rate of v.")
    beta_3: Hyperparameter = decay(default=0.9999, doc="Decay rate of m₂ after the warm-up.")
    alpha: Hyperparameter = nonnegative(default=5.0, doc="Weight of m₂ after the warm-up.")
    warmup: Hyperparameter = nonnegative(default=0.0, doc="T, steps in which α and β₃ rise.")
    epsilon: Hyperparameter = nonnegative(
        default=1e-8, search=EPSILON, doc="ε ≥ 0, added to the corrected root."
    )

    slots = ("momentum", "slow_momentum", "velocity")

    def prepare(self, shared, h):
        risen = ops.minimum(h.t / ops.maximum(h.warmup, 1.0), 1.0)
        memory = (1.0 - risen) / h.beta_1.steepness + risen / h.beta_3.steepness
        slow = Decay.at(-ops.expm1(-1.0 / memory), h.t)
        return shared, h(slow=slow, alpha=risen * h.alpha)

    def rule(self, g, w, slot, h):
        fast = h.beta_1.average(slot.momentum, g)
        slow = h.slow.average(slot.slow_momentum, g)
        v = h.beta_2.average(slot.velocity, ops.square(g))
        mixed = h.beta_1.debias(fast) + h.alpha * slow
        step = mixed / (ops.sqrt(h.beta_2.debias(v)) + h.epsilon)
        return h.learning_rate * step, slot(momentum=fast, slow_momentum=slow, velocity=v)
