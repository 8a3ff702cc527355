"""The training batches of a task, in an order that every backend shares."""

from collections.abc import Callable

import keras
import numpy as np

from keras_optim_lab.tasks.checks import Shuffle
from keras_optim_lab.tasks.splits import Split, take


def permutation(shuffle: Shuffle, samples: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the indices of all samples in the order of an epoch."""
    # RandomState, unlike Generator, promises the same stream in every version of NumPy.
    if shuffle == "every epoch":
        return np.random.RandomState([seed, epoch]).permutation(samples)
    if shuffle == "once":
        return np.random.RandomState(seed).permutation(samples)
    return np.arange(samples)


class Batches(keras.utils.PyDataset):
    """Batches of a split, in the order that `order(epoch)` gives for each epoch.

    `fit(shuffle=True)` would draw other orders on each backend and, on TensorFlow once a seed is
    set, one and the same for all epochs.
    """

    def __init__(self, split: Split, batch_size: int, order: Callable[[int], np.ndarray]) -> None:
        super().__init__()
        self.split = keras.tree.lists_to_tuples(split)  # TensorFlow stacks a list into one tensor
        self.batch_size, self.order = batch_size, order
        self.samples = order(0)

    def __len__(self) -> int:
        return -(-len(self.samples) // self.batch_size)

    def __getitem__(self, step: int) -> Split:
        start = step * self.batch_size
        return take(self.split, self.samples[start : start + self.batch_size])

    def clock(self) -> keras.callbacks.Callback:
        """Returns the callback that tells the batches which epoch begins.

        Keras also calls their own `on_epoch_end` before the first epoch, so counting would fail.
        """

        def begin(epoch: int, logs: object) -> None:
            self.samples = self.order(epoch)

        return keras.callbacks.LambdaCallback(on_epoch_begin=begin)
