"""Splits: (x, y) or (x, y, sample_weight), and how to part a data set into them."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

import keras
import numpy as np

Arrays: TypeAlias = "np.ndarray | Mapping[str, Arrays] | Sequence[Arrays]"
Split: TypeAlias = tuple[Arrays, Arrays] | tuple[Arrays, Arrays, Arrays]  # with sample weights
SplitParts: TypeAlias = "tuple[Arrays, Arrays, Arrays | None]"  # x, y and perhaps weights
Pair: TypeAlias = tuple[np.ndarray, np.ndarray]  # the plainest Split: one x and one y
SplitName: TypeAlias = Literal["train", "validation", "test"]


class Fold(NamedTuple):
    """One of several ways to part the training and validation samples of a task anew.

    Attributes:
        number: which of the folds is held out for validation, 0 … count − 1.
        count: how many there are, at least 2.
        repeat: 0, 1, …: another partition.
    """

    number: int
    count: int  # type: ignore[assignment]  # tuples count members, which nobody asks of a fold
    repeat: int = 0


def length(split: Split) -> int:
    """Returns the number of samples."""
    return len(keras.tree.flatten(split)[0])


def take(split: Split, samples: slice | np.ndarray) -> Split:
    """Returns some samples of a split."""
    return keras.tree.map_structure(lambda array: array[samples], split)


def stratified(labels: np.ndarray, sizes: Sequence[int], seed: int = 0) -> list[np.ndarray]:
    """Parts samples so that every part holds the classes in the proportions of the whole.

    Args:
        labels: the class of each sample, shape (n,); all equal for a plain random split.
        sizes: the number of samples of each part; they add up to n.
        seed: the split is a function of `labels`, `sizes` and `seed` alone.

    Returns:
        For each part the indices of its samples, in random order.
    """
    # RandomState, unlike Generator, promises the same stream in every version of NumPy.
    rng = np.random.RandomState(seed)
    order = rng.permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    # The classes now lie evenly spread from 0 to 1, so any stretch in between is stratified.
    spread = order[np.argsort(place[order], kind="stable")]
    return [rng.permutation(part) for part in np.split(spread, np.cumsum(sizes)[:-1])]
