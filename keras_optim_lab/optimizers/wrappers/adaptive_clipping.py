from keras import ops

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.ranges import CLIPPING
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, nonnegative
from keras_optim_lab.optimizers.wrappers.composed import Wrapper


@register("adaptive_clipping", year=2021)
class AdaptiveClipping(Wrapper):
    """Clips the gradient of each output's weights to a share of their own length.

        g ← g · min(1, λ max(‖w‖, ε) / ‖g‖)
        w ← w − step of `optimizer`

    Norms are over all axes but the last, which counts a kernel's outputs; a weight of fewer than
    two axes has one norm. What matters is how far a gradient would move a unit beside its size,
    which one norm for all weights cannot know. The paper leaves the last layer unclipped:
    `kol.groups({"head": optimizer}, default=kol.AdaptiveClipping(optimizer))`.

    When to use it:
        For networks without normalization, and for batches or rates so large that training breaks.
        The larger the batch, the smaller λ.

    Reference:
        Brock, De, Smith & Simonyan, 2021, arXiv:2102.06171, equation 3.

    Relation to others:
        `optax.chain(optax.adaptive_grad_clip(λ, ε), optimizer)`, which takes kernels of three axes
        to have two axes of outputs.
    """

    clipping: Hyperparameter = nonnegative(
        default=0.01, search=CLIPPING, doc="λ, share of the weights' norm."
    )
    epsilon: Hyperparameter = nonnegative(default=1e-3, doc="ε ≥ 0, least norm of the weights.")

    elementwise = False
    squares = True

    def gradient(self, g, w, h):
        own = h.within(self.own)
        most = own.clipping * ops.maximum(_norm(w), own.epsilon)
        norm = _norm(g)
        return ops.where(norm > most, g * (most / ops.maximum(norm, 1e-6)), g)


def _norm(x):
    """Of the weights of each output."""
    axes = tuple(range(1, max(x.ndim - 1, 2))) if x.ndim > 1 else ()
    squares = ops.square(x)
    return ops.sqrt(ops.sum(squares, axis=axes, keepdims=True) if axes else squares)
