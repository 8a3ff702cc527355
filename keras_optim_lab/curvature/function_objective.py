"""A function of the user's as what is minimized, and where it may start."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_optim_lab.curvature.layout import Layout
from keras_optim_lab.curvature.objective import Objective, Point, half_of_squares
from keras_optim_lab.curvature.optimizer import CurvatureOptimizer
from keras_optim_lab.optimizers import Optimizer


def objective_of(fun: Callable[[Any], Any], optimizer: Optimizer, layout: Layout) -> Objective:
    """The function in the weights' vector; for Gauss–Newton methods ½ Σ r² of its residuals."""
    if not (isinstance(optimizer, CurvatureOptimizer) and optimizer.least_squares):
        return Objective(lambda x: _scalar(fun(layout.split(x)), layout.dtype), layout=layout)

    def outputs(x: Any) -> Any:
        return _residuals(fun(layout.split(x)), layout.dtype)

    return Objective(lambda x: half_of_squares(outputs(x)), outputs, half_of_squares, layout)


def _scalar(value: Any, dtype: str) -> Any:
    value = ops.convert_to_tensor(value)
    if tuple(value.shape) != ():
        raise TypeError(
            f"fun: must return a scalar; it returned a tensor of shape {tuple(value.shape)}. "
            "Sum it, or minimize its squares with optimizer='levenberg_marquardt'."
        )
    return ops.cast(value, dtype)


def _residuals(value: Any, dtype: str) -> Any:
    value = ops.convert_to_tensor(value)
    if tuple(value.shape) == ():
        raise TypeError(
            "fun: must return residuals r, of one axis or more, as Gauss–Newton methods minimize "
            "½ Σ r²; it returned a scalar. Return what is squared and summed, or minimize the "
            "scalar with optimizer='newton' or 'lbfgs'."
        )
    return ops.reshape(ops.cast(value, dtype), (-1,))


def checked_start(x0: Any) -> Any:
    """x0 with arrays for leaves; raises a TypeError where it has others than floats."""
    leaves = keras.tree.flatten(x0)
    if not leaves:
        raise TypeError(f"x0: holds no numbers. Received: x0={x0!r}")
    if isinstance(x0, list | tuple) and all(isinstance(leaf, int | float) for leaf in leaves):
        x0 = np.asarray(x0)  # as in SciPy, numbers in a list are one vector
    return keras.tree.map_structure(_checked_leaf, x0)


def _checked_leaf(leaf: Any) -> Any:
    array = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
    dtype = str(array.dtype).rpartition(".")[2]
    if "float" not in dtype:
        raise TypeError(
            f"x0: must be of floating-point numbers, such as 1.0 instead of 1. Received: "
            f"{leaf!r} of dtype {dtype}"
        )
    return array


def check_finite(point: Point) -> None:
    """Raises a ValueError where the function or its gradient is not finite at x0."""
    if not np.isfinite(float(point.value)):
        raise ValueError(f"fun: must be finite at x0. It returned {float(point.value)} there.")
    if not bool(ops.all(ops.isfinite(point.gradient))):
        raise ValueError("fun: its gradient is not finite at x0. Start elsewhere.")
