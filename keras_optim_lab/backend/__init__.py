"""The one place that knows TensorFlow, JAX and PyTorch by name."""

import functools
from contextlib import AbstractContextManager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from keras_optim_lab.backend.selection import installed, select

if TYPE_CHECKING:
    from keras_optim_lab.backend.interface import Backend, Derivatives, Rows, Updates

__all__ = [
    "active",
    "derivatives",
    "double_precision",
    "installed",
    "reuse_compiled_programs",
    "rows",
    "select",
    "set_random_seed",
    "updates",
]


def active() -> "Backend":
    """The module of the backend that Keras runs on."""
    import keras

    return _module(keras.backend.backend())


@functools.cache  # it is asked for several times a step
def _module(name: str) -> "Backend":
    module: Any = import_module(f"{__name__}.{name}")
    return module


def rows() -> "Rows":
    """What a population of rows needs of the active backend."""
    return active()


def derivatives() -> "Derivatives":
    """How the active backend differentiates."""
    return active()


def updates() -> "Updates":
    """What the step of an optimizer needs of the active backend."""
    return active()


def set_random_seed(seed: int) -> None:
    """Seeds the streams of Python, NumPy, Keras and the active backend."""
    from keras_optim_lab.backend import seeding

    seeding.set_random_seed(seed)


def reuse_compiled_programs() -> None:
    """Spares later models of this process the compiler, where the backend needs to be told."""
    active().reuse_compiled_programs()


def double_precision() -> AbstractContextManager:
    """Within it, numbers of 64 bits stay so, on every backend."""
    return derivatives().precision("float64")
