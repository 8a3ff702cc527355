"""Folds: training and validation samples together, of which every fold holds out others."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np

from keras_optim_lab.arguments import whole_number
from keras_optim_lab.tasks.batches import permutation
from keras_optim_lab.tasks.pipelines import batch_count, is_pipeline
from keras_optim_lab.tasks.splits import Arrays, Fold, Split, length, stratified, take

if TYPE_CHECKING:
    from keras_optim_lab.tasks.task import Task


class _Parts(NamedTuple):
    """Indices of the samples that a fold trains on and of those it holds out, in stored order."""

    trained: np.ndarray
    held_out: np.ndarray


class Folds:
    """What the folds of a task are made of; engines that hold its data once take indices from it.

    Sample weights go with their sample. A split that has none is trained on, or measured, without
    any in every fold too; a sample that has none among others that do weighs 1.

    Attributes:
        pooled: the task with all training and validation samples in both splits.

    Raises:
        ValueError: a split is a data pipeline, or the two differ in shape.
    """

    def __init__(self, task: "Task"):
        self._task = task
        for name, split in {"train": task.train, "validation": task.validation}.items():
            _check_arrays(task, name, split)
        x, y = (
            _together(task, part, task.train[i], task.validation[i]) for i, part in enumerate("xy")
        )
        train, validation = (
            keras.utils.pack_x_y_sample_weight(x, y, weights) for weights in _weights(task)
        )
        self.pooled = replace(task, train=train, validation=validation, drop_remainder=False)
        self.samples = length(train)
        self._labels = _labels(y)
        self._partitions: dict[tuple[int, int], list[_Parts]] = {}

    def check(self, fold: Fold) -> None:
        """Says why there is no such fold, or why the task cannot be trained on it.

        Raises:
            TypeError, ValueError: that is so.
        """
        self._parts(fold)
        held_out = self.samples // fold.count
        if not self._task.used(held_out):
            raise ValueError(
                f"folds={fold.count} leaves {held_out} samples for each validation, of which "
                f"batch_size={self._task.batch_size} with drop_remainder=True uses none: lower "
                "folds or batch_size, or pass drop_remainder=False."
            )

    def task(self, fold: Fold) -> "Task":
        """The task of this fold, of arrays of its own.

        Raises:
            TypeError, ValueError: there is no such fold, or so many cannot be made.
        """
        self.check(fold)
        trained, held_out = self._parts(fold)
        return replace(
            self._task,
            train=take(self.pooled.train, trained),
            validation=take(self.pooled.validation, held_out),
        )

    def order(self, fold: Fold, seed: int, epoch: int = 0) -> np.ndarray:
        """As `Task.order` of the fold's task, as indices of the pooled samples."""
        trained = self._parts(fold).trained
        order = permutation(self._task.shuffle, len(trained), seed, epoch)
        return trained[order[: self._task.used(len(trained))]]

    def held_out(self, fold: Fold) -> np.ndarray:
        """Indices of the pooled samples that a fold is measured on, in stored order."""
        held_out = self._parts(fold).held_out
        return held_out[: self._task.used(len(held_out))]

    def _parts(self, fold: Fold) -> "_Parts":
        number, count, repeat = fold
        if (count, repeat) not in self._partitions:
            count = self._checked(count)
            repeat = whole_number("repeat", repeat, least=0, owner=f"{fold}")
            self._partitions[count, repeat] = self._partition(count, repeat)
        number = whole_number("number", number, least=0, most=count - 1, owner=f"{fold}")
        return self._partitions[count, repeat][number]

    def _partition(self, count: int, repeat: int) -> list["_Parts"]:
        sizes = [self.samples // count] * count
        left_over = self.samples % count  # is always trained on, so that all folds are of one shape
        parts = stratified(self._labels, [*sizes, left_over], seed=repeat)
        everything = np.arange(self.samples)
        return [_Parts(np.setdiff1d(everything, part), np.sort(part)) for part in parts[:count]]

    def _checked(self, count: Any) -> int:
        count = whole_number(
            "folds", count, least=2, what="since every fold is trained on the others", most=10**6
        )
        what = f"the {self.samples} training and validation samples of task {self._task.name!r}"
        if count > self.samples:
            raise ValueError(
                f"folds={count} is more than {what}; every fold holds at least one out. "
                "Lower folds, or pass folds=None."
            )
        classes, members = np.unique(self._labels, return_counts=True)
        smallest = int(np.argmin(members))
        if count > members[smallest]:
            raise ValueError(
                f"folds={count} is larger than the smallest class: of {what}, "
                f"{members[smallest]} are of class {classes[smallest]}, and every fold is to hold "
                "one. Lower folds, or pass folds=None; if y holds numbers and no classes, give "
                "the task floats."
            )
        return count


def training_steps(task: "Task", count: int | None) -> int | None:
    """Optimizer steps of all epochs, the same in each of so many folds; of the task if None."""
    if count is None:
        return task.training_steps
    samples = task.folds.samples
    return -(-task.used(samples - samples // count) // task.batch_size) * task.epochs


def _check_arrays(task: "Task", name: str, split: Any) -> None:
    if is_pipeline(split):
        unknown = " of unknown length" if batch_count(split) is None else ""
        raise ValueError(
            f"folds part samples by their numbers, and {name} of task {task.name!r} is a data "
            f"pipeline{unknown}, whose batches and order are its own: give the task arrays, "
            f"{name}=(x, y), or pass folds=None."
        )


def _together(task: "Task", part: str, train: Arrays, validation: Arrays) -> Arrays:
    def concatenated(train: np.ndarray, validation: np.ndarray) -> np.ndarray:
        if train.shape[1:] != validation.shape[1:]:
            raise ValueError(
                f"folds put training and validation samples together, and {part} of task "
                f"{task.name!r} has shape {train.shape} in train and {validation.shape} in "
                "validation: give samples of one shape, or pass folds=None."
            )
        return np.concatenate([train, validation])

    return keras.tree.map_structure(concatenated, train, validation)


def _weights(task: "Task") -> list[Any]:
    """The weights of all samples in training and in validation; None where the split has none."""
    splits = [task.train, task.validation]
    given = [keras.utils.unpack_x_y_sample_weight(split)[2] for split in splits]
    known = next((weights for weights in given if weights is not None), None)
    if known is None:
        return given

    def ones(split: Split) -> Arrays:
        return keras.tree.map_structure(
            lambda array: np.ones((length(split), *array.shape[1:]), array.dtype), known
        )

    parts = [ones(split) if own is None else own for split, own in zip(splits, given, strict=True)]
    together = _together(task, "sample_weight", *parts)
    return [None if own is None else together for own in given]


def _labels(y: Arrays) -> np.ndarray:
    """The class of each sample, or one for all where y is no class."""
    if isinstance(y, np.ndarray) and y.dtype.kind in "biu" and y.size == len(y):
        return y.reshape(len(y))
    return np.zeros(length((y, y)), "int8")
