"""Derivatives of a network with respect to its inputs, for losses that hold equations."""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.arguments import as_whole, whole_number


def derivative(function: Callable[[Any], Any], x: Any, coordinate: int = 0, order: int = 1) -> Any:
    """∂ⁿu/∂xⱼⁿ of a function u that treats every row of x alone, as a network does.

        u_xx = kol.derivative(model, x, coordinate=0, order=2)    # of `self`, in its compute_loss

    Args:
        function: from x of shape (samples, coordinates) to (samples, …).
        x: where to differentiate.
        coordinate: j, the column of x; negative from the last one.
        order: n ≥ 1.

    Returns:
        A tensor of the shape of `function(x)`; it can be differentiated further by weights.

    Raises:
        TypeError: order or coordinate is no integer.
        ValueError: x has no such coordinate, or there is no derivative of that order.
    """
    x = ops.convert_to_tensor(x)
    _check(x, coordinate, order)
    along = np.zeros((1, x.shape[-1]))
    along[0, coordinate] = 1.0
    tangent = ops.zeros_like(x) + ops.cast(along, x.dtype)
    for _ in range(order):
        function = _along(function, tangent)
    return function(x)


def _check(x: Any, coordinate: int, order: int) -> None:
    if as_whole(coordinate) is None:
        raise TypeError(f"coordinate: must be an integer. Received: coordinate={coordinate!r}")
    if len(x.shape) < 2:
        raise ValueError(
            f"x: must be of shape (samples, coordinates). Received: shape {tuple(x.shape)}; "
            "for one coordinate take x[:, None]."
        )
    count = x.shape[-1]
    if not -count <= coordinate < count:
        raise ValueError(
            f"coordinate: x has {count} coordinates, 0 to {count - 1}. "
            f"Received: coordinate={coordinate}"
        )
    whole_number("order", order, what="as the function itself is function(x)")


def _along(function: Callable[[Any], Any], tangent: Any) -> Callable[[Any], Any]:
    return lambda x: backend.derivatives().jvp(function, x, tangent)
