from keras import ops

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.ranges import ADAM_BETA_1, BETA_2, EPSILON, PRODIGY_RATE
from keras_optim_lab.optimizers.shell.fields import (
    Hyperparameter,
    constant,
    decay,
    nonnegative,
    rate,
)
from keras_optim_lab.optimizers.shell.numeric import Decay
from keras_optim_lab.optimizers.shell.optimizer import Optimizer
from keras_optim_lab.optimizers.shell.precision import arithmetic_dtype, bounded
from keras_optim_lab.optimizers.shell.slots import Slot


@register("prodigy", year=2023)
class Prodigy(Optimizer):
    """Adam that finds its learning rate: an estimate d of how far the weights have to go.

        r ← √β₂ r + (1 − √β₂) η d² ⟨g, w₀ − w⟩         over all weights of the model
        s ← √β₂ s + (1 − √β₂) η d² g
        m ← β₁ m + (1 − β₁) d g
        v ← β₂ v + (1 − β₂) d² g²
        w ← w − η d m / (√v + d ε)
        d ← max(d, r / ‖s‖₁)

    If gradients keep pointing away from where training began, the weights were too slow, and d
    grows, by orders of magnitude in the first steps. η is a factor on d: leave it at 1, or give it
    a schedule that falls from 1. Keep `initial_distance` small; d never falls.

    When to use it:
        When there is no time to tune η: leave it at 1 and give it a decaying schedule. A tuned Adam
        is as good with half the state.

    Reference:
        Mishchenko & Defazio, 2023, arXiv:2306.06101, Algorithm 4. Weight decay is decoupled, at
        the rate η d.

    Relation to others:
        Keras has no Prodigy. The authors' package has the new d in front of ε, which is too small
        to be seen. Here r and s are kept as shares of the first d, where float32 holds them.
    """

    learning_rate: Hyperparameter = rate(
        default=1.0, search=PRODIGY_RATE, doc="Factor η ≥ 0 on the estimated distance."
    )
    beta_1: Hyperparameter = decay(default=0.9, search=ADAM_BETA_1, doc="Decay rate of m.")
    beta_2: Hyperparameter = decay(default=0.999, search=BETA_2, doc="Decay rate of v.")
    epsilon: Hyperparameter = nonnegative(default=1e-8, search=EPSILON, doc="ε ≥ 0.")
    initial_distance: float = constant(default=1e-6, doc="First value of d.")

    slots = ("momentum", "velocity", "gradients", Slot("start", low_precision=False))
    shared = (Slot("distance", initial="initial_distance"), "progress")

    def survey(self, shared, h, gradients, weights, slots):
        d, c = shared.distance, h.beta_2.complement
        h = h(
            first=h.t < 2.0,
            distance=d,
            share=d * h.learning_rate * d / self.initial_distance,
            # 1 − √β, of which the difference would leave four digits in float32
            memory=Decay.at(c / (1.0 + ops.sqrt(1.0 - c)), h.t),
            learning_rate=h.learning_rate * d,
        )
        progress, length = 0.0, 0.0
        for g, w, slot in zip(gradients, weights, slots, strict=True):
            dtype = arithmetic_dtype(w.dtype)
            g, slot, own = bounded(ops.cast(g, dtype)), slot.cast(dtype), h.cast(dtype)
            way = ops.where(h.first, 0.0, slot.start - ops.cast(w, dtype))
            progress += ops.cast(own.share * ops.sum(g * way), h.t.dtype)
            length += ops.cast(ops.sum(ops.abs(self._sum(g, slot, own))), h.t.dtype)
        progress = h.memory.average(shared.progress, progress)
        estimate = ops.where(length > 0.0, progress / ops.where(length > 0.0, length, 1.0), 0.0)
        return shared(distance=ops.maximum(d, estimate), progress=progress), h

    def _sum(self, g, slot, h):
        return h.memory.average(slot.gradients, h.share * g)

    def rule(self, g, w, slot, h):
        m = h.beta_1.average(slot.momentum, h.distance * g)
        v = h.beta_2.average(slot.velocity, ops.square(h.distance * g))
        size = ops.sqrt(v) + h.distance * h.epsilon
        step = ops.where(ops.equal(size, 0.0), 0.0, m / size)
        return h.learning_rate * step, slot(
            momentum=m,
            velocity=v,
            gradients=self._sum(g, slot, h),
            start=ops.where(h.first, w, slot.start),
        )
