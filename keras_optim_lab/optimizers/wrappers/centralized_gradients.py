from keras import ops

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.wrappers.composed import Wrapper


@register("centralized_gradients", year=2020)
class CentralizedGradients(Wrapper):
    """Takes the mean out of what the gradient of each output's weights is.

        g ← g − mean g                   over all axes but the last, which counts a kernel's outputs
        w ← w − step of `optimizer`

    The sum of the weights that lead to one output then stays as it began, up to weight decay, which
    keeps them small and the loss smooth. Weights of fewer than two axes are left as they are.

    When to use it:
        For convolutional networks, around momentum or Adam: cheap to try, for a small gain. Keep
        embeddings out of it: it would move the rows of words that a batch has not seen.

    Reference:
        Yong, Huang, Hua & Zhang, 2020, arXiv:2004.01461, equation 1. Keras's kernels have their
        outputs last, PyTorch's first.

    Relation to others:
        `optax.centralize` keeps the first axis apart, where PyTorch's kernels have their outputs.
    """

    elementwise = False

    def gradient(self, g, w, h):
        if g.ndim < 3:
            return g
        return g - ops.mean(g, axis=tuple(range(1, g.ndim - 1)), keepdims=True)
