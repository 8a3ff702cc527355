"""The one place that knows TensorFlow, JAX and PyTorch by name."""

from keras_optim_lab.backend.selection import installed, select

__all__ = ["installed", "reuse_compiled_programs", "select"]


def reuse_compiled_programs() -> None:
    """Spares later models of this process the compiler, where the backend needs to be told."""
    import keras

    if keras.backend.backend() == "jax":
        from keras_optim_lab.backend import jax

        jax.reuse_compiled_programs()
