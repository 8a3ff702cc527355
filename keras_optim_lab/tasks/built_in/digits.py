"""Handwritten digits of 8×8 pixels (UCI, 1797 samples), as they come with scikit-learn."""

from functools import partial

from keras import Input, Model, Sequential, layers

from keras_optim_lab.tasks.built_in.attention import PositionEmbedding, block
from keras_optim_lab.tasks.built_in.classification import classification, dense, image_shape, split
from keras_optim_lab.tasks.built_in.extras import require
from keras_optim_lab.tasks.splits import Pair

SAMPLES = (1079, 359, 359)


def flat_digits() -> tuple[Pair, Pair, Pair]:
    """Loads the digits as rows of 64 numbers from 0 to 1."""
    datasets = require("sklearn.datasets", package="scikit-learn", extra="tune")
    x, y = datasets.load_digits(return_X_y=True)
    train, validation, test = split((x / 16).astype("float32"), y.astype("int32"), SAMPLES)
    return train, validation, test


def digit_images() -> tuple[Pair, Pair, Pair]:
    """Loads the digits as images of one channel."""
    shape = image_shape(8, 8, 1)
    train, validation, test = ((x.reshape(-1, *shape), y) for x, y in flat_digits())
    return train, validation, test


def digit_patches() -> tuple[Pair, Pair, Pair]:
    """Loads the digits as sequences of 16 patches of 2×2 pixels."""
    train, validation, test = (
        (x.reshape(-1, 4, 2, 4, 2).swapaxes(2, 3).reshape(-1, 16, 4), y) for x, y in flat_digits()
    )
    return train, validation, test


def cnn() -> Model:
    return Sequential(
        [
            Input(image_shape(8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


def vision_transformer() -> Model:
    """After arXiv:2010.11929, with the mean over patches in place of a class token."""
    patches = Input((16, 4))
    x = PositionEmbedding()(layers.Dense(16)(patches))
    for _ in range(2):
        x = block(x, heads=2)
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return Model(patches, layers.Dense(10)(x))


DECLARED = (
    classification(
        name="digits-mlp",
        summary="handwritten digits of 8×8 pixels, dense layers 128-128-10",
        weights=26_122,
        samples=SAMPLES,
        data=flat_digits,
        model=partial(dense, 64, 128, 128, 10),
    ),
    classification(
        name="digits-cnn",
        summary="handwritten digits of 8×8 pixels, two convolutions",
        weights=6_090,
        samples=SAMPLES,
        data=digit_images,
        model=cnn,
    ),
    classification(
        name="digits-vit",
        summary="handwritten digits of 8×8 pixels, a vision transformer of two blocks",
        weights=4_986,
        samples=SAMPLES,
        data=digit_patches,
        model=vision_transformer,
    ),
)
