"""Which way to go: directions from the gradient and products with a matrix."""

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_optim_lab.curvature.spectrum import epsilon


def conjugate_gradients(
    products: Callable[[Any], Any], gradient, most: int
) -> tuple[Any, Any, Any]:
    """Solves H p = −g roughly, by products with H alone.

    The equation is solved the better the nearer the minimum is: to ½ or √‖g‖ of ‖g‖. It ends at
    a direction of negative curvature, with what has been solved; if that is the gradient's own,
    with a step along it as if the curvature were positive.

    Args:
        products: v ↦ H v.
        gradient: g.
        most: iterations at most.

    Returns:
        p, the number of products, and whether all of them were finite; if not, p is 0.

    Reference:
        Nocedal & Wright, 2006, Algorithm 7.1; Dembo & Steihaug, 1983, doi:10.1007/BF02592055.
    """
    norm = ops.norm(gradient)
    tolerance = ops.minimum(0.5, ops.sqrt(norm)) * norm

    def again(p, residual, direction, squared, ended, count):
        unsolved = ops.sqrt(squared) > tolerance
        return ops.logical_and(ops.logical_and(unsolved, ops.logical_not(ended)), count < most)

    def iterate(p, residual, direction, squared, ended, count):
        product = products(direction)
        curvature = ops.sum(direction * product)
        ended = curvature <= 0
        flat = ops.abs(curvature) <= epsilon(p) * ops.sum(ops.square(direction))
        length = squared / ops.where(flat, ops.sum(ops.square(direction)), ops.abs(curvature))
        first = ops.equal(count, 0)
        p = ops.where(ops.logical_and(ended, ops.logical_not(first)), p, p + length * direction)
        residual = residual + length * product
        remaining = ops.sum(ops.square(residual))
        direction = -residual + remaining / squared * direction
        return p, residual, direction, remaining, ops.logical_or(ended, flat), count + 1

    p, _, _, squared, _, count = ops.while_loop(
        again,
        iterate,
        (
            ops.zeros_like(gradient),
            gradient,
            -gradient,
            ops.sum(ops.square(gradient)),
            ops.zeros_like(norm, dtype="bool"),
            ops.convert_to_tensor(0, "int32"),
        ),
    )
    finite = ops.isfinite(squared)
    return ops.where(finite, p, 0.0), count, finite


def two_loop(gradient, steps, changes):
    """−H g with the inverse Hessian H that L-BFGS makes of its last pairs.

    Each of the two loops over the pairs solves a triangular system of their products; written as
    that, it takes few operations instead of some for every pair.

    Args:
        gradient: g.
        steps, changes: the last steps s and changes y of the gradient, a row for each, the newest
            last; rows of zeros where there is none yet.

    Reference:
        Nocedal, 1980, doi:10.1090/S0025-5718-1980-0572855-7; Nocedal & Wright, 2006,
        Algorithm 7.4. As triangular systems: Byrd, Nocedal & Schnabel, 1994,
        doi:10.1007/BF01582063.
    """
    products = ops.sum(steps * changes, axis=1)
    known = products > 0
    # A pair that is not there yet has a row of its own in the system, and the solution 0.
    system = ops.triu(ops.matmul(steps, ops.transpose(changes)))
    system = system + ops.diag(ops.cast(ops.logical_not(known), steps.dtype))
    weights = ops.solve_triangular(system, ops.matmul(steps, gradient))
    q = gradient - ops.matmul(weights, changes)
    # Before there is a pair, a first step of length 1, or of the gradient's where that is less.
    first = 1.0 / ops.maximum(ops.norm(gradient), 1.0)
    newest = ops.sum(ops.square(changes[-1]))
    q = q * ops.where(known[-1], products[-1] / ops.where(known[-1], newest, 1.0), first)
    back = products * weights - ops.matmul(changes, q)
    back = ops.solve_triangular(ops.transpose(system), back, lower=True)
    return -q - ops.matmul(back, steps)


def is_curved(step, change, gradient):
    """Whether the gradient has changed along a step by more than rounding, and upwards."""
    return ops.sum(step * change) > epsilon(step) * ops.abs(ops.sum(step * gradient))


def remember(rows, row, kept):
    """The rows with a new last one in place of the first, or as they are if it is not kept."""
    return ops.where(kept, ops.concatenate([rows[1:], row[None]]), rows)
