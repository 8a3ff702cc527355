"""`minimize`: any optimizer of the package on a plain function, with a result as SciPy's."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.curvature.layout import Layout
from keras_optim_lab.curvature.objective import Objective, Point
from keras_optim_lab.curvature.optimizer import CurvatureOptimizer
from keras_optim_lab.curvature.step_rules import AT_PRECISION, NO_DECREASE, NOT_FINITE, Effort
from keras_optim_lab.functional import Functional, State, at_step, held_numbers
from keras_optim_lab.optimizers import Optimizer, catalogue
from keras_optim_lab.optimizers.slots import Record


@dataclass(frozen=True)
class Path:
    """Where a minimization went: the start, then the end of every step, in their order.

    Attributes:
        x: positions, nested as the start, each array with a first axis of nit + 1; for a start that
            is one array, `path.x[-1]` is where the last step has led.
        fun: the function's values there, of shape (nit + 1,), as they were seen: those of a noisy
            function with its noise.
    """

    x: Any
    fun: np.ndarray

    def __len__(self) -> int:
        return len(self.fun)


@dataclass(frozen=True)
class MinimizeResult:
    """What `minimize` found, in SciPy's names.

    Attributes:
        x: the point with the lowest value among the start and the ends of all steps, not the last
            one; NumPy arrays, nested as the start. Where `fun` is noisy its value is a lucky draw:
            take the end, or an average of the last positions, from `path`.
        fun: the function there; for residuals r, ½ Σ r².
        jac: its gradient there, nested as `x`.
        nit: steps taken.
        nfev, njev, nhev: evaluations of the function, of its gradient, and products with its
            Hessian (or Gauss–Newton matrix), those within line searches included.
        success: whether the gradient fell to `tol`, or no decrease was left that rounding shows.
        message: why it ended.
        path: every position and value on the way.
    """

    x: Any
    fun: float
    jac: Any
    nit: int
    nfev: int
    njev: int
    nhev: int
    success: bool
    message: str
    path: Path

    def __repr__(self) -> str:
        shown = ("message", "success", "fun", "x", "nit", "jac", "nfev", "njev", "nhev")
        return "\n".join(f"{name:>8}: {getattr(self, name)}" for name in shown)


def minimize(
    fun: Callable[[Any], Any],
    x0: Any,
    optimizer: str | Optimizer = "lbfgs",
    *,
    steps: int = 1000,
    tol: float | None = 1e-6,
) -> MinimizeResult:
    """Minimizes a function with any optimizer of the package.

        result = kol.minimize(lambda x: ops.sum((x - 3) ** 2), [0.0, 0.0], "newton")
        result.x                                # array([3., 3.])

    Args:
        fun: takes x as tensors of the active backend and returns a scalar tensor; it is
            differentiated and compiled, so it computes with `keras.ops` or the backend's own
            functions. For Gauss–Newton methods it may return residuals r, any shape, and
            ½ Σ r² is minimized.
        x0: where to start: a number, an array or tensor, or a nested container (list, dict) of
            these; numbers in a list are one vector. The dtype is kept; Python numbers are float64.
        optimizer: an optimizer, which is not changed, or its name for the default settings.
        steps: how many to take at most.
        tol: ends when no component of the gradient is larger; None to take all steps.

    Returns:
        The result; an end that is no success is said in its `message` and raises nothing.

    Raises:
        TypeError: x0 holds integers or what is no number; `fun` returns no scalar.
        ValueError: the function or its gradient is not finite at x0; there is no such optimizer;
            there are too many weights for a full Hessian.
    """
    return Minimizer(fun, optimizer)(x0, steps=steps, tol=tol)


class Minimizer:
    """`minimize` for many starts or settings: its step is compiled once for each shape of x0.

    Args:
        fun, optimizer: as in `minimize`.

    Attributes:
        traces: how often a step has been traced; on PyTorch, how often it was called.
    """

    def __init__(self, fun: Callable[[Any], Any], optimizer: str | Optimizer = "lbfgs"):
        self.fun = fun
        self.optimizer = catalogue.get(optimizer)
        if not isinstance(self.optimizer, Optimizer):
            raise TypeError(
                "optimizer: a name or an optimizer of this package. Received: "
                f"optimizer={optimizer!r}; kol.optimizers.names() lists them."
            )
        self.traces = 0
        self._programs: dict[tuple, _Program] = {}

    def __call__(
        self, x0: Any, *, steps: int = 1000, tol: float | None = 1e-6, **hyperparameters: float
    ) -> MinimizeResult:
        """Minimizes from x0.

        Args:
            x0, steps, tol: as in `minimize`.
            **hyperparameters: numbers in place of the optimizer's own, without a new trace.
        """
        _check_limits(steps, tol)
        start = _checked_start(x0)
        layout = Layout(start)
        numbers = self._numbers(hyperparameters)
        program = self._programs.get(layout.signature)
        if program is None:
            program = self._programs[layout.signature] = _Program(self, layout)
        with backend.derivatives().precision(layout.dtype):
            return program.run(start, steps, tol, numbers)

    def _numbers(self, hyperparameters: dict[str, float]) -> dict[str, float | None]:
        numbers = held_numbers(self.optimizer)
        owner = type(self.optimizer).__name__
        for name, value in hyperparameters.items():
            if numbers.get(name) is None:
                known = [known for known, number in numbers.items() if number is not None]
                raise TypeError(f"{owner} has no number {name!r} to replace; there are {known}.")
            number = self.optimizer.numeric[name]
            numbers[name] = number.to_held(number.check(owner, value))
        return numbers


class _Program:
    """The compiled beginning and step for starts of one layout."""

    def __init__(self, owner: Minimizer, layout: Layout):
        self.owner = owner
        self.optimizer = owner.optimizer
        self.layout = layout
        self.objective = _objective(owner.fun, self.optimizer, layout)
        derivatives = backend.derivatives()
        self._begin = derivatives.compiled(self.objective.value_and_gradient)
        self._step = derivatives.compiled(self._traced)
        if isinstance(self.optimizer, CurvatureOptimizer):
            self._method: _Curvature | _FirstOrder = _Curvature(self.optimizer, layout)
        else:
            self._method = _FirstOrder(self.optimizer, layout)

    def _traced(self, point: Point, state, iteration, numbers):
        self.owner.traces += 1
        held = at_step(self.optimizer, numbers, iteration)
        after, state, effort = self._method.advance(self.objective, point, state, iteration, held)
        if after.gradient is None:
            after = self.objective.point(after.x)
            effort = effort._replace(values=effort.values + 1, gradients=effort.gradients + 1)
        steepest = ops.max(ops.abs(after.gradient))
        counts = ops.stack([ops.cast(count, "int32") for count in effort])
        return after, state, steepest, counts

    def run(self, start, steps: int, tol: float | None, numbers) -> MinimizeResult:
        x = self.layout.join(keras.tree.map_structure(ops.convert_to_tensor, start))
        point = Point(x, *self._begin(x))
        _check_finite(point)
        walk = _Walk(point, tol)
        state = self._method.first_state()
        held = {
            name: None if number is None else ops.convert_to_tensor(number, self.layout.dtype)
            for name, number in numbers.items()
        }
        while walk.message is None and walk.nit < steps:
            iteration = ops.convert_to_tensor(walk.nit, "int32")
            point, state, steepest, counts = self._step(point, state, iteration, held)
            walk.note(point, float(steepest), ops.convert_to_numpy(counts))
        return walk.result(self.layout, steps)


class _Curvature:
    def __init__(self, optimizer: CurvatureOptimizer, layout: Layout):
        self.optimizer = optimizer
        self.layout = layout

    def first_state(self):
        return dict(self.optimizer.first_state(self.layout))

    def advance(self, objective, point, state, iteration, held):
        h = self.optimizer.scalars(held, iteration).cast(self.layout.dtype)
        after, state, effort = self.optimizer.advance(objective, point, Record(state), h)
        return after, dict(state), effort


class _FirstOrder:
    def __init__(self, optimizer: Optimizer, layout: Layout):
        self.functional = Functional(optimizer)
        self.layout = layout

    def first_state(self):
        zeros = ops.zeros((self.layout.size,), self.layout.dtype)
        return self._in_dtype(self.functional.init(self.layout.split(zeros)))

    def advance(self, objective, point, state, iteration, held):
        params, gradients = self.layout.split(point.x), self.layout.split(point.gradient)
        params, state = self.functional.advance(params, gradients, state, held)
        return Point(self.layout.join(params)), self._in_dtype(state), Effort()

    def _in_dtype(self, state: State) -> State:
        shared = {name: ops.cast(x, self.layout.dtype) for name, x in state.shared.items()}
        return state._replace(shared=shared)


class _Walk:
    """The path so far, and whether it is at its end."""

    def __init__(self, point: Point, tol: float | None):
        self._tol = tol
        self._points: list[np.ndarray] = []
        self._values: list[float] = []
        self._counts = np.array([1, 1, 0])
        self.nit = 0
        self.message: str | None = None
        self.success = False
        self._keep(point)
        self._best = self._last
        self._judge(float(ops.max(ops.abs(point.gradient))), None)

    def note(self, point: Point, steepest: float, counts: np.ndarray) -> None:
        self._counts += counts[:3]
        self._keep(point)
        if self._values[-1] <= self._best[1]:
            self._best = self._last
        self.nit += 1
        self._judge(steepest, int(counts[3]))

    def _keep(self, point: Point) -> None:
        x, value, gradient = (np.array(ops.convert_to_numpy(part)) for part in point)
        self._points.append(x)
        self._values.append(float(value))
        self._last = (x, float(value), gradient)

    def _judge(self, steepest: float, status: int | None) -> None:
        if not (np.isfinite(self._values[-1]) and np.isfinite(steepest)):
            self.message = f"The function is not finite after step {self.nit}; see path."
        elif self._tol is not None and steepest <= self._tol:
            self.success, self.message = True, "The gradient is as small as tol."
        elif status == AT_PRECISION:
            self.success = True
            self.message = "No decrease is left that the precision of the numbers would show."
        elif status == NO_DECREASE:
            self.message = (
                f"No decrease was found along the direction of step {self.nit}; "
                "x is the best point so far."
            )
        elif status == NOT_FINITE:
            self.message = f"The curvature is not finite in step {self.nit}; x is the point before."

    def result(self, layout: Layout, steps: int) -> MinimizeResult:
        x, value, gradient = self._best
        nfev, njev, nhev = self._counts.tolist()
        return MinimizeResult(
            x=layout.split_path(x),
            fun=value,
            jac=layout.split_path(gradient),
            nit=self.nit,
            nfev=nfev,
            njev=njev,
            nhev=nhev,
            success=self.success,
            message=self.message or f"All {steps} steps were taken.",
            path=Path(layout.split_path(np.stack(self._points)), np.array(self._values)),
        )


def _objective(fun, optimizer: Optimizer, layout: Layout) -> Objective:
    if not (isinstance(optimizer, CurvatureOptimizer) and optimizer.least_squares):
        return Objective(lambda x: _scalar(fun(layout.split(x)), layout.dtype), layout=layout)

    def outputs(x):
        return ops.reshape(ops.cast(fun(layout.split(x)), layout.dtype), (-1,))

    def loss(residuals):
        return ops.sum(ops.square(residuals)) / 2

    return Objective(lambda x: loss(outputs(x)), outputs, loss, layout)


def _scalar(value, dtype: str):
    value = ops.convert_to_tensor(value)
    if tuple(value.shape) != ():
        raise TypeError(
            f"fun: must return a scalar; it returned a tensor of shape {tuple(value.shape)}. "
            "Sum it, or minimize its squares with optimizer='levenberg_marquardt'."
        )
    return ops.cast(value, dtype)


def _checked_start(x0):
    """x0 with arrays for leaves."""
    leaves = keras.tree.flatten(x0)
    if not leaves:
        raise TypeError(f"x0: holds no numbers. Received: x0={x0!r}")
    if isinstance(x0, list | tuple) and all(isinstance(leaf, int | float) for leaf in leaves):
        x0 = np.asarray(x0)  # as in SciPy, numbers in a list are one vector
    return keras.tree.map_structure(_checked_leaf, x0)


def _checked_leaf(leaf):
    array = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
    dtype = str(array.dtype).rpartition(".")[2]
    if "float" not in dtype:
        raise TypeError(
            f"x0: must be of floating-point numbers, such as 1.0 instead of 1. Received: "
            f"{leaf!r} of dtype {dtype}"
        )
    return array


def _check_finite(point: Point) -> None:
    if not np.isfinite(float(point.value)):
        raise ValueError(f"fun: must be finite at x0. It returned {float(point.value)} there.")
    if not bool(ops.all(ops.isfinite(point.gradient))):
        raise ValueError("fun: its gradient is not finite at x0. Start elsewhere.")


def _check_limits(steps: int, tol: float | None) -> None:
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 0:
        raise ValueError(f"steps: must be an integer ≥ 0. Received: steps={steps!r}")
    if tol is not None and not (isinstance(tol, Real) and tol >= 0):
        raise ValueError(f"tol: must be a number ≥ 0 or None. Received: tol={tol!r}")
