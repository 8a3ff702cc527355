"""Which numbers weights may be, and state in fewer bits than arithmetic needs."""

import math
from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.backend.murmur import mixed

HALF = ("float16", "bfloat16")


# Numbers whose squares, and sums of 2²⁶ of those, are finite.
_SQUARED = {"float32": 2.0**50, "float64": 2.0**498}


def bounded(gradient):
    """The gradient, a float32 or float64 tensor, with nothing in it too large to be squared.

    An average of squares that is infinite once is not a number from then on. What divides by the
    size of a gradient goes as far for one of 10¹⁵ as for any larger one.
    """
    bound = _SQUARED[keras.backend.standardize_dtype(gradient.dtype)]
    return backend.updates().clip(gradient, bound)


def arithmetic_dtype(dtype) -> str:
    """The dtype of arithmetic, and of slots by default, for weights of `dtype`."""
    dtype = keras.backend.standardize_dtype(dtype)
    return "float32" if dtype in HALF else dtype


def is_half(dtype) -> bool:
    return keras.backend.standardize_dtype(dtype) in HALF


def check_real(owner: str, weights: Iterable[tuple[str, Any]]) -> None:
    """Raises a TypeError for weights, given as paths and dtypes, that are no real numbers.

    What a method makes of the square, the sign or the size of a complex number differs from one to
    the next, and what a framework calls its gradient too: JAX has the conjugate of the others'.
    """
    for path, dtype in weights:
        dtype = keras.backend.standardize_dtype(dtype)
        if dtype not in (*HALF, "float32", "float64"):
            instead = "have trainable=False"
            if dtype.startswith("complex"):
                instead = "hold its real and imaginary part as two weights of float32"
            raise TypeError(
                f"{owner}: the weight {path!r} is {dtype}, and a method trains weights of real "
                f"numbers (float32, float64, bfloat16 or float16). Let it {instead}."
            )


def rounded_at_random(x, t, *, start: int, key: int):
    """`x` in bfloat16, up or down with the chances that make it right on average.

    Rounded to the nearest, a moving average of bfloat16 stands still as soon as its changes are
    below a 256th of it.

    Args:
        x: float32 tensor.
        t: the step. The noise is a function of step, place and key alone: training goes on from
            a saved state as if it had never stopped.
        start: the place of the first number of `x` among all.
        key: tells the slots of a weight apart.
    """
    places = ops.reshape(ops.arange(math.prod(x.shape), dtype="int32"), x.shape)
    noise = mixed(mixed(places + start) + mixed(ops.cast(t, "int32") * 64 + key))
    bits = ops.view(ops.cast(x, "float32"), "int32")
    bits = ops.bitwise_and(bits + ops.bitwise_and(noise, 0xFFFF), -0x10000)
    rounded = ops.where(ops.isfinite(x), ops.view(bits, "float32"), ops.cast(x, "float32"))
    return ops.cast(rounded, "bfloat16")
