"""The noisy quadratic bowl of DeepOBS (Schneider et al., 2019, arXiv:1903.05499).

    ℓ(θ, x) = ½ (θ − x)ᵀ H (θ − x),   x ~ N(0, 0.6²),   θ₀ = 1

in 100 dimensions. The spectrum of H is that of a trained network: 90 eigenvalues between 0 and
1, 10 between 30 and 60, in a random rotation.
"""

from functools import cache
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_optim_lab.tasks.built_in.declaration import BuiltInTask
from keras_optim_lab.tasks.splits import Pair

DIMENSIONS = 100
SAMPLES = (1000, 1000, 1000)


@cache
def hessian() -> np.ndarray:
    """Returns H, shape (100, 100), float64: a constant of the problem."""
    rng = np.random.RandomState(42)
    eigenvalues = np.concatenate([rng.uniform(0, 1, 90), rng.uniform(30, 60, 10)])
    axes = random_orthogonal(DIMENSIONS, rng)
    return axes.T @ (eigenvalues[:, np.newaxis] * axes)


def random_orthogonal(dimensions: int, rng: np.random.RandomState) -> np.ndarray:
    """Draws an orthogonal matrix uniformly, axis by axis (Diaconis & Shahshahani, 1987).

    A uniform matrix on the last n − 1 axes, followed by the reflection that carries the first
    axis to a random direction, is a uniform one on n axes.
    """
    angle = 2 * np.pi * rng.uniform()
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    for n in range(3, dimensions + 1):
        first_axis, direction = np.eye(n)[0], rng.normal(size=n)
        normal = first_axis - direction / np.linalg.norm(direction)
        normal /= np.linalg.norm(normal)
        grown = np.eye(n)
        grown[1:, 1:] = matrix
        matrix = grown - 2 * np.outer(normal, normal @ grown)
    return matrix


@keras.saving.register_keras_serializable("keras_optim_lab")
class QuadraticBowl(keras.layers.Layer):
    """The bowl with its position θ as the only weight: x, (batch, 100) → loss, (batch, 1)."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.position = self.add_weight(shape=input_shape[-1:], initializer="ones", name="position")

    def call(self, x: Any) -> Any:
        offset = self.position - x
        curved = ops.matmul(offset, ops.convert_to_tensor(hessian(), dtype=offset.dtype))
        return ops.sum(offset * curved, axis=-1, keepdims=True) / 2


@keras.saving.register_keras_serializable("keras_optim_lab")
def mean_output(y_true: Any, y_pred: Any) -> Any:
    """The loss of a model whose output is its loss already; `y_true` is ignored."""
    return ops.mean(y_pred, axis=-1)


def noise(seed: int) -> Pair:
    """Returns 1000 points x; the loss asks for no y, and zeros fill its place."""
    x = np.random.RandomState(seed).normal(0, 0.6, (1000, DIMENSIONS))
    return x.astype("float32"), np.zeros((1000, 1), "float32")


def data() -> tuple[Pair, Pair, Pair]:
    """Draws train and test as DeepOBS does, and a validation split, which it lacks."""
    return noise(42), noise(44), noise(43)


def model() -> keras.Model:
    return keras.Sequential([keras.Input((DIMENSIONS,)), QuadraticBowl()])


DECLARED = (
    BuiltInTask(
        name="quadratic-deep",
        summary="noisy quadratic bowl with the spectrum of a trained network (DeepOBS)",
        weights=DIMENSIONS,
        samples=SAMPLES,
        data=data,
        model=model,
        loss=mean_output,
        batch_size=128,
        epochs=100,
        # As published: the order of the batches is drawn once for each seed, and counts: with a
        # new one each epoch Adam ends at 87.28 instead of 87.11.
        shuffle="once",
        drop_remainder=True,
    ),
)
