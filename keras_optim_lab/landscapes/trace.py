"""A method step by step: the table that one would work out by hand."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import Variable, ops
from rich.table import Table

from keras_optim_lab import backend
from keras_optim_lab.curvature.layout import Layout
from keras_optim_lab.curvature.objective import Objective, Point
from keras_optim_lab.curvature.optimizer import CurvatureOptimizer
from keras_optim_lab.functional import Functional, State
from keras_optim_lab.landscapes.formula import Formula
from keras_optim_lab.landscapes.observed import Observed
from keras_optim_lab.landscapes.paths import check_scalar, check_steps
from keras_optim_lab.landscapes.surfaces import Surface
from keras_optim_lab.optimizers import Optimizer, Record, get
from keras_optim_lab.reports import tables
from keras_optim_lab.reports.writing import point
from keras_optim_lab.shown import Row, Shown, components, plain

# As papers write them; a slot that is not here goes by its name.
_SYMBOLS = {"momentum": "m", "velocity": "v", "accumulator": "s", "average": "a"}
_CORRECTED = "_corrected"
_HAT = "\N{COMBINING CIRCUMFLEX ACCENT}"


@dataclass(frozen=True)
class Trace(Shown):
    """Every step of a method, with all that its rule has named on the way.

    Attributes:
        optimizer: as it was given.
        function: text of the function, or its name.
        start: the point before the first step.
        rows: for every step t = 1, 2, … a dict of NumPy arrays: `f` and `g` are the value and
            gradient at the point that the step starts from, then come the slots after the step,
            averages corrected for their bias (`…_corrected`), what `prepare` and the rule have
            named, `step`, which is subtracted, and the new point `theta`.
        components: names of the numbers that make a point; one empty name for a single number.
    """

    optimizer: Optimizer
    function: str
    start: np.ndarray
    rows: tuple[dict[str, Any], ...]
    components: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        return list(self.rows[0])

    @property
    def symbols(self) -> list[str]:
        """The columns as papers write them: m, v, m̂, v̂, θ."""
        return [_symbol(column) for column in self.columns]

    def __getitem__(self, column: str) -> np.ndarray:
        """One column for all steps."""
        return np.stack([row[column] for row in self.rows])

    @property
    def heading(self) -> str:
        """What was traced, and where."""
        where = point(np.ravel(self.start).tolist())
        return f"{self.optimizer!r}\non {self.function} from {where}"

    @property
    def headline(self) -> str:
        return self.heading.replace("\n", " ")

    def records(self) -> list[Row]:
        return [
            {
                part: number
                for name, value in row.items()
                for part, number in components(name, value, self.components).items()
            }
            for row in self.rows
        ]

    def _draw(self, axes: Any) -> None:
        axes.plot(self["t"], self["f"], marker="o", ms=3)
        axes.set(xlabel="step", ylabel="f")

    def __str__(self) -> str:
        return f"{self.heading}\n\n{tables.text(self.table())}"

    def table(self, digits: int = 6) -> Table:
        """As it is printed."""
        return tables.table(self.symbols, self.cells(digits), words=())

    def cells(self, digits: int = 6) -> list[list[str]]:
        """The rows as text; the components of a vector stand under each other."""
        return [
            ["\n".join(f"{number:.{digits}g}" for number in np.ravel(value)) for value in row]
            for row in (row.values() for row in self.rows)
        ]

    def to_csv(self) -> str:
        """One line for each step, one column for each component, every digit."""
        text = io.StringIO()
        records = self.records()
        writer = csv.DictWriter(text, records[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        return text.getvalue()

    def to_json(self) -> str:
        """The optimizer, the function, the start and all rows, every digit."""
        return json.dumps(
            {
                "optimizer": repr(self.optimizer),
                "function": self.function,
                "start": self.start.tolist(),
                "rows": plain(self.rows),
            },
            indent=1,
        )

    def to_markdown(self, digits: int = 6) -> str:
        """A table for a document."""
        return tables.markdown(self.symbols, self.cells(digits), words=()) + "\n"


def trace(
    optimizer: str | Optimizer,
    fun: str | Surface | Callable[[Any], Any],
    start: Any,
    steps: int = 10,
) -> Trace:
    """Follows a method step by step, in 64-bit arithmetic.

        kol.trace("adam", "x**2", 0.5)["theta"]

    What it shows of a step is heard from the optimizer's own rule while it computes it.

    Args:
        optimizer: an optimizer, which is not changed, or its name.
        fun: a formula as text, a surface, or a function of a tensor like `start` that returns a
            scalar tensor.
        start: a number or an array of floats.
        steps: how many.

    Returns:
        A row for every step; `trace["theta"]` is one column of all, and `to_csv()`, `to_json()`
        and `to_markdown()` write it down.

    Raises:
        TypeError, ValueError: an argument is wrong, or the function is not finite at the start.
    """
    optimizer = get(optimizer)
    steps = check_steps("trace", steps)
    function = Formula(fun) if isinstance(fun, str) else fun
    if not callable(function):
        raise TypeError(
            "trace: `fun` must be a formula as text, a surface, or a function of a tensor. "
            f"Received: fun={fun!r}"
        )
    components = _components(function)
    try:
        start = np.asarray(start, "float64")
    except (TypeError, ValueError, OverflowError):
        raise TypeError(
            f"trace: `start` must be a number or an array of numbers. Received: start={start!r}"
        ) from None
    if components:
        start = np.atleast_1d(start)
    with backend.derivatives().precision("float64"):
        if isinstance(optimizer, CurvatureOptimizer):
            rows = tuple(_curved_steps(optimizer, function, start, steps))
        else:
            rows = tuple(_steps(optimizer, function, start, steps))
    names = components or tuple(map(str, range(start.size)))
    return Trace(optimizer, _text(function), start, rows, names if start.size > 1 else ("",))


def _steps(
    optimizer: Optimizer, function: Callable[[Any], Any], start: np.ndarray, steps: int
) -> Iterator[dict[str, np.ndarray]]:
    """The steps of a method that needs gradients only."""
    observed = Observed(optimizer)
    functional = Functional(observed.optimizer)
    derivatives = backend.derivatives()
    names: list[str] = []

    def step(x: Any, state: State, held: dict[str, Any]) -> tuple[Any, ...]:
        at = derivatives.value_and_gradient(lambda x: _value(function, x, state.step))
        f, g = at(x)
        (new,), state = functional.advance([x], [g], state, held)
        named = {
            **{slot.name: state.slots[slot.name][0] for slot in optimizer.active_slots},
            **{f"{name}{_CORRECTED}": value for name, value in observed.corrected.items()},
            **state.shared,
            **observed.prepared,
            **observed.noted,
        }
        names[:] = named  # a compiled program keeps no order of names
        return f, g, list(named.values()), new, state

    follow = derivatives.compiled(step)
    x = ops.convert_to_tensor(start)
    state = functional.init([x])
    shared = {name: ops.cast(value, x.dtype) for name, value in state.shared.items()}
    state = state._replace(shared=shared)
    for t in range(1, steps + 1):
        held = _held(optimizer, state.step)
        f, g, values, new, state = follow(x, state, _tensors(held))
        named = {**_scheduled(optimizer, held), **dict(zip(names, values, strict=True))}
        yield _row(t, f, g, named, x, new)
        x = new


def _curved_steps(
    optimizer: CurvatureOptimizer, function: Callable[[Any], Any], start: np.ndarray, steps: int
) -> Iterator[dict[str, np.ndarray]]:
    """The steps of a method that is handed the function itself."""
    check_scalar(optimizer)
    layout = Layout(start)
    objective = Objective(lambda x: _value(function, layout.split(x), 0))

    def step(point: Point, state: Record, iteration: Any, held: dict[str, Any]) -> tuple[Any, ...]:
        h = optimizer.scalars(held, iteration).cast(layout.dtype)
        after, new, effort = optimizer.advance(objective, point, state, h)
        if after.gradient is None:
            after = objective.point(after.x)
        return after, new, [ops.cast(count, "int32") for count in effort[:3]]

    derivatives = backend.derivatives()
    follow = derivatives.compiled(step)
    x = layout.join(ops.convert_to_tensor(start))
    point = Point(x, *derivatives.compiled(objective.value_and_gradient)(x))
    state = optimizer.first_state(layout)
    for t in range(1, steps + 1):
        held = _held(optimizer, t - 1)
        after, state, (evaluations, gradients, products) = follow(
            point,
            state,
            ops.convert_to_tensor(t - 1, "int32"),
            _tensors(held),
        )
        # Histories of many vectors are no column.
        kept = {n: value for n, value in state.items() if tuple(value.shape) in ((), start.shape)}
        named = {
            **_scheduled(optimizer, held),
            **kept,
            "evaluations": evaluations,
            "gradients": gradients,
            "products": products,
        }
        yield _row(t, point.value, point.gradient, named, point.x, after.x)
        point = after


def _row(t: int, f: Any, g: Any, named: dict[str, Any], x: Any, new: Any) -> dict[str, np.ndarray]:
    if t == 1 and not np.isfinite(_array(f)):
        raise ValueError(
            f"trace: the function must be finite at the start. Received: {_array(f)} at "
            f"{_array(x).tolist()}"
        )
    row = {"t": t, "f": f, "g": g, **named, "step": _array(x) - _array(new), "theta": new}
    return {name: _array(value) for name, value in row.items()}


def _value(function: Callable[[Any], Any], x: Any, step: Any) -> Any:
    value = function.at_step(x, step) if isinstance(function, Surface) else function(x)
    if tuple(value.shape):
        raise ValueError(
            "trace: the function must return a scalar tensor. Received: one of shape "
            f"{tuple(value.shape)} for a point of shape {tuple(x.shape)}"
        )
    return value


def _held(optimizer: Optimizer, step: Any) -> dict[str, Any]:
    """Every hyperparameter as its variable would hold it, with all digits of a number."""
    numbers = {
        # An array: PyTorch would take a number of NumPy's for a float, and round it.
        name: None if number is None else np.asarray(number, "float64")
        for name, number in optimizer.held_numbers().items()
    }
    return optimizer.held(step, numbers)


def _tensors(held: dict[str, Any]) -> dict[str, Any]:
    return {n: None if v is None else ops.convert_to_tensor(v) for n, v in held.items()}


def _scheduled(optimizer: Optimizer, held: dict[str, Any]) -> dict[str, np.ndarray]:
    """The hyperparameters that may change from step to step."""
    return {
        name: np.asarray(field.to_number(_array(held[name])))
        for name, field in optimizer.numeric.items()
        if not isinstance(field.given(optimizer), Variable | None)
    }


def _components(function: Callable[[Any], Any]) -> tuple[str, ...]:
    if isinstance(function, Formula):
        return tuple(function.variables)
    if isinstance(function, Surface):
        names = ("x", "y", "z")
        few = function.dimension <= len(names)
        return (
            names[: function.dimension]
            if few
            else tuple(f"x{i}" for i in range(1, function.dimension + 1))
        )
    return ()


def _text(function: Callable[[Any], Any]) -> str:
    if isinstance(function, Formula):
        return function.text
    if isinstance(function, Surface):
        return function.formula
    return getattr(function, "__name__", repr(function))


def _symbol(column: str) -> str:
    name = column.removesuffix(_CORRECTED)
    symbol = _SYMBOLS.get(name, name)
    return symbol + _HAT if name != column else {"theta": "θ"}.get(symbol, symbol)


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))
