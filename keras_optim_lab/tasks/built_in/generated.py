"""Tables drawn at random: few samples to learn from, and thousands to judge what was learned."""

from functools import partial

import numpy as np
from keras import Input, Model, Sequential, layers

from keras_optim_lab.tasks.built_in.classification import classification, dense
from keras_optim_lab.tasks.built_in.declaration import BuiltInTask
from keras_optim_lab.tasks.built_in.tabular import standardized
from keras_optim_lab.tasks.splits import Pair

REGRESSION_SAMPLES = (600, 300, 5_000)
CLUSTER_SAMPLES = (120, 60, 5_000)
INPUTS, CLASSES = 20, 3


def parted(array: np.ndarray, samples: tuple[int, int, int]) -> list[np.ndarray]:
    """Cuts samples that were drawn independently into the three splits."""
    return np.split(array, np.cumsum(samples)[:-1])


def noisy_regression() -> tuple[Pair, Pair, Pair]:
    """Draws Friedman's first function of ten inputs, of which five count, and adds noise.

        y = 10 sin(π x₀x₁) + 20 (x₂ − ½)² + 10 x₃ + 5 x₄ + N(0, 1),   x uniform from 0 to 1

    All is standardized: the mean of the training samples has a squared error of about 1, and the
    noise alone, below which nobody gets, one of 0.04.

    Reference:
        Friedman, 1991, Multivariate adaptive regression splines, section 4.3.
    """
    # RandomState, unlike Generator, promises the same stream in every version of NumPy.
    rng = np.random.RandomState(0)
    x = rng.uniform(size=(sum(REGRESSION_SAMPLES), 10))
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2
    y += 10 * x[:, 3] + 5 * x[:, 4] + rng.normal(size=len(x))
    xs, ys = (standardized(*parted(array, REGRESSION_SAMPLES)) for array in (x, y[:, np.newaxis]))
    train, validation, test = zip(xs, ys, strict=True)
    return train, validation, test


def clusters() -> tuple[Pair, Pair, Pair]:
    """Draws points of three classes in 20 dimensions, each class in two clusters that overlap."""
    rng = np.random.RandomState(0)
    centers = rng.normal(scale=0.7, size=(2 * CLASSES, INPUTS))
    cluster = rng.randint(2 * CLASSES, size=sum(CLUSTER_SAMPLES))
    x = centers[cluster] + rng.normal(size=(len(cluster), INPUTS))
    xs = standardized(*parted(x, CLUSTER_SAMPLES))
    ys = parted((cluster % CLASSES).astype("int32"), CLUSTER_SAMPLES)
    train, validation, test = zip(xs, ys, strict=True)
    return train, validation, test


def normalized() -> Model:
    hidden: list[layers.Layer] = []
    for _ in range(2):
        hidden += [layers.Dense(64), layers.BatchNormalization(), layers.ReLU()]
    return Sequential([Input((INPUTS,)), *hidden, layers.Dense(CLASSES)])


DECLARED = (
    BuiltInTask(
        name="friedman-mlp",
        summary="Friedman's function of 10 inputs with noise (regression), dense layers 64-64-1",
        weights=4_929,
        samples=REGRESSION_SAMPLES,
        data=noisy_regression,
        model=partial(dense, 10, 64, 64, 1),
        loss="mean_squared_error",
        metrics=("mean_absolute_error",),
    ),
    classification(
        name="clusters-batchnorm",
        summary="three classes from 120 samples, dense layers 64-64-3 with batch normalization",
        weights=5_955,
        samples=CLUSTER_SAMPLES,
        data=clusters,
        model=normalized,
        batch_size=24,
        epochs=40,
    ),
)
