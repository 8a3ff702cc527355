from typing import ClassVar

from keras import ops

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.ranges import (
    ADAM_RATE,
    ALGOPERF_MOMENTUM_RATE,
    BETA_2,
    EPSILON,
    SCHEDULE_FREE_BETA,
    WEIGHT_DECAY,
)
from keras_optim_lab.optimizers.shell.averaging import AveragedOptimizer
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, decay, nonnegative, rate
from keras_optim_lab.optimizers.shell.slots import Slot

_DECAY = "Decay λ ≥ 0 of the point at which gradients are taken, part of the step."


# A copy of the weights, which rounding at random would keep apart from them.
FAST = Slot("fast", low_precision=False)


class ScheduleFree(AveragedOptimizer):
    """What the two have in common: three points, of which gradients are taken at the middle one."""

    slots: ClassVar[tuple[str | Slot, ...]] = (FAST,)
    shared = ("weight_sum", "largest_rate")
    rule_decays = True

    def prepare(self, shared, h):
        risen = ops.minimum(h.t / ops.maximum(h.warmup, 1.0), 1.0)
        eta = h.learning_rate * risen
        largest = ops.maximum(shared.largest_rate, eta)
        weight = ops.square(largest)
        total = shared.weight_sum + weight
        share = ops.where(total > 0.0, weight / ops.where(total > 0.0, total, 1.0), 0.0)
        return shared(weight_sum=total, largest_rate=largest), h(
            first=h.t < 2.0, learning_rate=eta, share=share
        )

    def direction(self, g, slot, h):
        """What is subtracted from the fast point, before η, and the new slots."""
        raise NotImplementedError

    def rule(self, g, w, slot, h):
        fast = ops.where(h.first, w, slot.fast)
        step, slot = self.direction(g, slot, h)
        if h.weight_decay is not None:
            step = step + h.weight_decay * w
        step = h.learning_rate * step
        at_once = self.beta_of(h).average(h.share, 1.0)  # how much of the step y takes
        return h.share * (w - fast) + at_once * step, slot(fast=fast - step)


@register("schedule_free_sgd", year=2024)
class ScheduleFreeSGD(ScheduleFree):
    """Gradient descent whose average needs no schedule: training may end at any step.

        y = (1 − β) z + β x                          gradients g are taken at y
        z ← z − η g
        x ← (1 − c) x + c z,    c = ηₘₐₓ² / Σ ηₘₐₓ²
        w ← w − (y before − y after)                 the model holds y in training, else x

    A falling learning rate lets the last weights be an average of the last ones; here x is that
    average all along, and the gradient is taken between it and the fast point z. During `fit` the
    validation, callbacks at the end of epochs and everything after training see x. In a loop of
    your own, call `optimizer.to_gradient_point(weights)` before training and
    `optimizer.finalize_variable_values(weights)` after it.

    When to use it:
        In place of momentum, where the length of training is not known beforehand. Tune η: it wants
        a larger one than momentum with a schedule.

    Reference:
        Defazio et al., 2024, arXiv:2405.15682, equations 3 to 5 and section 4.1.

    Relation to others:
        Keras has no ScheduleFreeSGD. It is `schedulefree.SGDScheduleFree`.
    """

    learning_rate: Hyperparameter = rate(default=1.0, search=ALGOPERF_MOMENTUM_RATE)
    momentum: Hyperparameter = decay(
        default=0.9,
        search=SCHEDULE_FREE_BETA,
        doc="β: how near to x gradients are taken.",
    )
    warmup: Hyperparameter = nonnegative(default=0.0, doc="Steps in which η rises.")
    weight_decay: Hyperparameter | None = nonnegative(default=None, kw_only=True, doc=_DECAY)

    average_field = "momentum"
    squares = False

    def direction(self, g, slot, h):
        return g, slot


@register("schedule_free_adamw", year=2024)
class ScheduleFreeAdamW(ScheduleFree):
    """AdamW without a schedule: the winner of AlgoPerf where nothing may be tuned.

        y = (1 − β₁) z + β₁ x                        gradients g are taken at y
        v ← β₂ v + (1 − β₂) g²
        z ← z − η (g / (√v̂ + ε) + λ y),    v̂ = v / (1 − β₂ᵗ)
        x ← (1 − c) x + c z,    c = ηₘₐₓ² / Σ ηₘₐₓ²
        w ← w − (y before − y after)                 the model holds y in training, else x

    As `ScheduleFreeSGD`, which says how to use it in a loop of your own. β₁ is no momentum but
    how near to the average the gradients are taken; a warm-up of some hundred steps helps.

    When to use it:
        When training may end at any time and nothing is to be tuned but η. A schedule that ends at
        zero, tuned, can still be a little better.

    Reference:
        Defazio et al., 2024, arXiv:2405.15682, Algorithm 1.

    Relation to Keras:
        `keras.optimizers.ScheduleFreeAdamW` keeps no average on TensorFlow and PyTorch, where its
        slots are one buffer, and never shows it to an evaluation. It is
        `schedulefree.AdamWScheduleFree`.
    """

    learning_rate: Hyperparameter = rate(default=2.5e-3, search=ADAM_RATE)
    beta_1: Hyperparameter = decay(
        default=0.9, search=SCHEDULE_FREE_BETA, doc="How near to the average gradients are taken."
    )
    beta_2: Hyperparameter = decay(default=0.999, search=BETA_2, doc="Decay rate of v.")
    epsilon: Hyperparameter = nonnegative(
        default=1e-8, search=EPSILON, doc="ε ≥ 0, added to the corrected root."
    )
    warmup: Hyperparameter = nonnegative(default=0.0, doc="Steps in which η rises.")
    weight_decay: Hyperparameter | None = nonnegative(
        default=None, kw_only=True, search=WEIGHT_DECAY, doc=_DECAY
    )

    slots = (FAST, "velocity")
    average_field = "beta_1"

    def direction(self, g, slot, h):
        v = h.beta_2.average(slot.velocity, ops.square(g))
        return g / (ops.sqrt(h.beta_2.debias(v)) + h.epsilon), slot(velocity=v)
