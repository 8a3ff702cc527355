"""MNIST-1D (Greydanus, 2020, arXiv:2011.14439): digits as noisy signals of 40 numbers.

The paper gives its MLP 68 % of the test signals and its CNN 94 %, with Adam at 1e-2, batches
of 100 and all 4000 training signals; here 800 of those are the validation split.
"""

import random
from functools import cache

import numpy as np
from keras import Input, Model, Sequential, layers

from keras_optim_lab.tasks.built_in.classification import classification, split
from keras_optim_lab.tasks.built_in.extras import require
from keras_optim_lab.tasks.splits import Pair

SAMPLES = (3200, 800, 1000)


@cache
def generated() -> dict[str, np.ndarray]:
    """Generates the published data set: 4000 training and 1000 test signals."""
    source = require("mnist1d.data", package="mnist1d", extra="data")
    # The generator seeds the global streams, which belong to whoever asked for the task.
    python_stream, numpy_stream = random.getstate(), np.random.get_state()
    try:
        return source.make_dataset()
    finally:
        random.setstate(python_stream)
        np.random.set_state(numpy_stream)


def signals() -> tuple[Pair, Pair, Pair]:
    """Loads the signals as rows of 40 numbers of mean 0 and deviation 1."""
    data = generated()
    x, y = data["x"].astype("float32"), data["y"].astype("int32")
    train, validation = split(x, y, SAMPLES[:2])
    return train, validation, (data["x_test"].astype("float32"), data["y_test"].astype("int32"))


def mlp() -> Model:
    signal = Input((40,))
    hidden = layers.Dense(100, activation="relu")(signal)
    hidden = layers.Add()([hidden, layers.Dense(100, activation="relu")(hidden)])
    return Model(signal, layers.Dense(10)(hidden))


def cnn() -> Model:
    return Sequential(
        [
            Input((40,)),
            layers.Reshape((40, 1)),
            layers.Conv1D(25, 5, strides=2, padding="same", activation="relu"),
            layers.Conv1D(25, 3, strides=2, padding="same", activation="relu"),
            layers.Conv1D(25, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


DECLARED = (
    classification(
        name="mnist1d-mlp",
        summary="MNIST-1D, dense layers 100-100-10 with a skip",
        weights=15_210,
        samples=SAMPLES,
        data=signals,
        model=mlp,
        batch_size=100,
        epochs=60,
    ),
    classification(
        name="mnist1d-cnn",
        summary="MNIST-1D, three convolutions of 25 channels",
        weights=5_210,
        samples=SAMPLES,
        data=signals,
        model=cnn,
        batch_size=100,
        epochs=60,
    ),
)
