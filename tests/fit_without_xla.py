"""Spares tests on TensorFlow the seconds that it takes to compile what `fit` calls a few times."""

from contextlib import contextmanager

import keras
import pytest
from keras.src.trainers.trainer import Trainer


@pytest.fixture(scope="session", autouse=True)
def fit_without_xla():
    if keras.backend.backend() != "tensorflow":
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_resolve_auto_jit_compile", lambda model: False)
        yield


@contextmanager
def eagerly():
    """Within it, TensorFlow traces nothing: a fresh model's few steps are done before it had."""
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)
