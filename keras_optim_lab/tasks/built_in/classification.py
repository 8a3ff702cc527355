"""What the built-in classification tasks share."""

import keras
import numpy as np

from keras_optim_lab.tasks.splits import Pair, stratified

# The models end in logits: the cross-entropy of a softmax loses its gradient where the softmax
# rounds to 0 or 1, and each backend makes up for that in its own way.
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def split(x: np.ndarray, y: np.ndarray, samples: tuple[int, ...]) -> list[Pair]:
    """Returns stratified parts (x, y) with these numbers of samples."""
    return [(x[part], y[part]) for part in stratified(y, samples)]


def image_shape(height: int, width: int, channels: int) -> tuple[int, int, int]:
    """Returns the shape of an image in the layout that Keras is configured for."""
    channels_first = keras.config.image_data_format() == "channels_first"
    return (channels, height, width) if channels_first else (height, width, channels)
