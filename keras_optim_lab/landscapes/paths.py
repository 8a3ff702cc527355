"""Paths of a method from many starts, with many learning rates, over many surfaces at once."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.arguments import whole_number
from keras_optim_lab.curvature.minimize import Minimizer
from keras_optim_lab.functional import Functional
from keras_optim_lab.landscapes.surfaces import Surface
from keras_optim_lab.optimizers import Optimizer

# Most steps of a trace or a race: all of them are kept, and shown.
MOST_STEPS = 100_000
# Most steps in one call of the compiled program: enough that a call costs nothing beside them.
_AT_ONCE = 100


class Paths(NamedTuple):
    """Where a method has been, and how high, before every step and after the last one.

    Attributes:
        points: (…, steps + 1, n).
        values: (…, steps + 1), without the noise of a noisy surface.
    """

    points: np.ndarray
    values: np.ndarray


class Descent(Protocol):
    """A method on surfaces of one dimension n."""

    surfaces: tuple[Surface, ...]

    def __call__(self, starts: Any, steps: int, **hyperparameters: Any) -> Paths:
        """Takes `steps` steps from all starts.

        Args:
            starts: (surfaces, starts, n).
            steps: how many.
            **hyperparameters: by name, for each surface and start: (surfaces, starts).
        """


def descent(
    optimizer: Optimizer, surfaces: Sequence[Surface], starts: int, steps: int = _AT_ONCE
) -> Descent:
    """A method on surfaces, compiled once for a number of starts on each.

    Args:
        optimizer: gives the method and all hyperparameters that a call does not replace.
        surfaces: of one dimension n.
        starts: how many on each surface.
        steps: that most calls will take; others may take more or fewer.

    Raises:
        ValueError: the surfaces differ in dimension, or the method minimizes residuals only.
    """
    if optimizer.needs_objective:
        return _OneByOne(optimizer, surfaces)
    return _SideBySide(optimizer, surfaces, starts, min(_AT_ONCE, steps + 1))


class _OneByOne:
    """A curvature method: its steps take searches of different lengths."""

    def __init__(self, optimizer: Optimizer, surfaces: Sequence[Surface]):
        check_scalar(optimizer)
        self.surfaces = tuple(surfaces)
        self._minimizers = [Minimizer(surface, optimizer) for surface in surfaces]

    def __call__(self, starts: Any, steps: int, **hyperparameters: Any) -> Paths:
        every = [
            [
                self._path(
                    minimizer, start, steps, {n: float(v[i][j]) for n, v in hyperparameters.items()}
                )
                for j, start in enumerate(np.asarray(starts[i], "float32"))
            ]
            for i, minimizer in enumerate(self._minimizers)
        ]
        points, values = (
            np.stack([[path[part] for path in paths] for paths in every]) for part in (0, 1)
        )
        return Paths(points, values)

    def _path(self, minimizer: Minimizer, start: Any, steps: int, numbers: Any) -> Paths:
        path = minimizer(start, steps=steps, **numbers).path
        stays = steps + 1 - len(path)  # where it has ended
        return Paths(
            np.pad(path.x, ((0, stays), (0, 0)), "edge"), np.pad(path.fun, (0, stays), "edge")
        )


class _SideBySide:
    """A rule of gradients: all starts are rows of one program."""

    def __init__(
        self, optimizer: Optimizer, surfaces: Sequence[Surface], starts: int, at_once: int
    ):
        dimensions = {surface.dimension for surface in surfaces}
        if len(dimensions) != 1:
            raise ValueError(
                "Surfaces that are run together have one dimension. Received: "
                f"{', '.join(f'{s.name} in {s.dimension}' for s in surfaces)}"
            )
        (self.dimension,) = dimensions
        self.surfaces = tuple(surfaces)
        self._at_once = at_once
        self._functional = Functional(optimizer)
        self._shape = (len(self.surfaces), starts)
        rows = backend.rows()
        self._gradient = rows.gradient(self._loss)
        self._update = rows.vmap(self._update_row)
        self._defaults = {
            name: field.to_held(field.number(optimizer))
            for name, field in optimizer.numeric.items()
            if field.given(optimizer) is not None
        }
        self._program: Any = None

    def __call__(self, starts: Any, steps: int, **hyperparameters: Any) -> Paths:
        carry = self._first(np.asarray(starts, "float32"))
        held = self._held(hyperparameters)
        if self._program is None:
            # It gives its state up, so it is compiled with one of its own.
            self._program = backend.rows().Program(
                self._steps, self._first(np.asarray(starts, "float32")), held
            )
        seen = []
        for _ in range(0, steps + 1, self._at_once):
            carry, passed = self._program(carry, held)
            seen.append([_array(each) for each in passed])
        points, values = (np.concatenate(parts)[: steps + 1] for parts in zip(*seen, strict=True))
        points = points.reshape(-1, *self._shape, self.dimension)
        return Paths(np.moveaxis(points, 0, 2), np.moveaxis(values, 0, 2))

    def _first(self, starts: np.ndarray) -> tuple[Any, Any]:
        count = self._shape[0] * self._shape[1]
        x = ops.convert_to_tensor(starts.reshape(count, self.dimension))
        state = self._functional.init([x[0]])
        return x, keras.tree.map_structure(
            lambda value: ops.broadcast_to(value, (count, *value.shape)), state
        )

    def _held(self, hyperparameters: dict[str, Any]) -> dict[str, Any]:
        fields = self._functional.optimizer.numeric
        count = self._shape[0] * self._shape[1]
        held = {name: np.full(count, number) for name, number in self._defaults.items()}
        for name, values in hyperparameters.items():
            held[name] = fields[name].to_held(np.asarray(values, "float64").reshape(count))
        return {name: ops.convert_to_tensor(each.astype("float32")) for name, each in held.items()}

    # The program: pure functions of tensors.

    def _steps(self, carry: Any, held: Any) -> tuple[Any, tuple[Any, ...]]:
        points = ops.zeros((self._at_once, *carry[0].shape), carry[0].dtype)
        values = ops.zeros((self._at_once, *self._shape), carry[0].dtype)

        def body(i: Any, loop: Any) -> tuple[Any, Any, Any]:
            carry, points, values = loop
            carry, (x, heights) = self._step(carry, held)
            points = ops.slice_update(points, (i, 0, 0), x[None])
            return carry, points, ops.slice_update(values, (i, 0, 0), heights[None])

        carry, *passed = backend.rows().fori_loop(self._at_once, body, (carry, points, values))
        return carry, tuple(passed)

    def _step(self, carry: Any, held: Any) -> tuple[Any, tuple[Any, Any]]:
        x, state = carry
        gradients, values = self._gradient([x], state.step[0])
        (moved,), state = self._update([x], gradients, state, held)
        return (moved, state), (x, values)

    def _update_row(self, weights: Any, gradients: Any, state: Any, held: Any) -> tuple[Any, Any]:
        held = {**dict.fromkeys(self._functional.optimizer.numeric), **held}
        return self._functional.advance(weights, gradients, state, held)

    def _loss(self, weights: Any, step: Any) -> tuple[Any, Any]:
        # The gradient of the sum over all starts holds that of each.
        points = ops.reshape(weights[0], (*self._shape, self.dimension))
        seen = sum(ops.sum(s.at_step(points[i], step)) for i, s in enumerate(self.surfaces))
        return seen, ops.stack([s(points[i]) for i, s in enumerate(self.surfaces)])


def check_steps(owner: str, steps: Any) -> int:
    """Returns a number of steps whose end somebody could see."""
    return whole_number("steps", steps, most=MOST_STEPS, what="all of which are kept", owner=owner)


def check_scalar(optimizer: Optimizer) -> None:
    """Refuses a method that minimizes sums of squares: a surface gives one value."""
    if getattr(optimizer, "least_squares", False):
        raise ValueError(
            f"{type(optimizer).__name__} minimizes squares of residuals, and a surface gives one "
            "value. Use kol.minimize with a function that returns residuals, or Newton here."
        )


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))
