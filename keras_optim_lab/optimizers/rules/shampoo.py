from keras import ops

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.kronecker import (
    Axes,
    every,
    has_axes,
    inverse_root,
    matrices_of,
    multiplied,
)
from keras_optim_lab.optimizers.rules.norms import norm
from keras_optim_lab.optimizers.rules.ranges import ALGOPERF_RATE, SHAMPOO_BETA_1
from keras_optim_lab.optimizers.shell.fields import (
    Hyperparameter,
    choice,
    count,
    decay,
    nonnegative,
    rate,
    switch,
)
from keras_optim_lab.optimizers.shell.optimizer import Optimizer
from keras_optim_lab.optimizers.shell.slots import Slot


def _velocity(optimizer, place):
    return place.shape if optimizer.grafting == "adam" or not has_axes(place) else None


@register("shampoo", year=2018)
class Shampoo(Optimizer):
    """Momentum multiplied from both sides by inverse roots of what gradients have been like.

        m ← β₁ m + (1 − β₁) g
        L ← β₂ L + (1 − β₂) g gᵀ,    R ← β₂ R + (1 − β₂) gᵀ g
        P = (L̂ + ε λ I)^(−1/4),      Q = (R̂ + ε λ I)^(−1/4)       every k steps
        w ← w − η ‖a‖ D / ‖D‖,       D = P m̂ Q,   a = Adam's step m̂ / (√v̂ + ε′)

    Directions in which a whole layer's gradients are large are damped, others raised: Adagrad with
    a matrix for each axis. λ is the largest eigenvalue of L̂ or R̂. A kernel of d axes has d
    matrices and exponents −1/(2d), after neighbouring axes are merged where they are not longer
    than its longest one. Axes longer than `block_size` are cut into equal blocks, each with
    matrices of its own.

    The length of a step is grafted from Adam, so that Adam's η fits; Adam takes the steps alone in
    vectors, and elsewhere until the first roots are there. With `grafting="none"` and `sums`, L
    and R are sums, to which ε itself is added: the method of 2018.

    When to use it:
        For large networks and long training, where the fewest steps count: it won AlgoPerf's
        tuned track. It takes three times Adam's memory; short training sees little of it.

    Reference:
        Gupta, Koren & Singer, 2018, arXiv:1802.09568, Algorithms 1 and 2; blocks, grafting and
        roots every k steps: Anil et al., 2020, arXiv:2002.09018, whose code has the relative ε;
        averages and momentum as in Shi et al., 2023, arXiv:2309.06497, Algorithm 2, whose code
        has the other defaults.

    Relation to others:
        Keras has no Shampoo. pytorch_optimizer's `Shampoo` is the method of 2018; its
        `ScalableShampoo` applies momentum after P and Q, so that the two agree with β₁ = 0.
        On TensorFlow's CPU leave `jit_compile` off: XLA takes forty times as long for roots of
        layers of 256 units.
    """

    learning_rate: Hyperparameter = rate(default=1e-3, search=ALGOPERF_RATE)
    beta_1: Hyperparameter = decay(default=0.9, search=SHAMPOO_BETA_1, doc="Decay rate of m.")
    beta_2: Hyperparameter = decay(default=0.999, doc="Decay rate of L, R and v.")
    epsilon: Hyperparameter = nonnegative(default=1e-6, doc="ε ≥ 0, added to eigenvalues.")
    graft_epsilon: Hyperparameter = nonnegative(default=1e-8, doc="Adam's ε′ ≥ 0.")
    precondition_every: int = count(default=100, doc="k, steps from one P and Q to the next.")
    block_size: int = count(default=1024, doc="Longest axis of a matrix's block.")
    grafting: str = choice(
        default="adam",
        options=("adam", "momentum", "none"),
        doc="Whose step gives a step its length: Adam's, m̂, or its own.",
    )
    sums: bool = switch(default=False, doc="Sum gradients' products up instead of averaging them.")

    slots = (
        Slot("momentum"),
        Slot("velocity", shape=_velocity),
        Slot("statistics", shape=matrices_of, low_precision=False),
        Slot("roots", shape=matrices_of, low_precision=False),
    )
    elementwise = False
    branches = True

    def axes(self, shape) -> Axes:
        return Axes.in_blocks(shape, self.block_size)

    def rule(self, g, w, slot, h):
        slot = slot(momentum=h.beta_1.average(slot.momentum, g))
        step = momentum = h.beta_1.debias(slot.momentum)
        if "velocity" in slot:
            slot = slot(velocity=h.beta_2.average(slot.velocity, ops.square(g)))
            step = momentum / (ops.sqrt(h.beta_2.debias(slot.velocity)) + h.graft_epsilon)
        if "roots" in slot:
            axes = self.axes(g.shape[1:])
            slot = self._learned(axes, g, slot, h)
            own = multiplied(axes.blocks(momentum), axes.matrices(slot.roots))
            own = axes.joined(own, g.shape)
            if self.grafting != "none":
                length = norm(own)
                own = own * (norm(step) / ops.where(length > 0.0, length, 1.0))
            step = ops.where(h.t < self.precondition_every, step, own)
        return h.learning_rate * step, slot

    def _learned(self, axes, g, slot, h):
        if self.sums:
            total = slot.statistics + axes.packed(axes.squares(axes.blocks(g)), slot.statistics)
        else:
            total = axes.averaged(slot.statistics, g, h.beta_2.complement)

        def renew(state):
            seen = total if self.sums else h.beta_2.debias(total)
            roots = [
                inverse_root(matrix, 2 * len(axes.lengths), h.epsilon, relative=not self.sums)
                for matrix in axes.matrices(seen)
            ]
            return [axes.packed(roots, slot.roots)]

        due = ops.equal(ops.mod(h.t, float(self.precondition_every)), 0.0)
        return slot(statistics=total, roots=every(due, renew, [slot.roots])[0])
