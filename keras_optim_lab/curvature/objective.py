"""What a curvature method may ask of a loss: its value and its derivatives at one vector."""

from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.curvature.layout import Layout

# A full matrix of float32 takes 100 MB at this size, and its eigenvalues some seconds.
LARGEST_MATRIX = 5_000


class Point(NamedTuple):
    """A vector and what is known there; None for what has not been computed."""

    x: Any
    value: Any = None
    gradient: Any = None


class Objective:
    """A scalar function of one vector of weights, with its derivatives on the active backend.

    All methods take and return tensors and can be traced.

    Args:
        value: x, a vector, ↦ the loss, a scalar.
        outputs: x ↦ y, a vector; what the Gauss–Newton matrix is linear in.
        loss: y ↦ the loss, convex in y; `value(x)` is `loss(outputs(x))`, up to a term whose
            curvature the Gauss–Newton matrix leaves out.
        layout: which weights x is made of, where that is known.
    """

    def __init__(
        self,
        value: Callable[[Any], Any],
        outputs: Callable[[Any], Any] | None = None,
        loss: Callable[[Any], Any] | None = None,
        layout: Layout | None = None,
    ):
        self.value = value
        self.outputs = outputs
        self.loss = loss
        self.layout = layout

    def value_and_gradient(self, x) -> tuple[Any, Any]:
        return backend.derivatives().value_and_gradient(self.value)(x)

    def point(self, x) -> Point:
        """x with its value and gradient."""
        return Point(x, *self.value_and_gradient(x))

    # Products, linearized once at x: conjugate gradients ask for many.

    def hessian_products(self, x) -> Callable[[Any], Any]:
        """The map v ↦ H v, with the Hessian H at x."""
        return backend.derivatives().hessian_products(self.value, x)

    def gauss_newton_products(self, x) -> Callable[[Any], Any]:
        """The map v ↦ Jᵀ L J v: J is the Jacobian of the outputs, L the Hessian of their loss."""
        y, forward, transposed = self._linearized(x)
        of_loss = self._loss_products(y)
        return lambda v: transposed(of_loss(forward(v)))

    def hessian_vector_product(self, x, v):
        return self.hessian_products(x)(v)

    def gauss_newton_vector_product(self, x, v):
        return self.gauss_newton_products(x)(v)

    def jacobian_vector_product(self, x, v):
        """J v, the change of the outputs along v."""
        return self._linearized(x)[1](v)

    # Whole matrices, for a few thousand weights.

    def hessian(self, x):
        """The full Hessian at x.

        Raises:
            ValueError: it would be too large.
        """
        return self._matrix(self.hessian_products(x), x, "Hessian")

    def gauss_newton(self, x):
        """The full Gauss–Newton matrix at x; raises as `hessian` does."""
        return self._matrix(self.gauss_newton_products(x), x, "Gauss–Newton matrix")

    def gauss_newton_factor(self, x):
        """R with RᵀR the Gauss–Newton matrix: one row per output.

        Raises:
            ValueError: there are too many outputs.
        """
        if self.loss is half_of_squares:
            return self.jacobian(x)
        y, _, transposed = self._linearized(x)
        of_loss = self._matrix(self._loss_products(y), y, "Hessian of the loss")
        values, vectors = ops.eigh(of_loss)
        roots = ops.sqrt(ops.maximum(values, 0.0))
        return backend.derivatives().map_vectors(
            transposed, roots[:, None] * ops.transpose(vectors)
        )

    def count_outputs(self, x) -> int | None:
        """How many numbers the loss is computed from; None where only the program's run tells."""
        return self._given_outputs()(x).shape[0]

    def jacobian(self, x):
        """The Jacobian of the outputs at x: one row per output."""
        y, forward, transposed = self._linearized(x)
        if y.shape[0] is None or y.shape[0] <= x.shape[0]:
            return backend.derivatives().map_vectors(transposed, _identity(y))
        return ops.transpose(backend.derivatives().map_vectors(forward, _identity(x)))

    def _linearized(self, x):
        return backend.derivatives().linearize(self._given_outputs(), x)

    def _loss_products(self, y):
        assert self.loss is not None
        return backend.derivatives().hessian_products(self.loss, y)

    def _given_outputs(self) -> Callable[[Any], Any]:
        if self.outputs is None:
            raise ValueError(
                "Gauss–Newton methods need what the loss is computed from, and this objective is "
                "a scalar only. Let the function return residuals r(x), a vector, so that "
                "½ Σ r² is minimized, or use NewtonCG or LBFGS."
            )
        return self.outputs

    @staticmethod
    def _matrix(products, x, name: str):
        check_size(x.shape[0] or 0, name)
        return backend.derivatives().map_vectors(products, _identity(x))


def half_of_squares(residuals):
    """½ Σ r², the loss of least squares."""
    return ops.sum(ops.square(residuals)) / 2


def _identity(x):
    return ops.diag(ops.ones_like(x))


def check_size(size: int, name: str = "Hessian") -> None:
    """Raises a ValueError where a matrix of so many rows and columns would be too large."""
    if size > LARGEST_MATRIX:
        raise ValueError(
            f"A full {name} of {size:,} rows takes {4 * size**2 / 2**30:,.1f} GiB; the limit is "
            f"{LARGEST_MATRIX:,} rows. Use NewtonCG or LBFGS, which never build it."
        )
