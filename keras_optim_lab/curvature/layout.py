"""How weights of many shapes lie in one vector."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops


class Layout:
    """The places of a nested container's tensors in one vector of at least float32.

    Args:
        tree: tensors, arrays or variables; only their shapes and dtypes are kept.

    Attributes:
        size: numbers in the vector.
        dtype: of the vector: float64 where a tensor is that, else float32.
    """

    def __init__(self, tree: Any):
        leaves = keras.tree.flatten(tree)
        self._structure = keras.tree.map_structure(lambda _: 0, tree)
        # On TensorFlow the size of a batch may be a tensor.
        self._shapes = [tuple(ops.shape(leaf)) for leaf in leaves]
        self._dtypes = [keras.backend.standardize_dtype(leaf.dtype) for leaf in leaves]
        self.dtype = "float64" if "float64" in self._dtypes else "float32"
        self._ends = list(itertools.accumulate(math.prod(shape) for shape in self._shapes))
        self.size = self._ends[-1] if self._ends else 0
        self.signature = (str(self._structure), tuple(self._shapes), tuple(self._dtypes))

    @property
    def places(self) -> list[slice]:
        """Where each tensor lies in the vector."""
        return [slice(a, b) for a, b in itertools.pairwise([0, *self._ends])]

    def join(self, tree: Any) -> Any:
        """The tensors one after the other."""
        leaves = keras.tree.flatten(tree)
        flat = [ops.reshape(ops.cast(leaf, self.dtype), (-1,)) for leaf in leaves]
        return flat[0] if len(flat) == 1 else ops.concatenate(flat)

    def split(self, x: Any) -> Any:
        """The container of tensors, each in its own dtype."""
        pieces = zip([0, *self._ends[:-1]], self._ends, self._shapes, self._dtypes, strict=True)
        leaves = [ops.cast(ops.reshape(x[a:b], shape), dtype) for a, b, shape, dtype in pieces]
        return keras.tree.pack_sequence_as(self._structure, leaves)

    def mapped(self, function: Callable[[Any], Any], x: Any) -> Any:
        """The vector after `function` of each tensor, which may return a smaller one to spread."""
        parts = keras.tree.flatten(self.split(x))
        spread = [ops.broadcast_to(function(part), part.shape) for part in parts]
        return self.join(spread)

    def filled(self, numbers: Any) -> Any:
        """A vector with one number for all of each tensor."""
        sizes = np.diff([0, *self._ends])
        return ops.convert_to_tensor(np.repeat(np.asarray(numbers, self.dtype), sizes))

    def split_path(self, path: np.ndarray) -> Any:
        """The container of arrays from vectors stacked along a first axis, in their dtype."""
        pieces = zip([0, *self._ends[:-1]], self._ends, self._shapes, self._dtypes, strict=True)
        leaves = [
            path[..., a:b].reshape(path.shape[:-1] + shape).astype(_numpy_dtype(dtype))
            for a, b, shape, dtype in pieces
        ]
        return keras.tree.pack_sequence_as(self._structure, leaves)


def _numpy_dtype(dtype: str) -> str:
    return "float32" if dtype == "bfloat16" else dtype  # NumPy has none
