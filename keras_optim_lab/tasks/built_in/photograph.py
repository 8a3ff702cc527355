"""A photograph as a function: from where a pixel is to its colour."""

import numpy as np
from keras import Input, Model, Sequential, layers

from keras_optim_lab.tasks.built_in.declaration import BuiltInTask
from keras_optim_lab.tasks.built_in.extras import require
from keras_optim_lab.tasks.splits import Pair, stratified

BLOCK = 4  # pixels of the photograph, in height and width, that make one of ours
OCTAVES = 6
SAMPLES = (4096, 2048, 10_816)


def pixels() -> tuple[Pair, Pair, Pair]:
    """Loads scikit-learn's photograph of a palace in China, a quarter as high and wide.

    A pixel is known by sines and cosines of where it is, at six frequencies that double
    (arXiv:2003.08934); the coordinates themselves would make the network draw large shapes only
    (arXiv:2006.10739). Its colour is three numbers from 0 to 1.
    """
    datasets = require("sklearn.datasets", package="scikit-learn", extra="tune")
    require("PIL.Image", package="pillow", extra="pictures")
    photograph = datasets.load_sample_image("china.jpg") / 255
    height, width = (size // BLOCK for size in photograph.shape[:2])
    blocks = photograph[: height * BLOCK, : width * BLOCK]
    # Means over blocks, which also hide that JPEG libraries round differently.
    colours = blocks.reshape(height, BLOCK, width, BLOCK, 3).mean(axis=(1, 3)).reshape(-1, 3)
    places = np.indices((height, width)).reshape(2, -1).T / (height, width)
    angles = (places[:, :, np.newaxis] * np.pi * 2.0 ** np.arange(OCTAVES)).reshape(len(places), -1)
    x = np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype("float32")
    parts = stratified(np.zeros(len(x)), SAMPLES)
    train, validation, test = ((x[part], colours[part].astype("float32")) for part in parts)
    return train, validation, test


def mlp() -> Model:
    return Sequential(
        [
            Input((4 * OCTAVES,)),
            layers.Dense(64, activation="relu"),
            layers.Dense(64, activation="relu"),
            layers.Dense(3, activation="sigmoid"),
        ]
    )


DECLARED = (
    BuiltInTask(
        name="photograph-mlp",
        summary="the colours of a photograph by place (regression), dense layers 64-64-3",
        weights=5_955,
        samples=SAMPLES,
        data=pixels,
        model=mlp,
        loss="mean_squared_error",
        metrics=("mean_absolute_error",),
        batch_size=64,
        epochs=20,
    ),
)
