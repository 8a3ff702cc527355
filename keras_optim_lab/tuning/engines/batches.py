"""The data of a population: held on the device once, and taken batch by batch."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.tasks import Task


class Batches(NamedTuple):
    """Indices of the samples that each row takes, one batch after the other.

    Attributes:
        whole: (rows, batches, batch size); in the vectorized form (batches, rows, batch size).
        rest: of the last, smaller batch; perhaps none.
    """

    whole: Any
    rest: Any


Step = Callable[[Any, Any], Any]


def in_turn(batches: Batches, step: Step, carry: Any) -> Any:
    """`carry = step(indices, carry)` for one batch of indices after the other."""
    # Programs hold the body of no round too, and cannot take a batch where there is none.
    if count := batches.whole.shape[0]:
        carry = backend.rows().fori_loop(
            count, lambda i, carry: step(batches.whole[i], carry), carry
        )
    if batches.rest.shape[-1]:
        carry = step(batches.rest, carry)
    return carry


def in_order(data: Any, size: int, step: Step, carry: Any) -> Any:
    """`carry = step(batch, carry)` for one batch of all data after the other."""

    def at(i: Any) -> Any:
        return taken(data, i * size + ops.arange(size, dtype="int32"))

    samples = keras.tree.flatten(data)[0].shape[0]
    whole = samples // size
    if whole:
        carry = backend.rows().fori_loop(whole, lambda i, carry: step(at(i), carry), carry)
    if samples % size:
        rest = keras.tree.map_structure(lambda array: array[whole * size :], data)
        carry = step(rest, carry)
    return carry


def taken(data: Any, indices: Any) -> Any:
    """The samples of these indices."""
    return keras.tree.map_structure(lambda array: backend.rows().take(array, indices), data)


def tensors(arrays: Any) -> Any:
    """Arrays as tensors, numbers with a fraction in Keras's own precision."""
    return keras.tree.map_structure(_tensor, arrays)


def on_device(task: Task, folds: int | None = None) -> Any:
    """A task's training and validation splits as tensors, for all programs of a study.

    With folds both hold all samples, as they are trained on and as they are measured.
    """
    task = task if folds is None else task.folds.pooled
    train, validation = (
        keras.utils.pack_x_y_sample_weight(*task.arrays(split)) for split in ("train", "validation")
    )
    train = tensors(train)
    if folds is None:
        return train, tensors(validation)
    return train, (*train[:2], *tensors(validation[2:]))


def _tensor(array: np.ndarray) -> Any:
    floating = np.issubdtype(array.dtype, np.floating)
    return ops.convert_to_tensor(array, keras.config.floatx() if floating else None)
