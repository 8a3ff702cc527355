"""What the papers of Shampoo and SOAP share: a matrix for every axis of a tensor."""

import numpy as np


def without_single(g):
    """A kernel of more than two axes, those of length one merged with their neighbours."""
    return np.squeeze(g) if g.ndim > 2 else g


def squares(g):
    """g gᵀ over all other axes, for every axis."""
    unfolded = [np.moveaxis(g, axis, 0).reshape(length, -1) for axis, length in enumerate(g.shape)]
    return [x @ x.T for x in unfolded]


def multiplied(x, matrices):
    for axis, matrix in enumerate(matrices):
        x = np.moveaxis(np.tensordot(x, matrix, axes=(axis, 0)), -1, axis)
    return x


def packed(matrices):
    """In the order in which the package keeps them, one row."""
    return np.concatenate([np.ravel(matrix) for matrix in matrices])[None]


def unpacked(row, lengths):
    parts = np.split(np.ravel(row), np.cumsum([length**2 for length in lengths])[:-1])
    return [part.reshape(length, length) for part, length in zip(parts, lengths, strict=True)]
