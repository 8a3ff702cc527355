"""Models as people bring them, of 1,000 samples drawn at random and three epochs, to be timed."""

from collections.abc import Callable
from functools import partial

import keras
import numpy as np
from keras import layers

import keras_optim_lab as kol
from keras_optim_lab.tasks.built_in.images import mnist_cnn

SAMPLES, EPOCHS, BATCH = 1000, 3, 32

# By model, what its optimizer is told beside its hyperparameters.
TOLD = {
    "mlp, clipnorm": {"clipnorm": 1.0},
    "mlp, average": {"use_ema": True, "ema_overwrite_frequency": 10},
}


def mlp(dtype: str | None = None) -> keras.Model:
    """Batch normalization and dropout."""
    return keras.Sequential(
        [
            keras.Input((32,)),
            layers.Dense(128, "relu", dtype=dtype),
            layers.BatchNormalization(dtype=dtype),
            layers.Dropout(0.2, dtype=dtype),
            layers.Dense(128, "relu", dtype=dtype),
            layers.Dropout(0.2, dtype=dtype),
            layers.Dense(10, dtype=dtype),
            layers.Activation("linear", dtype="float32"),
        ]
    )


def lstm() -> keras.Model:
    return keras.Sequential(
        [keras.Input((32,)), layers.Embedding(500, 32), layers.LSTM(32), layers.Dense(10)]
    )


def transformer() -> keras.Model:
    """One block."""
    inputs = keras.Input((32,))
    x = layers.Embedding(500, 32)(inputs)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(4, 8)(x, x))
    x = layers.LayerNormalization()(x + layers.Dense(32)(layers.Dense(64, "relu")(x)))
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling1D()(x)))


def _arrays(kind: str, samples: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(samples)
    if kind == "tokens":
        x = rng.integers(0, 500, (samples, 32)).astype("int32")
        return x, (x[:, 0] % 10).astype("int32")
    x = rng.normal(size=(samples, *((28, 28, 1) if kind == "images" else (32,)))).astype("float32")
    return x, np.abs(10 * x.reshape(samples, -1)[:, :4].mean(1)).astype("int32") % 10


def _task(model: Callable[[], keras.Model], kind: str = "numbers") -> kol.Task:
    return kol.Task(
        model=model,
        train=_arrays(kind, SAMPLES),
        validation=_arrays(kind, SAMPLES // 4),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        batch_size=BATCH,
        epochs=EPOCHS,
    )


def _piped() -> kol.Task:
    """Shuffled, so that every epoch is another one."""
    import tensorflow as tf

    def dataset(samples: int):
        return tf.data.Dataset.from_tensor_slices(_arrays("numbers", samples))

    arrays = _task(mlp)
    return kol.Task(
        model=mlp,
        train=dataset(SAMPLES).shuffle(SAMPLES).batch(BATCH),
        validation=dataset(SAMPLES // 4).batch(BATCH),
        loss=arrays.loss,
        metrics=["accuracy"],
        epochs=EPOCHS,
    )


MODELS: dict[str, Callable[[], kol.Task]] = {
    "mlp": partial(_task, mlp),
    "mlp, clipnorm": partial(_task, mlp),
    "mlp, average": partial(_task, mlp),
    "mlp, mixed_bfloat16": partial(_task, partial(mlp, "mixed_bfloat16")),
    "mlp, tf.data": _piped,
    "convnet": partial(_task, mnist_cnn, "images"),
    "lstm": partial(_task, lstm, "tokens"),
    "transformer": partial(_task, transformer, "tokens"),
}
