"""The one place that knows TensorFlow, JAX and PyTorch by name."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from keras_optim_lab.backend.selection import installed, select

if TYPE_CHECKING:
    from keras_optim_lab.backend.interface import Backend, Derivatives, Rows, Updates

_modules: dict[str, Any] = {}  # looked up several times a step, also while PyTorch compiles one

__all__ = [
    "active",
    "derivatives",
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

    name = keras.backend.backend()
    if name not in _modules:
        _modules[name] = import_module(f"{__name__}.{name}")
    return _modules[name]


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
