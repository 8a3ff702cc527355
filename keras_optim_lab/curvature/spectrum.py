"""A symmetric matrix by its eigenvalues: solved with any damping at the cost of two products."""

from typing import Any, NamedTuple

import numpy as np
from keras import ops


class Spectrum(NamedTuple):
    """S V diag(values) Vᵀ S with a diagonal S, on the space that the columns of V span.

    One decomposition serves every damping that a trust region tries, needs no positive definite
    matrix, and has no failure that a compiled program could not report.

    Attributes:
        values: eigenvalues; those that are not above `rounding` may be zero as well.
    """

    values: Any
    vectors: Any
    scale: Any
    rounding: Any
    finite: Any

    @classmethod
    def of(cls, matrix, scale=None) -> "Spectrum":
        """Of a symmetric matrix, with S = diag(`scale`)."""
        scale = ops.ones_like(matrix[0]) if scale is None else scale
        scaled, finite = _finite(matrix / (scale[:, None] * scale[None, :]))
        values, vectors = ops.eigh((scaled + ops.transpose(scaled)) / 2)
        rounding = _rounding(matrix) * ops.max(ops.absolute(values))
        return cls(values, vectors, scale, rounding, finite)

    @classmethod
    def in_own_units(cls, matrix) -> "Spectrum":
        """Of a symmetric matrix, the same in all units of what it is applied to."""
        return cls.of(matrix, _unit(ops.absolute(ops.diagonal(matrix))))

    @classmethod
    def of_factor(cls, factor, scale=None) -> "Spectrum":
        """Of RᵀR, from R itself: the product would lose half of its digits.

        In units of its own, as `in_own_units`, unless there is a scale.
        """
        scale = _unit(ops.sum(ops.square(factor), axis=0)) if scale is None else scale
        scaled, finite = _finite(factor / scale[None, :])
        _, roots, vectors = ops.svd(scaled, full_matrices=False)
        rounding = ops.square(_rounding(factor) * ops.max(roots))
        return cls(ops.square(roots), ops.transpose(vectors), scale, rounding, finite)

    def flipped(self) -> "Spectrum":
        """With every eigenvalue's absolute value."""
        return self._replace(values=ops.absolute(self.values))

    def raised(self, least) -> "Spectrum":
        """With `least` in place of eigenvalues that may be zero, so that none counts as that."""
        values = ops.where(self._zero(self.values), least, self.values)
        return self._replace(values=values, rounding=ops.zeros_like(self.rounding))

    def solve(self, b, damping=0.0):
        """x with (matrix + damping S²) x = b; nothing along eigenvectors of eigenvalue zero."""
        shifted = self.values + damping
        zero = self._zero(shifted)
        inverse = ops.where(zero, 0.0, 1.0 / ops.where(zero, 1.0, shifted))
        along = ops.matmul(ops.transpose(self.vectors), b / self.scale)
        return ops.matmul(self.vectors, inverse * along) / self.scale

    def quadratic_form(self, x):
        """xᵀ (matrix) x."""
        along = ops.matmul(ops.transpose(self.vectors), x * self.scale)
        return ops.sum(self.values * ops.square(along))

    def _zero(self, values):
        return ops.absolute(values) <= self.rounding


def _unit(diagonal):
    return ops.sqrt(ops.where(diagonal > 0, diagonal, 1.0))


def _finite(matrix):
    """The matrix, or zeros if it is not finite, and whether it is."""
    finite = ops.all(ops.isfinite(matrix))
    return ops.where(finite, matrix, 0.0), finite


def _rounding(matrix) -> float:
    """What rounding leaves of an eigenvalue that is zero, as a part of the largest."""
    return max(matrix.shape) * epsilon(matrix)


def epsilon(x) -> float:
    """The spacing of numbers at 1 in the dtype of x."""
    return float(_precision(x).eps)


def smallest(x) -> float:
    """The smallest positive number of full precision in the dtype of x."""
    return float(_precision(x).tiny)


def _precision(x):
    return np.finfo("float64" if "float64" in str(x.dtype) else "float32")
