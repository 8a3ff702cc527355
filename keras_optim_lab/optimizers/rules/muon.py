import math
import re

from keras import ops

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.matrices import as_matrices, matrix_shape, orthogonalized
from keras_optim_lab.optimizers.rules.ranges import MUON_MOMENTUM, MUON_RATE
from keras_optim_lab.optimizers.shell.fields import (
    Hyperparameter,
    count,
    decay,
    nonnegative,
    pattern,
    rate,
    switch,
)
from keras_optim_lab.optimizers.shell.optimizer import Optimizer
from keras_optim_lab.optimizers.shell.slots import Slot


def _velocity(optimizer, place):
    return place.shape if optimizer.leaves_to_adam(place) else None


@register("muon", year=2024)
class Muon(Optimizer):
    """Momentum whose step is made orthogonal: the same length in all directions of a matrix.

        m ← μ m + (1 − μ) g
        O = orthogonal(μ m + (1 − μ) g)                      of m itself without Nesterov
        w ← w − η √max(1, outputs / inputs) O                √ is 0.2 √max(inputs, outputs)
                                                             with `match_rms`

    The singular values of the momentum, of which a few are large, are all brought near 1 by five
    steps of a Newton–Schulz iteration, so that rare directions are learned as well as frequent
    ones. A kernel of more than two axes counts as a matrix of inputs by outputs.

    Weights that are no maps from inputs to outputs are left to AdamW, with the rate r η: those of
    rank < 2 (biases, norms) and those whose path contains a match of `adam_for`: embeddings and
    heads, whose rows belong to single symbols. Name the last layer "head", or give its name.

    When to use it:
        For transformers and other networks of large matrices, where it is among the fastest per
        step. Name embeddings and heads, so that they are left to AdamW.

    Reference:
        Jordan et al., 2024, https://kellerjordan.github.io/posts/muon; `match_rms`: Liu et al.,
        2025, arXiv:2502.16982, section 2.2.

    Relation to Keras:
        On matrices, `Muon(η, match_rms=True)` is `keras.optimizers.Muon(η)`, which leaves kernels
        of other ranks to Adam, and whose Adam adds ε before its bias correction. PyTorch's iterates
        in bfloat16, as this one does with `low_precision`; optax corrects the bias of μ m and of g
        apart, so that only without Nesterov the two are the same.
    """

    learning_rate: Hyperparameter = rate(default=2e-2, search=MUON_RATE)
    momentum: Hyperparameter = decay(default=0.95, search=MUON_MOMENTUM, doc="Decay rate μ of m.")
    nesterov: bool = switch(default=True, doc="Take the gradient's share of the step ahead.")
    match_rms: bool = switch(default=False, doc="Steps as large as AdamW's, for the η of AdamW.")
    steps: int = count(default=5, doc="Steps of the Newton–Schulz iteration.")
    low_precision: bool = switch(
        default=False,
        doc="Iterate in bfloat16: the step, whose length is right to 1 %, is several times as fast "
        "where the processor multiplies such matrices.",
    )
    adam_for: str = pattern(
        default="embedding|head|logits|classifier", doc="Paths of weights left to AdamW."
    )
    adam_ratio: Hyperparameter = nonnegative(default=0.1, doc="r, η of AdamW as a share of η.")
    beta_1: Hyperparameter = decay(default=0.9, doc="AdamW's decay rate of the gradient.")
    beta_2: Hyperparameter = decay(default=0.999, doc="AdamW's decay rate of its square.")
    epsilon: Hyperparameter = nonnegative(default=1e-8, doc="AdamW's ε ≥ 0.")

    slots = ("momentum", Slot("velocity", shape=_velocity))
    elementwise = False
    by_path = True

    def leaves_to_adam(self, place) -> bool:
        return len(place.shape) < 2 or re.search(self.adam_for, place.path) is not None

    def rule(self, g, w, slot, h):
        if "velocity" in slot:
            return self._adam(g, slot, h)
        m = h.momentum.average(slot.momentum, g)
        ahead = h.momentum.average(m, g) if self.nesterov else m
        dtype = "bfloat16" if self.low_precision else None
        direction = ops.reshape(orthogonalized(as_matrices(ahead), self.steps, dtype), g.shape)
        inputs, outputs = matrix_shape(g.shape[1:])
        scale = math.sqrt(max(1.0, outputs / max(inputs, 1)))
        if self.match_rms:
            scale = 0.2 * math.sqrt(max(inputs, outputs))
        return h.learning_rate * scale * direction, slot(momentum=m)

    def _adam(self, g, slot, h):
        m = h.beta_1.average(slot.momentum, g)
        v = h.beta_2.average(slot.velocity, ops.square(g))
        step = h.beta_1.debias(m) / (ops.sqrt(h.beta_2.debias(v)) + h.epsilon)
        return h.learning_rate * h.adam_ratio * step, slot(momentum=m, velocity=v)
