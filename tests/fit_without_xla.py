"""Spares tests on TensorFlow the seconds that XLA takes to compile what `fit` calls a few times."""

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
