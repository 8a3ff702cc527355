"""Which weights one call of a rule updates, and how they are put together for it.

TensorFlow and JAX put tensors together for every call; PyTorch keeps the slots of a bundle in one
piece of memory and updates them in place.
"""

import math
from collections.abc import Collection, Hashable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from keras import ops

# Numbers. A joined vector of this size, with its gradient and slots, still fits into the cache.
_JOINED = 2**18
_STACKED = 2**22


class Treatment(NamedTuple):
    """What a rule is told of the weights that it is run on, beside their numbers.

    Attributes:
        decays: whether weight decay applies.
        part: which member of a composed optimizer they belong to, which of its members, …
    """

    decays: bool = True
    part: tuple[Hashable, ...] = ()


PLAIN = Treatment()


class Weight(NamedTuple):
    """What decides with which other weights one may be put together."""

    shape: tuple[int, ...]
    kind: Hashable
    treatment: Treatment = PLAIN

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class Bundle(NamedTuple):
    """Weights that one call of the rule updates.

    Attributes:
        indices: of the weights.
        weights: what is known of them.
        start: how many numbers come before in all bundles.
        stacked: whether they have one shape and stand along a leading axis, as matrices do; if
            not, several are joined to a vector and one is handed over as it is.
    """

    indices: tuple[int, ...]
    weights: tuple[Weight, ...]
    start: int
    stacked: bool

    @property
    def size(self) -> int:
        return sum(weight.size for weight in self.weights)

    @property
    def treatment(self) -> Treatment:
        return self.weights[0].treatment

    def ends(self) -> list[int]:
        """Where each weight ends in the joined vector."""
        return list(accumulate(weight.size for weight in self.weights))

    def pack(self, tensors: Sequence[Any]):
        if self.stacked:
            return ops.stack(tensors)
        if len(tensors) == 1:
            return tensors[0]
        return ops.concatenate([ops.reshape(tensor, (-1,)) for tensor in tensors])

    def unpack(self, packed) -> list[Any]:
        if self.stacked:
            return [packed[i] for i in range(len(self.indices))]
        if len(self.indices) == 1:
            return [packed]
        pieces = ops.split(packed, self.ends()[:-1])
        return [
            ops.reshape(piece, weight.shape)
            for piece, weight in zip(pieces, self.weights, strict=True)
        ]

    def parts(self, present: Collection[int]) -> list["Bundle"]:
        """Those of its weights that are present and those that are not, as bundles."""
        here = [index in present for index in self.indices]
        if all(here) or not any(here):
            return [self]
        ones = self.alone()
        halves = [
            [one for one, is_here in zip(ones, here, strict=True) if is_here is h]
            for h in (True, False)
        ]
        return [
            Bundle(
                tuple(one.indices[0] for one in half),
                tuple(one.weights[0] for one in half),
                half[0].start,
                self.stacked,
            )
            for half in halves
        ]

    def alone(self) -> list["Bundle"]:
        """Each weight as a bundle of its own."""
        starts = [self.start, *(self.start + end for end in self.ends())]
        return [
            Bundle((index,), (weight,), start, self.stacked)
            for index, weight, start in zip(self.indices, self.weights, starts, strict=False)
        ]


def bundles(
    weights: Sequence[Weight], *, elementwise: bool, small: int = 0, start: int = 0
) -> list[Bundle]:
    """All weights in bundles: small ones joined, or those of one shape stacked.

    A weight without numbers is in none: there is nothing to update, and a rule might take a mean.

    Args:
        weights: of the model, in order.
        elementwise: whether the rule treats every number alone.
        small: for elementwise rules, weights of at most so many numbers are joined.
        start: how many numbers come before the first.
    """
    groups: dict[Hashable, list[list[int]]] = {}
    for i, weight in enumerate(weights):
        if not weight.size:
            continue
        together = weight.size <= (small if elementwise else _STACKED)
        shape = () if elementwise else weight.shape
        key = (weight.kind, weight.treatment, shape) if together else i
        chunks = groups.setdefault(key, [[]])
        filled = sum(weights[j].size for j in chunks[-1])
        if chunks[-1] and filled + weight.size > (_JOINED if elementwise else _STACKED):
            chunks.append([])
        chunks[-1].append(i)
    found = []
    for chunk in (chunk for chunks in groups.values() for chunk in chunks):
        members = tuple(weights[i] for i in chunk)
        found.append(Bundle(tuple(chunk), members, start, not elementwise))
        start += found[-1].size
    return found
