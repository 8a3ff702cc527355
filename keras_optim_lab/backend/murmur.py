"""Bits that look random, from numbers."""

from keras import ops


def mixed(bits):
    """The finalizer of MurmurHash3 of int32: every bit of the result depends on every bit given."""
    bits = (bits ^ _shifted(bits, 16)) * -0x7A143595
    bits = (bits ^ _shifted(bits, 13)) * -0x3D4D51CB
    return bits ^ _shifted(bits, 16)


def _shifted(bits, count: int):
    """To the right, zeros coming in: the shift of an int32 repeats its sign."""
    # TensorFlow's tensors have no operator >>; `ops.right_shift` takes twice as long on PyTorch.
    shifted = bits >> count if hasattr(bits, "__rshift__") else ops.right_shift(bits, count)
    return shifted & (2 ** (32 - count) - 1)
