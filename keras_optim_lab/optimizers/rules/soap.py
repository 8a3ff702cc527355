from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.kronecker import (
    Axes,
    eigenbasis,
    every,
    matrices_of,
    multiplied,
    orthonormal,
    transposed,
)
from keras_optim_lab.optimizers.rules.ranges import (
    SOAP_BETA_1,
    SOAP_BETA_2,
    SOAP_RATE,
    WEIGHT_DECAY,
)
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, count, decay, nonnegative, rate
from keras_optim_lab.optimizers.shell.numeric import Decay
from keras_optim_lab.optimizers.shell.optimizer import Optimizer
from keras_optim_lab.optimizers.shell.slots import Slot


@register("soap", year=2024)
class SOAP(Optimizer):
    """Adam in the eigenbasis of Shampoo's matrices, where it treats directions, not weights.

        g′ = Pᵀ g Q
        m ← β₁ m + (1 − β₁) g
        v ← β₂ v + (1 − β₂) g′²
        w ← w − η (P (Pᵀ m̂ Q / (√v̂ + ε)) Qᵀ + λ w)
        L ← β₂ L + (1 − β₂) g gᵀ,    R ← β₂ R + (1 − β₂) gᵀ g
        P, Q ← eigenvectors of L and R                               every k steps

    The first step moves nothing but by weight decay: it takes the first eigenvectors from its
    gradient. Later ones come from one step of power iteration, the Q of a QR decomposition of L P,
    in the order of the eigenvalues; v is put into the same order. t in m̂ and v̂ counts from the
    second step on.

    A kernel of d axes has d bases, after neighbouring axes are merged where they are not longer
    than its longest one. Axes longer than `max_dimension` have none and stay as they are, as do
    vectors, which are left to Adam. An embedding of as many symbols costs the most: give a lower
    `max_dimension`.

    Vectors of equal eigenvalues, as those of directions that no gradient has had yet, are not
    determined: there backends, or a row of a population and `fit`, take other steps, as good.

    When to use it:
        Where steps are dear and memory is not: it takes fewer of them than Adam, most so with large
        batches. Layers of thousands of units make its bases slow.

    Reference:
        Vyas et al., 2024, arXiv:2409.11321, Algorithm 3; defaults and first step as in the
        authors' code.

    Relation to others:
        Keras has no SOAP. The authors' code, and pytorch_optimizer's after it, adds ε before the
        bias correction and has no weight decay in the first step; elsewhere they are the same.
        On TensorFlow's CPU leave `jit_compile` off: XLA takes forty times as long for
        eigenvectors of layers of 256 units.
    """

    learning_rate: Hyperparameter = rate(default=3e-3, search=SOAP_RATE)
    beta_1: Hyperparameter = decay(default=0.95, search=SOAP_BETA_1, doc="Decay rate of m.")
    beta_2: Hyperparameter = decay(default=0.95, search=SOAP_BETA_2, doc="Decay rate of v, L, R.")
    epsilon: Hyperparameter = nonnegative(default=1e-8, doc="ε ≥ 0, added to the corrected root.")
    precondition_every: int = count(default=10, doc="k, steps from one basis to the next.")
    max_dimension: int = count(default=10_000, doc="Longest axis that has a basis.")
    weight_decay: Hyperparameter = nonnegative(
        default=0.01, kw_only=True, search=WEIGHT_DECAY, doc="Decay λ ≥ 0 of the weights."
    )

    slots = (
        Slot("momentum"),
        Slot("velocity"),
        Slot("statistics", shape=matrices_of, low_precision=False),
        Slot("bases", shape=matrices_of, low_precision=False),
    )
    elementwise = False
    branches = True

    def axes(self, shape) -> Axes:
        return Axes.whole(shape, self.max_dimension)

    def prepare(self, shared, h):
        moves = ops.cast(h.t > 1.0, h.t.dtype)  # 0 in the first step
        t = ops.maximum(h.t - 1.0, 1.0)
        now, root = Decay.at(h.beta_1.complement, t), Decay.at(h.beta_2.complement, t)
        root = ops.sqrt(root.correction)
        # η m̂ / (√v̂ + ε) as `rate` m / (√v + `floor`): a matrix is gone through less often.
        return shared, h(
            moves=moves,
            rate=moves * h.learning_rate * root / now.correction,
            floor=h.epsilon * root + (1.0 - moves),
        )

    def rule(self, g, w, slot, h):
        axes = self.axes(g.shape[1:]) if "bases" in slot else None
        bases = axes.matrices(slot.bases) if axes else []

        def rotated(x, bases):
            return axes.joined(multiplied(axes.blocks(x), bases), x.shape) if axes else x

        square = ops.square(rotated(g, bases))
        lerp = backend.updates().lerp
        m = lerp(slot.momentum, g, h.moves * h.beta_1.complement)
        v = lerp(slot.velocity, square, h.moves * h.beta_2.complement)
        step = rotated(rotated(m, bases) / (ops.sqrt(v) + h.floor), transposed(bases))
        slot = slot(momentum=m, velocity=v)
        return h.rate * step, self._learned(axes, g, slot, h) if axes else slot

    def _learned(self, axes, g, slot, h):
        statistics = axes.averaged(slot.statistics, g, h.beta_2.complement)
        matrices = axes.matrices(statistics)

        def first(state):
            bases = [None if m is None else eigenbasis(m) for m in matrices]
            return [axes.packed(bases, slot.bases), slot.velocity]

        def later(state):
            bases, velocity = [], axes.blocks(slot.velocity)
            for axis, (matrix, basis) in enumerate(
                zip(matrices, axes.matrices(slot.bases), strict=True), start=1
            ):
                if matrix is not None:
                    basis, order = _iterated(matrix, basis)
                    velocity = _in_order(velocity, order, axis)
                bases.append(basis)
            return [axes.packed(bases, slot.bases), axes.joined(velocity, g.shape)]

        old = [slot.bases, slot.velocity]
        begins = ops.equal(h.t, 1.0)
        due = ops.equal(ops.mod(h.t - 1.0, float(self.precondition_every)), 0.0)
        due = ops.logical_and(due, ops.logical_not(begins))
        bases, velocity = every(due, later, every(begins, first, old))
        return slot(statistics=statistics, bases=bases, velocity=velocity)


def _iterated(matrix, basis):
    """One step of power iteration, and the order of the old basis by its eigenvalues."""
    product = ops.matmul(matrix, basis)
    order = ops.argsort(-ops.sum(basis * product, axis=1), axis=-1)
    return orthonormal(_in_order(product, order, 2)), order


def _in_order(x, order, axis: int):
    """Stacked tensors with one of their axes in another order for each."""
    n, size = order.shape
    swapped = list(range(len(x.shape)))
    swapped[1], swapped[axis] = axis, 1
    x = ops.transpose(x, swapped)
    places = order + ops.cast(ops.arange(n)[:, None] * size, order.dtype)
    rows = ops.take(ops.reshape(x, (n * size, -1)), ops.reshape(places, (-1,)), axis=0)
    return ops.transpose(ops.reshape(rows, x.shape), swapped)
