"""What Shampoo and SOAP share: a matrix for every axis of a weight, in place of one for all of it.

Weights of one shape are stacked along a first axis. Their own axes are merged and cut into blocks
first; the blocks of all of them then stand along the first axis.
"""

import math
from typing import NamedTuple

from keras import ops

from keras_optim_lab import backend

_USUAL = 1e15  # up to it, and from its inverse on, sums of squares are no trouble for float32


class Axes(NamedTuple):
    """The axes of a weight as these methods see them.

    Attributes:
        lengths: of the axes.
        counts: into how many equal blocks each is cut; the last one is filled up with zeros.
        longest: of a block's axes, the longest that gets a matrix.
    """

    lengths: tuple[int, ...]
    counts: tuple[int, ...]
    longest: int

    @classmethod
    def whole(cls, shape, longest: int) -> "Axes":
        """Without cutting: axes that are too long get no matrix."""
        lengths = merged(shape)
        return cls(lengths, (1,) * len(lengths), longest)

    @classmethod
    def in_blocks(cls, shape, longest: int) -> "Axes":
        """Cut so that every axis of a block gets a matrix."""
        lengths = merged(shape)
        return cls(lengths, tuple(-(-length // longest) for length in lengths), longest)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Of a block."""
        return tuple(-(-n // count) for n, count in zip(self.lengths, self.counts, strict=True))

    @property
    def matrix_sizes(self) -> list[int]:
        return [size if size <= self.longest else 0 for size in self.sizes]

    @property
    def slot(self) -> tuple[int, int] | None:
        """Shape of a slot for all matrices of a weight: a row for each block."""
        numbers = sum(size * size for size in self.matrix_sizes)
        return (math.prod(self.counts), numbers) if numbers else None

    def blocks(self, x):
        """From (n, …) to (n · blocks, …)."""
        x = ops.reshape(x, (x.shape[0], *self.lengths))
        if math.prod(self.counts) == 1:
            return x
        whole = [count * size for count, size in zip(self.counts, self.sizes, strict=True)]
        x = ops.pad(x, [(0, 0), *((0, w - n) for w, n in zip(whole, self.lengths, strict=True))])
        pairs = [n for pair in zip(self.counts, self.sizes, strict=True) for n in pair]
        x = ops.transpose(ops.reshape(x, (x.shape[0], *pairs)), self._blocks_first())
        return ops.reshape(x, (-1, *self.sizes))

    def joined(self, x, shape):
        """Back from `blocks` to (n, …) of this shape."""
        if math.prod(self.counts) > 1:
            order = self._blocks_first()
            x = ops.reshape(x, (shape[0], *self.counts, *self.sizes))
            x = ops.transpose(x, [order.index(axis) for axis in range(len(order))])
            whole = [count * size for count, size in zip(self.counts, self.sizes, strict=True)]
            x = ops.reshape(x, (shape[0], *whole))
            x = x[(slice(None), *(slice(length) for length in self.lengths))]
        return ops.reshape(x, shape)

    def _blocks_first(self) -> list[int]:
        count = len(self.lengths)
        return [0, *range(1, 2 * count, 2), *range(2, 2 * count + 1, 2)]

    def matrices(self, slot) -> list:
        """The matrices in a slot, (n · blocks, size, size) for each axis, or None."""
        found, first = [], 0
        for size in self.matrix_sizes:
            part = slot[..., first : first + size * size]
            found.append(ops.reshape(part, (-1, size, size)) if size else None)
            first += size * size
        return found

    def packed(self, matrices, slot):
        """Matrices as such a slot."""
        flat = [ops.reshape(m, (*slot.shape[:2], -1)) for m in matrices if m is not None]
        return flat[0] if len(flat) == 1 else ops.concatenate(flat, axis=-1)

    def squares(self, x) -> list:
        """For every axis with a matrix the products of blocks with themselves over all others."""
        found = []
        for size in self.matrix_sizes:
            rows = ops.reshape(x, (x.shape[0], x.shape[1], -1))
            turned = ops.transpose(rows, (0, 2, 1))
            found.append(ops.matmul(rows, turned) if size else None)
            x = ops.reshape(turned, (x.shape[0], *x.shape[2:], x.shape[1]))
        return found

    def averaged(self, slot, g, share):
        """(1 − share) of the slot and `share` of the squares of g."""
        squares = self.packed(self.squares(self.blocks(g)), slot)
        return backend.updates().lerp(slot, squares, share)


def merged(shape) -> tuple[int, ...]:
    """A kernel's axes, neighbours merged as long as they are not longer than its longest axis.

    So heads and their dimensions are one axis of attention, as is a window of a convolution, and
    no matrix is larger for it.
    """
    if len(shape) < 3:
        return tuple(shape)
    lengths = [shape[0]]
    for length in shape[1:]:
        if lengths[-1] * length <= max(shape):
            lengths[-1] *= length
        else:
            lengths.append(length)
    return tuple(lengths)


def has_axes(place) -> bool:
    """Whether a weight is more than a vector."""
    return len(place.shape) > 1 and math.prod(place.shape) > 0


def matrices_of(optimizer, place):
    """Shape of a slot for the matrices of a weight, None for a vector."""
    return optimizer.axes(place.shape).slot if has_axes(place) else None


def multiplied(x, matrices):
    """Blocks, each of their axes multiplied by its matrix from the right."""
    for matrix in matrices:
        n, size, *others = x.shape
        x = ops.transpose(ops.reshape(x, (n, size, -1)), (0, 2, 1))
        if matrix is not None:
            x = ops.matmul(x, matrix)
        x = ops.reshape(x, (n, *others, size))
    return x


def transposed(matrices) -> list:
    return [None if m is None else ops.transpose(m, (0, 2, 1)) for m in matrices]


def inverse_root(matrix, power: int, floor, *, relative: bool):
    """(A + ε I)^(−1/p) of symmetric matrices A ≥ 0; directions that they lack are left out.

    Args:
        matrix: (n, size, size).
        power: p.
        floor: ε, if `relative` as a share of the largest eigenvalue of each.
        relative: whether it is.
    """
    values, vectors = ops.eigh(matrix)
    values = ops.maximum(values, 0.0)
    values = values + floor * (values[:, -1:] if relative else 1.0)
    roots = ops.where(values > 0.0, ops.where(values > 0.0, values, 1.0) ** (-1.0 / power), 0.0)
    return ops.matmul(vectors * roots[:, None, :], ops.transpose(vectors, (0, 2, 1)))


def eigenbasis(matrix):
    """Eigenvectors of symmetric matrices as columns, those of the largest eigenvalues first."""
    return ops.flip(ops.eigh(matrix)[1], axis=-1)


def orthonormal(matrix):
    """Q of the QR decomposition of each matrix, (n, size, size), whatever the size of its numbers.

    TensorFlow adds up their squares as they are: large ones become NaN, small ones the identity.
    """
    largest = ops.max(ops.abs(matrix), axis=(1, 2), keepdims=True)
    usual = ops.logical_and(largest > 1.0 / _USUAL, largest < _USUAL)  # division would round them
    return ops.qr(matrix / ops.where(ops.logical_or(usual, largest <= 0.0), 1.0, largest))[0]


def every(condition, renew, state: list) -> list:
    """`renew(state)` where the condition, a tensor, holds; else the state as it is."""
    return backend.rows().cond(condition, renew, lambda state: state, state)
