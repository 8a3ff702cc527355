"""Keras in double precision."""

import contextlib

from keras_optim_lab.keras_private import dtypes


@contextlib.contextmanager
def kept_in_keras():
    """Within it `keras.ops` keep float64; on JAX and PyTorch many of them return float32."""
    before = dtypes.BIT64_TO_BIT32_DTYPE["float64"]
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    try:
        yield
    finally:
        dtypes.BIT64_TO_BIT32_DTYPE["float64"] = before
