from keras import ops

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.norms import rms
from keras_optim_lab.optimizers.rules.ranges import ALGOPERF_RATE
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, decay, nonnegative, rate, switch
from keras_optim_lab.optimizers.shell.numeric import Decay
from keras_optim_lab.optimizers.shell.optimizer import Optimizer
from keras_optim_lab.optimizers.shell.slots import Slot


def _rows(optimizer, place):
    return place.shape[:-1] if len(place.shape) > 1 else place.shape


def _columns(optimizer, place):
    return (*place.shape[:-2], place.shape[-1]) if len(place.shape) > 1 else None


@register("adafactor", year=2018)
class Adafactor(Optimizer):
    """Adam that keeps means of rows and of columns of g² instead of all of it.

        R ← β R + (1 − β) meanᵣₒᵥ(g² + ε₁)        β = 1 − t^(−0.8)
        C ← β C + (1 − β) meanᴄₒₗ(g² + ε₁)
        u = g / √(R Cᵀ / mean(R))
        w ← w − max(ε₂, rms(w)) · ρ · u / max(1, rms(u) / d),    ρ = min(η, 1/√t)

    Numbers of a matrix share what its rows and columns remember, which takes n + m numbers
    instead of n · m; of more than two axes the last two are factored, and vectors, which are their
    own rows, keep all of g². The step is relative to the size of the weights. β₁ > 0 adds an
    average of the steps, and a slot of the weight's shape.

    When to use it:
        When Adam's state does not fit into memory. It needs care to be as good as Adam: try
        `relative_step=False` with a schedule of your own.

    Reference:
        Shazeer & Stern, 2018, arXiv:1804.04235, Algorithms 4 and 5.

    Relation to Keras:
        `Adafactor(η)` is `keras.optimizers.Adafactor(η)`. PyTorch's adds no ε₁ to g², where it
        is too small to be seen.
    """

    learning_rate: Hyperparameter = rate(default=1e-2, search=ALGOPERF_RATE)
    beta_1: Hyperparameter = decay(
        default=0.0, doc="Decay rate of the average of steps; 0 for none."
    )
    decay_exponent: Hyperparameter = nonnegative(default=0.8, doc="How fast 1 − β falls with t.")
    epsilon_1: Hyperparameter = nonnegative(default=1e-30, doc="ε₁ ≥ 0, added to g².")
    epsilon_2: Hyperparameter = nonnegative(
        default=1e-3, doc="ε₂ ≥ 0, the least size that a weight counts as."
    )
    clip_threshold: Hyperparameter = nonnegative(
        default=1.0, doc="d, the largest root mean square of u."
    )
    relative_step: bool = switch(default=True, doc="Take ρ = min(η, 1/√t), not η.")

    slots = (Slot("rows", shape=_rows), Slot("columns", shape=_columns), Slot("momentum", "beta_1"))
    elementwise = False

    def prepare(self, shared, h):
        rho = ops.minimum(h.learning_rate, 1.0 / ops.sqrt(h.t))
        return shared, h(
            beta=Decay.at(ops.power(h.t, -h.decay_exponent), h.t),
            rho=rho if self.relative_step else h.learning_rate,
        )

    def rule(self, g, w, slot, h):
        square = ops.square(g) + h.epsilon_1
        if len(g.shape) > 2:
            rows = h.beta.average(slot.rows, ops.mean(square, -1))
            columns = h.beta.average(slot.columns, ops.mean(square, -2))
            share = rows / ops.mean(rows, -1, keepdims=True)
            v = share[..., None] * columns[..., None, :]
            slot = slot(rows=rows, columns=columns)
        else:
            v = h.beta.average(slot.rows, square)
            slot = slot(rows=v)
        nothing = ops.equal(v, 0.0)
        u = ops.where(nothing, 0.0, g / ops.sqrt(ops.where(nothing, 1.0, v)))
        size = ops.maximum(h.epsilon_2, rms(w))
        step = h.rho * size * u / ops.maximum(1.0, rms(u) / h.clip_threshold)
        if "momentum" in slot:
            step = h.beta_1.average(slot.momentum, step)
            slot = slot(momentum=step)
        return step, slot
