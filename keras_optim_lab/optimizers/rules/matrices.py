"""What rules on matrices share. Matrices of one shape are stacked along a first axis."""

import math

from keras import ops

from keras_optim_lab.optimizers.rules.norms import norm


def as_matrices(x):
    """Weights of rank ≥ 2 as matrices of inputs by outputs: a kernel of any rank is flattened."""
    return ops.reshape(x, (x.shape[0], *matrix_shape(x.shape[1:])))


def matrix_shape(shape):
    return math.prod(shape[:-1]), shape[-1]


def transposed(x):
    return ops.transpose(x, (0, 2, 1))


def orthogonalized(x, steps: int, dtype: str | None = None):
    """The nearest orthogonal matrices, roughly: singular values between 0.7 and 1.2.

    A few steps of a Newton–Schulz iteration, X ← a X + (b A + c A²) X with A = X Xᵀ, whose
    coefficients are those of Jordan, 2024: chosen to raise small singular values fast. It bears
    being done in another dtype than that of x.
    """
    tall = x.shape[1] > x.shape[2]
    x = transposed(x) if tall else x
    own = x.dtype
    x = ops.cast(x / (norm(x) + 1e-7), dtype or own)
    for _ in range(steps):
        square = ops.matmul(x, transposed(x))
        x = 3.4445 * x + ops.matmul(2.0315 * ops.matmul(square, square) - 4.775 * square, x)
    return ops.cast(transposed(x) if tall else x, own)
