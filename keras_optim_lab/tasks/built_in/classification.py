"""What the built-in classification tasks share."""

from functools import partial

import keras
import numpy as np

from keras_optim_lab.tasks.built_in.declaration import BuiltInTask
from keras_optim_lab.tasks.splits import Pair, stratified

# The models end in logits: the cross-entropy of a softmax loses its gradient where the softmax
# rounds to 0 or 1, and each backend makes up for that in its own way.
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


classification = partial(BuiltInTask, loss=CROSS_ENTROPY, metrics=("accuracy",))


def split(x: np.ndarray, y: np.ndarray, samples: tuple[int, ...]) -> list[Pair]:
    """Returns stratified parts (x, y) with these numbers of samples."""
    return [(x[part], y[part]) for part in stratified(y, samples)]


def dense(*widths: int) -> keras.Model:
    """A network of dense layers: of its inputs, of layers with rectifiers, of its outputs."""
    first, *hidden, last = widths
    layers = [keras.layers.Dense(width, activation="relu") for width in hidden]
    return keras.Sequential([keras.Input((first,)), *layers, keras.layers.Dense(last)])


def image_shape(height: int, width: int, channels: int) -> tuple[int, int, int]:
    """Returns the shape of an image in the layout that Keras is configured for."""
    channels_first = keras.config.image_data_format() == "channels_first"
    return (channels, height, width) if channels_first else (height, width, channels)
