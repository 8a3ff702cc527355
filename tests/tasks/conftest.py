import sys

import keras
import numpy as np
import pytest

from keras_optim_lab.tasks import Task
from keras_optim_lab.tasks.built_in.keras_datasets import FASHION_MNIST
from tests.fit_without_xla import eagerly, fit_without_xla  # noqa: F401


def line() -> keras.Model:
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


@pytest.fixture
def arguments():
    """Arguments of a small regression task, for a test to change."""
    rng = np.random.default_rng(0)

    def split(samples):
        return rng.normal(size=(samples, 2)).astype("float32"), np.ones((samples, 1), "float32")

    return {
        "model": line,
        "train": split(10),
        "validation": split(9),
        "test": split(8),
        "loss": "mean_squared_error",
        "batch_size": 4,
        "epochs": 2,
    }


@pytest.fixture
def make_task(arguments):
    """Makes tasks whose models TensorFlow trains without a trace: they take a few steps each."""
    with eagerly():
        yield lambda **changes: Task(**{**arguments, **changes})


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    """An empty cache of Keras on a machine without a network and without Debian's data sets."""
    from urllib.error import URLError

    def unreachable(*_):
        raise URLError("Name or service not known")

    # `keras.src.utils.file_utils` is an attribute of no public module.
    monkeypatch.setattr(sys.modules["keras.src.backend.config"], "_KERAS_DIR", str(tmp_path))
    monkeypatch.setattr(sys.modules["keras.src.utils.file_utils"], "urlretrieve", unreachable)
    monkeypatch.setitem(vars(FASHION_MNIST), "installed", str(tmp_path / "debian/fashion-mnist"))
    monkeypatch.delenv(FASHION_MNIST.variable, raising=False)
    return tmp_path
