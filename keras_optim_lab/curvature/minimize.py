"""`minimize`: any optimizer of the package on a plain function, with a result as SciPy's."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.arguments import whole_number
from keras_optim_lab.curvature.convergence import Secants, Seen, Tolerances
from keras_optim_lab.curvature.function_objective import (
    check_finite,
    checked_start,
    objective_of,
)
from keras_optim_lab.curvature.layout import Layout
from keras_optim_lab.curvature.newton import undamped
from keras_optim_lab.curvature.objective import Objective, Point
from keras_optim_lab.curvature.optimizer import CurvatureOptimizer
from keras_optim_lab.curvature.result import MinimizeResult
from keras_optim_lab.curvature.sam import SAM
from keras_optim_lab.curvature.spectrum import Spectrum
from keras_optim_lab.curvature.step_rules import Effort
from keras_optim_lab.curvature.walk import Walk
from keras_optim_lab.functional import Functional, State
from keras_optim_lab.optimizers import Optimizer, catalogue

_EXACT = 500  # weights up to which a full Hessian may have the last word
_MOST_STEPS = 10_000_000


def minimize(
    fun: Callable[[Any], Any],
    x0: Any,
    optimizer: str | Optimizer = "lbfgs",
    *,
    steps: int = 1000,
    ftol: float | None = 1e-12,
    xtol: float | None = 1e-8,
    gtol: float | None = 1e-8,
    **hyperparameters: float,
) -> MinimizeResult:
    """Minimizes a function with any optimizer of the package.

        result = kol.minimize(lambda x: ops.sum((x - 3) ** 2), [0.0, 0.0], "newton")
        result.x                                # array([3., 3.])

    It ends where the whole step p to the minimum of a quadratic model of the function is small: in
    units of the function, where it lowers f by ½ |gᵀp|, or in those of every coordinate. Newton's
    and Gauss–Newton methods have that model; for others it is made of their last steps, as L-BFGS
    makes it. A tolerance of None ends nothing, and without any all steps are taken. Those below ten
    spacings of numbers at 1 are taken as that: 2e-15 in float64, 1e-6 in float32.

    Args:
        fun: takes x as tensors of the active backend and returns a scalar tensor; it is
            differentiated and compiled, so it computes with `keras.ops` or the backend's own
            functions. For Gauss–Newton methods it returns residuals r, of one axis or more, and
            ½ Σ r² is minimized.
        x0: where to start: a number, an array or tensor, or a nested container (list, dict) of
            these; numbers in a list are one vector. The dtype is kept; Python numbers are float64.
        optimizer: an optimizer, which is not changed, or its name for the default settings.
        steps: how many to take at most.
        ftol: ends when the last step has lowered f by no more than ftol · |f|, and p would.
        xtol: ends when |pᵢ| ≤ xtol (xtol + |xᵢ|) for every coordinate.
        gtol: ends when √(½ |gᵀp| / |f|) ≤ gtol; for residuals that is the cosine of the angle
            between them and what a change of x can do to them, at least the largest cosine to a
            column of the Jacobian, which SciPy's `method="lm"` looks at.
        **hyperparameters: numbers in place of the optimizer's own.

    Returns:
        The result; an end that is no success is said in its `message` and raises nothing.

    Raises:
        TypeError: x0 holds integers or what is no number; `fun` returns no scalar; the optimizer
            has no such hyperparameter.
        ValueError: the function or its gradient is not finite at x0; a tolerance is not from 0 to 1
            or `steps` out of range; there is no such optimizer; there are too many weights for a
            full Hessian.
    """
    minimizer = Minimizer(fun, optimizer)
    return minimizer(x0, steps=steps, ftol=ftol, xtol=xtol, gtol=gtol, **hyperparameters)


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
        self,
        x0: Any,
        *,
        steps: int = 1000,
        ftol: float | None = 1e-12,
        xtol: float | None = 1e-8,
        gtol: float | None = 1e-8,
        **hyperparameters: float,
    ) -> MinimizeResult:
        """Minimizes from x0, as `minimize` does; other hyperparameters need no new trace."""
        what = "as every point of the path is kept"
        steps = whole_number("steps", steps, least=0, most=_MOST_STEPS, what=what)
        tolerances = Tolerances(ftol, xtol, gtol)
        tolerances.check()
        numbers = self._numbers(hyperparameters)
        start = checked_start(x0)
        layout = Layout(start)
        program = self._programs.get(layout.signature)
        if program is None:
            program = self._programs[layout.signature] = _Program(self, layout)
        with backend.derivatives().precision(layout.dtype):
            return program.run(start, steps, tolerances, numbers)

    def _numbers(self, hyperparameters: dict[str, float]) -> dict[str, float | None]:
        numbers = self.optimizer.held_numbers()
        owner = type(self.optimizer).__name__
        for name, value in hyperparameters.items():
            if name == "tol":
                raise TypeError(
                    "tol: there are three, ftol, xtol and gtol, as SciPy's least_squares has them. "
                    f"Received: tol={value!r}; leave it out, or give each of the three."
                )
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
        self.objective = objective_of(owner.fun, self.optimizer, layout)
        derivatives = backend.derivatives()
        self._begin = derivatives.compiled(self.objective.value_and_gradient)
        self._step = derivatives.compiled(self._traced)
        if isinstance(self.optimizer, CurvatureOptimizer):
            self._method: _Curvature | _FirstOrder = _Curvature(self.optimizer, layout)
        elif isinstance(self.optimizer, SAM):
            self._method = _Sharpness(self.optimizer, layout)
        else:
            self._method = _FirstOrder(self.optimizer, layout)
        self._secants = Secants(layout.size, layout.dtype)
        self._exactly = derivatives.compiled(
            lambda x, gradient: undamped(Spectrum.in_own_units(self.objective.hessian(x)), gradient)
        )

    def _traced(self, point: Point, state: Any, iteration: Any, numbers: Any) -> tuple[Any, ...]:
        self.owner.traces += 1
        state, pairs = state
        held = self.optimizer.held(iteration, numbers)
        after, state, effort = self._method.advance(self.objective, point, state, iteration, held)
        if after.gradient is None:
            after = self.objective.point(after.x)
            effort = effort._replace(values=effort.values + 1, gradients=effort.gradients + 1)
        if self._method.has_model:
            whole = effort.whole()
        else:
            pairs, whole = self._secants.advance(pairs, point, after)
        counts = ops.stack([ops.cast(count, "int32") for count in effort[:4]])
        return after, (state, pairs), whole, counts

    def run(self, start: Any, steps: int, tolerances: Tolerances, numbers: Any) -> MinimizeResult:
        x = self.layout.join(keras.tree.map_structure(ops.convert_to_tensor, start))
        point = Point(x, *self._begin(x))
        check_finite(point)
        walk = Walk(Seen.of(point), tolerances, own_model=self._method.has_model)
        state = self._method.first_state(), self._secants.first_state()
        held = {
            name: None if number is None else ops.convert_to_tensor(number, self.layout.dtype)
            for name, number in numbers.items()
        }
        while walk.status is None and walk.nit < steps:
            iteration = ops.convert_to_tensor(walk.nit, "int32")
            point, state, whole, counts = self._step(point, state, iteration, held)
            walk.note(Seen.of(point), *(ops.convert_to_numpy(part) for part in (whole, counts)))
            if walk.status == "no decrease" and self.layout.size <= _EXACT:
                walk.look_again(ops.convert_to_numpy(self._exactly(point.x, point.gradient)))
        return walk.result(self.layout)


_After = tuple[Point, Any, Effort]  # a step: where it has led, the state, what it has taken


class _Curvature:
    def __init__(self, optimizer: CurvatureOptimizer, layout: Layout):
        self.optimizer = optimizer
        self.has_model = optimizer.has_model
        self.layout = layout

    def first_state(self) -> Any:
        return self.optimizer.first_state(self.layout)

    def advance(self, objective: Objective, point: Point, state: Any, t: Any, held: Any) -> _After:
        h = self.optimizer.scalars(held, t).cast(self.layout.dtype)
        return self.optimizer.advance(objective, point, state, h)


class _FirstOrder:
    has_model = False

    def __init__(self, optimizer: Optimizer, layout: Layout):
        self.functional = Functional(optimizer)
        self.layout = layout

    def first_state(self) -> Any:
        zeros = ops.zeros((self.layout.size,), self.layout.dtype)
        return self._in_dtype(self.functional.init(self.layout.split(zeros)))

    def advance(self, objective: Objective, point: Point, state: Any, t: Any, held: Any) -> _After:
        params, gradients = self.layout.split(point.x), self.layout.split(point.gradient)
        params, state = self.functional.advance(params, gradients, state, held)
        return Point(self.layout.join(params)), self._in_dtype(state), Effort()

    def _in_dtype(self, state: State) -> State:
        shared = {name: ops.cast(x, self.layout.dtype) for name, x in state.shared.items()}
        return state._replace(shared=shared)


class _Sharpness(_FirstOrder):
    """The wrapped optimizer, with the gradients that SAM asks for."""

    def __init__(self, optimizer: SAM, layout: Layout):
        super().__init__(optimizer.optimizer, layout)
        self.optimizer = optimizer

    def advance(self, objective: Objective, point: Point, state: Any, t: Any, held: Any) -> _After:
        radius = ops.cast(held[f"{self.optimizer.own}.radius"], self.layout.dtype)
        gradient = self.optimizer.worst_gradient(objective, point, radius)
        inner = {name: held[name] for name in self.optimizer.optimizer.numeric}
        after, state, _ = super().advance(
            objective, point._replace(gradient=gradient), state, t, inner
        )
        return after, state, Effort(values=1, gradients=1)
