"""A symmetric matrix by its eigenvalues: solved with any damping at the cost of two products."""

from typing import Any, NamedTuple

import numpy as np
from keras import ops


class Spectrum(NamedTuple):
    """S V diag(values) Vᵀ S with a diagonal S, on the space that the columns of V span.

    One decomposition serves every damping that a trust region tries, needs no positive definite
    matrix, and has no failure that a compiled program could not report.
    """

    values: Any
    vectors: Any
    scale: Any
    finite: Any

    @classmethod
    def of(cls, matrix, scale=None) -> "Spectrum":
        """Of a symmetric matrix, with S = diag(`scale`)."""
        scale = ops.ones_like(matrix[0]) if scale is None else scale
        scaled = matrix / (scale[:, None] * scale[None, :])
        finite = ops.all(ops.isfinite(scaled))
        scaled = ops.where(finite, (scaled + ops.transpose(scaled)) / 2, 0.0)
        values, vectors = ops.eigh(scaled)
        return cls(values, vectors, scale, finite)

    @classmethod
    def of_factor(cls, factor, scale=None) -> "Spectrum":
        """Of RᵀR with fewer rows than columns in R, from the small matrix RRᵀ."""
        scale = ops.ones_like(factor[0]) if scale is None else scale
        factor = factor / scale[None, :]
        small = cls.of(ops.matmul(factor, ops.transpose(factor)))
        kept = small.values > _rounding(small.values)
        roots = ops.sqrt(ops.where(kept, small.values, 1.0))
        vectors = ops.matmul(ops.transpose(factor), small.vectors) / roots
        return cls(ops.where(kept, small.values, 0.0), vectors, scale, small.finite)

    def flipped(self) -> "Spectrum":
        """With every eigenvalue's absolute value."""
        return self._replace(values=ops.absolute(self.values))

    def solve(self, b, damping):
        """x with (matrix + damping S²) x = b; nothing along eigenvectors of eigenvalue zero."""
        shifted = self.values + damping
        solvable = ops.absolute(shifted) > _rounding(shifted)
        inverse = ops.where(solvable, 1.0 / ops.where(solvable, shifted, 1.0), 0.0)
        along = ops.matmul(ops.transpose(self.vectors), b / self.scale)
        return ops.matmul(self.vectors, inverse * along) / self.scale

    def quadratic_form(self, x):
        """xᵀ (matrix) x."""
        along = ops.matmul(ops.transpose(self.vectors), x * self.scale)
        return ops.sum(self.values * ops.square(along))


def _rounding(values):
    """What rounding leaves of an eigenvalue that is zero."""
    return values.shape[0] * epsilon(values) * ops.max(ops.absolute(values))


def epsilon(x) -> float:
    """The spacing of numbers at 1 in the dtype of x."""
    return float(np.finfo("float64" if "float64" in str(x.dtype) else "float32").eps)
