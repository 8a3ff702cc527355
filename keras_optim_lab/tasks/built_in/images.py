"""The image sets of `keras.datasets`, with the networks they are best known with.

The published test sets are kept; the validation splits are stratified parts of the published
training sets.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from keras import Input, Model, Sequential, initializers, layers, regularizers

from keras_optim_lab.tasks.built_in.classification import classification, dense, image_shape, split
from keras_optim_lab.tasks.built_in.keras_datasets import (
    CIFAR10,
    FASHION_MNIST,
    MNIST,
    KerasDataset,
)
from keras_optim_lab.tasks.splits import Pair

MNIST_SAMPLES = (54_000, 6_000, 10_000)
FASHION_SAMPLES = (50_000, 10_000, 10_000)
FEW_FASHION_SAMPLES = (10_000, 5_000, 10_000)
CIFAR_SAMPLES = (40_000, 10_000, 10_000)


def loaded(
    dataset: KerasDataset, prepared: Callable[[Pair], Pair], samples: tuple[int, int, int]
) -> tuple[Pair, Pair, Pair]:
    """Loads pictures, and takes from the published training set one and a validation split."""
    published, test = (prepared(part) for part in dataset.load())
    rest = len(published[1]) - sum(samples[:2])
    train, validation, *_ = split(*published, (*samples[:2], rest))
    return train, validation, test


def flat(part: Pair) -> Pair:
    """Pictures as rows of 784 numbers from 0 to 1."""
    x, y = grey(part)
    return x.reshape(len(x), -1), y


def grey(part: Pair) -> Pair:
    """Pictures of 28×28 pixels, from 0 to 1."""
    x, y = part
    return (x / np.float32(255)).reshape(-1, *image_shape(28, 28, 1)), y.astype("int32")


def standardized_each(part: Pair) -> Pair:
    """Photographs, each standardized by its own mean and deviation."""
    x, y = part
    x = x.astype("float32")
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    deviation = x.std(axis=(1, 2, 3), keepdims=True)
    # The floor of DeepOBS, for pictures of a single colour.
    return (x - mean) / np.maximum(deviation, x[0].size ** -0.5), y.ravel().astype("int32")


def mnist_cnn() -> Model:
    """The convolutional network of the first example on keras.io."""
    return Sequential(
        [
            Input(image_shape(28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10),
        ]
    )


def two_conv_two_dense() -> Model:
    """The 2c2d network of DeepOBS (arXiv:1903.05499)."""

    def start() -> dict[str, initializers.Initializer]:
        return {
            "kernel_initializer": initializers.TruncatedNormal(stddev=0.05),
            "bias_initializer": initializers.Constant(0.05),
        }

    return Sequential(
        [
            Input(image_shape(28, 28, 1)),
            layers.Conv2D(32, 5, padding="same", activation="relu", **start()),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 5, padding="same", activation="relu", **start()),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(1024, activation="relu", **start()),
            layers.Dense(10, **start()),
        ]
    )


def three_conv_three_dense() -> Model:
    """The 3c3d network of DeepOBS (arXiv:1903.05499), with ½ · 0.002 · ‖w‖² of each kernel."""

    def conv(filters: int, size: int, padding: str) -> layers.Layer:
        return layers.Conv2D(
            filters,
            size,
            padding=padding,
            activation="relu",
            kernel_initializer=initializers.GlorotNormal(),
            kernel_regularizer=regularizers.L2(0.001),
        )

    def dense(units: int, activation: str | None = None) -> layers.Layer:
        return layers.Dense(units, activation=activation, kernel_regularizer=regularizers.L2(0.001))

    return Sequential(
        [
            Input(image_shape(32, 32, 3)),
            conv(64, 5, "valid"),
            layers.MaxPooling2D(3, strides=2, padding="same"),
            conv(96, 3, "valid"),
            layers.MaxPooling2D(3, strides=2, padding="same"),
            conv(128, 3, "same"),
            layers.MaxPooling2D(3, strides=2, padding="same"),
            layers.Flatten(),
            dense(512, "relu"),
            dense(256, "relu"),
            dense(10),
        ]
    )


DECLARED = (
    classification(
        name="mnist-cnn",
        summary="MNIST, the convolutional network of keras.io",
        weights=34_826,
        samples=MNIST_SAMPLES,
        data=partial(loaded, MNIST, grey, samples=MNIST_SAMPLES),
        model=mnist_cnn,
        batch_size=128,
        epochs=15,
    ),
    classification(
        name="fashion-mnist-mlp",
        summary="a sixth of Fashion-MNIST, dense layers 64-64-10",
        weights=55_050,
        samples=FEW_FASHION_SAMPLES,
        data=partial(loaded, FASHION_MNIST, flat, samples=FEW_FASHION_SAMPLES),
        model=partial(dense, 784, 64, 64, 10),
        batch_size=128,
        epochs=10,
    ),
    classification(
        name="fashion-mnist-2c2d",
        summary="Fashion-MNIST, two convolutions and two dense layers (DeepOBS)",
        weights=3_274_634,
        samples=FASHION_SAMPLES,
        data=partial(loaded, FASHION_MNIST, grey, samples=FASHION_SAMPLES),
        model=two_conv_two_dense,
        batch_size=128,
        epochs=100,
        drop_remainder=True,
    ),
    classification(
        name="cifar10-3c3d",
        # DeepOBS also augments the training pictures at random; this task does not.
        summary="CIFAR-10, three convolutions and three dense layers (DeepOBS, not augmented)",
        weights=895_210,
        samples=CIFAR_SAMPLES,
        data=partial(loaded, CIFAR10, standardized_each, samples=CIFAR_SAMPLES),
        model=three_conv_three_dense,
        batch_size=128,
        epochs=100,
        drop_remainder=True,
    ),
)
