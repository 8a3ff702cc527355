"""State in fewer bits than arithmetic needs: rounding that is right on average."""

import math

import keras
from keras import ops

HALF = ("float16", "bfloat16")


def arithmetic_dtype(dtype) -> str:
    """The dtype of arithmetic, and of slots by default, for weights of `dtype`."""
    dtype = keras.backend.standardize_dtype(dtype)
    return "float32" if dtype in HALF else dtype


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
    noise = _mixed(_mixed(places + start) + _mixed(ops.cast(t, "int32") * 64 + key))
    bits = ops.view(ops.cast(x, "float32"), "int32")
    bits = ops.bitwise_and(bits + ops.bitwise_and(noise, 0xFFFF), -0x10000)
    rounded = ops.where(ops.isfinite(x), ops.view(bits, "float32"), ops.cast(x, "float32"))
    return ops.cast(rounded, "bfloat16")


def _mixed(bits):
    """The finalizer of MurmurHash3: every bit of the result depends on every bit given."""
    bits = ops.bitwise_xor(bits, _shifted(bits, 16)) * -0x7A143595
    bits = ops.bitwise_xor(bits, _shifted(bits, 13)) * -0x3D4D51CB
    return ops.bitwise_xor(bits, _shifted(bits, 16))


def _shifted(bits, count: int):
    """To the right, zeros coming in: the shift of an int32 repeats its sign."""
    return ops.bitwise_and(ops.right_shift(bits, count), 2 ** (32 - count) - 1)
