"""How far the weights of one run lie apart on different backends."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keras_optim_lab.comparison.plan import Tensor

PER_STEP = 1e-6


def tolerance(step: int) -> float:
    """The relative difference that rounding may leave after so many steps: 1e-6 for each."""
    return PER_STEP * step


@dataclass(frozen=True)
class Difference:
    """The largest relative difference between two backends after a step, and where it is.

    max |a − b| / max |a| of a tensor, with the larger max of the two; the largest over all
    trainable weights and pairs of backends. Infinite where a number is NaN or infinite on one
    backend only.

    Attributes:
        step: how many steps the weights have taken.
        relative: the difference.
        tensor: name of the weight.
        index: where in it.
        backends: which two.
    """

    step: int
    relative: float
    tensor: str
    index: tuple[int, ...]
    backends: tuple[str, str]

    @property
    def beyond(self) -> bool:
        return not self.relative <= tolerance(self.step)


def differences(
    weights: Mapping[str, np.ndarray], tensors: Sequence[Tensor], recorded: Sequence[int]
) -> list[Difference]:
    """The largest difference after every recorded step; none for fewer than two backends.

    Args:
        weights: for each backend an array (recorded steps, numbers).
        tensors: how the numbers part into weights.
    """
    found: list[Difference | None] = [None] * len(recorded)
    for (a, of_a), (b, of_b) in itertools.combinations(weights.items(), 2):
        for tensor in tensors:
            relative, where = _relative(of_a[:, tensor.place], of_b[:, tensor.place])
            for i, step in enumerate(recorded):
                best = found[i]
                if best is None or relative[i] > best.relative:
                    index = tuple(int(n) for n in np.unravel_index(where[i], tensor.shape))
                    found[i] = Difference(step, float(relative[i]), tensor.name, index, (a, b))
    return [difference for difference in found if difference is not None]


def _relative(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row the relative difference, and the column where it is."""
    a, b = a.astype("float64"), b.astype("float64")
    with np.errstate(invalid="ignore"):
        apart = np.abs(a - b)
    apart[(a == b) | (np.isnan(a) & np.isnan(b))] = 0.0
    apart[np.isnan(apart)] = np.inf
    where = apart.argmax(axis=1)
    largest = apart[np.arange(len(apart)), where]
    size = np.maximum(_finite_max(a), _finite_max(b))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(largest == 0.0, 0.0, largest / size), where


def _finite_max(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), np.abs(values), 0.0).max(axis=1)
