"""Derivatives of a network with respect to its inputs, for losses that hold equations."""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from keras_optim_lab import backend


def derivative(function: Callable[[Any], Any], x: Any, coordinate: int = 0, order: int = 1) -> Any:
    """∂ⁿu/∂xⱼⁿ of a function u that treats every row of x alone, as a network does.

        u_xx = kol.derivative(self, x, coordinate=0, order=2)    # in a model's compute_loss

    Args:
        function: from x of shape (samples, coordinates) to (samples, …).
        x: where to differentiate.
        coordinate: j, the column of x.
        order: n ≥ 0.

    Returns:
        A tensor of the shape of `function(x)`; it can be differentiated further by weights.
    """
    x = ops.convert_to_tensor(x)
    along = np.zeros((1, x.shape[-1]))
    along[0, coordinate] = 1.0
    tangent = ops.zeros_like(x) + ops.cast(along, x.dtype)
    for _ in range(order):
        function = _along(function, tangent)
    return function(x)


def _along(function, tangent):
    return lambda x: backend.derivatives().along(function, x, tangent)
