"""The scalars of a step."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from keras_optim_lab.backend.torch.private import tree


class Scalars(NamedTuple):
    """The scalars of a step as tensors, and how they are named and put together."""

    tensors: Sequence[Any]
    layout: "Layout"
    vector: Any = None  # all of them in float32, where they are there as such

    def named(self) -> dict[str, Any]:
        return self.layout(self.tensors)

    def together(self):
        """As one vector, for programs that take every argument by itself."""
        if self.vector is None:
            return torch.stack([tensor.float() for tensor in self.tensors])
        return self.vector

    def on(self, device) -> "Scalars":
        """On the device of the weights, which may have moved since they were built."""
        if self.tensors[0].device == device:
            return self
        return self._replace(tensors=[tensor.to(device) for tensor in self.tensors])


class Layout(NamedTuple):
    leaves: list[Any]  # None for every tensor
    places: list[int]  # of tensors
    spec: Any

    def __call__(self, tensors):
        leaves = list(self.leaves)
        for place, tensor in zip(self.places, tensors, strict=True):
            leaves[place] = tensor
        return tree.tree_unflatten(leaves, self.spec)


def flat(h) -> tuple[list[Any], Layout]:
    leaves, spec = tree.tree_flatten(h)
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
    tensors = [leaves[i] for i in places]
    return tensors, Layout([None if i in places else x for i, x in enumerate(leaves)], places, spec)


class Memory:
    """Where the numbers of a step are put: tensors that stay the same."""

    def __init__(self, dtypes):
        self.vector = torch.zeros(len(dtypes))
        self.tensors = [
            place if dtype is torch.float32 else torch.zeros((), dtype=dtype)
            for place, dtype in zip(self.vector, dtypes, strict=True)
        ]
        self._array = self.vector.numpy()
        special = [k for k, dtype in enumerate(dtypes) if dtype is not torch.float32]
        self._special = [(k, self.tensors[k].numpy()) for k in special]

    def put(self, numbers):
        self._array[:] = numbers
        for k, place in self._special:
            place[...] = numbers[k]
