"""The one place that knows TensorFlow, JAX and PyTorch by name."""

from keras_optim_lab.backend.selection import installed, select

__all__ = ["installed", "select"]
