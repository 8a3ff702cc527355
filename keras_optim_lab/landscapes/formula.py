"""Functions from text such as `"(1 - x)**2 + sin(y)"`: arithmetic and named functions only.

Python's own parser reads the text; what it finds is built into tensor operations node by node, and
nothing is ever evaluated as code.
"""

import ast
import math
import operator
from collections.abc import Callable
from typing import Any, NoReturn

from keras import ops

from keras_optim_lab.arguments import near_matches

CONSTANTS = {"pi": math.pi, "e": math.e}

# By name, for a number and for a tensor.
FUNCTIONS: dict[str, tuple[Callable[..., float], Callable[..., Any]]] = {
    "sin": (math.sin, ops.sin),
    "cos": (math.cos, ops.cos),
    "tan": (math.tan, ops.tan),
    "asin": (math.asin, ops.arcsin),
    "acos": (math.acos, ops.arccos),
    "atan": (math.atan, ops.arctan),
    "sinh": (math.sinh, ops.sinh),
    "cosh": (math.cosh, ops.cosh),
    "tanh": (math.tanh, ops.tanh),
    "exp": (math.exp, ops.exp),
    "log": (math.log, ops.log),
    "sqrt": (math.sqrt, ops.sqrt),
    "abs": (abs, ops.abs),
}

_ARITHMETIC: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: lambda x: x,  # which TensorFlow's tensors lack
}

_ACCEPTED = (
    "A function is made of numbers, the variables x, y, z or x1, x2, …, + - * / ** and "
    f"parentheses, {' and '.join(CONSTANTS)}, and {', '.join(FUNCTIONS)}."
)
_LETTERS = ("x", "y", "z")
_LONGEST = 1000  # characters
_DEEPEST = 100  # Python's own stack ends at about ten times as many

# What a part of a formula makes of the variables' values.
_Part = Callable[[dict[str, Any]], Any]


class FormulaError(ValueError):
    """Text that is no formula; the message shows the place and says what is accepted."""


class Formula:
    """A function of the last axis of a tensor, read from text.

        f = Formula("(1 - x)**2 + 100 * (y - x**2)**2")
        f(keras.ops.array([0.0, 0.0]))    # 1.0; of shape (..., 2), values of shape (...)

    Attributes:
        text: as it was given.
        variables: the names that occur, in the order of the last axis.

    Args:
        text: such as `"x**2"`, in the variables x, y, z or x1, x2, …

    Raises:
        FormulaError: the text has what a formula cannot have; nothing of it was evaluated.
    """

    def __init__(self, text: str):
        if not isinstance(text, str):
            raise TypeError(f'A function is text such as "x**2". Received: {text!r}')
        self.text = " ".join(text.split())
        reader = _Reader(self.text)
        self._value = reader.read()
        self.variables = sorted(reader.variables, key=_order)

    def __call__(self, x: Any) -> Any:
        """Values at points that are the last axis of `x`, floating-point numbers."""
        x = ops.convert_to_tensor(x)
        if not x.shape or x.shape[-1] != len(self.variables):
            raise ValueError(
                f"{self.text!r} takes {len(self.variables)} numbers, for "
                f"{', '.join(self.variables)}. Received: an array of shape {tuple(x.shape)}"
            )
        return self._value({name: x[..., i] for i, name in enumerate(self.variables)})

    def __repr__(self) -> str:
        return f"Formula({self.text!r})"


class _Reader:
    def __init__(self, text: str):
        self.text = text
        self.variables: set[str] = set()

    def read(self) -> _Part:
        if len(self.text) > _LONGEST:
            raise FormulaError(
                f"A function has at most {_LONGEST} characters. Received: {len(self.text)}"
            )
        try:
            tree = ast.parse(self.text, mode="eval").body
        except SyntaxError as error:
            self._refuse(f"cannot be read: {error.msg}", (error.offset or 1) - 1)
        except (ValueError, MemoryError, RecursionError):
            self._refuse("cannot be read", 0)
        found = self._part(tree, 0)
        if not callable(found):
            self._refuse("has no variable", 0, len(self.text))
        return found

    def _part(self, node: ast.AST, depth: int) -> Any:
        """A function of the variables, or a number where none occurs."""
        if depth > _DEEPEST:
            self._refuse_node(node, "is nested too deep")
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return self._number(node, lambda: value)
            case ast.Name(id=name) if name in CONSTANTS:
                return CONSTANTS[name]
            case ast.Name(id=name) if _is_variable(name):
                self._note(node, name)
                return lambda values: values[name]
            case ast.Name(id=name):
                self._refuse_node(node, f"has the unknown name {name!r}", near=name)
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _ARITHMETIC:
                apply = _ARITHMETIC[type(op)]
                return self._applied(node, apply, apply, [self._part(operand, depth + 1)])
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                apply = _ARITHMETIC[type(op)]
                operands = [self._part(left, depth + 1), self._part(right, depth + 1)]
                return self._applied(node, apply, apply, operands)
            case ast.BinOp(op=ast.BitXor()):
                self._refuse_node(node, "has ^, which is no power here: write **")
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if (
                name in FUNCTIONS
            ):
                return self._applied(node, *FUNCTIONS[name], [self._part(argument, depth + 1)])
            case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS:
                self._refuse_node(node, f"gives {name} other than one argument")
            case ast.Call(func=ast.Name(id=name)):
                self._refuse_node(node, f"has the unknown function {name!r}", near=name)
        return self._refuse_node(node, "has what is no arithmetic")

    def _applied(
        self,
        node: ast.AST,
        of_numbers: Callable[..., Any],
        of_tensors: Callable[..., Any],
        operands: list[Any],
    ) -> Any:
        if not any(map(callable, operands)):
            return self._number(node, lambda: of_numbers(*map(float, operands)))
        return lambda values: of_tensors(
            *(part(values) if callable(part) else part for part in operands)
        )

    def _number(self, node: ast.AST, compute: Callable[[], float]) -> float | int:
        try:
            number = float(compute())  # of floats: 9**9**9 as an integer would fill the memory
        except (OverflowError, ZeroDivisionError, ValueError, TypeError):
            number = math.nan
        if not math.isfinite(number):
            self._refuse_node(node, "has a part that is no finite number")
        # Backends know how to differentiate whole powers of numbers below zero.
        return int(number) if number.is_integer() and abs(number) < 2**24 else number

    def _note(self, node: ast.AST, name: str) -> None:
        self.variables.add(name)
        if len({variable in _LETTERS for variable in self.variables}) > 1:
            self._refuse_node(node, "mixes x, y, z with x1, x2, …")

    def _refuse_node(self, node: Any, what: str, near: str | None = None) -> NoReturn:
        known = [*FUNCTIONS, *CONSTANTS]
        line = self.text.encode()
        start = len(line[: node.col_offset].decode())
        end = len(line[: node.end_col_offset].decode())
        self._refuse(what, start, end, near_matches(near, known) if near else "")

    def _refuse(self, what: str, start: int, end: int = 0, near: str = "") -> NoReturn:
        marks = " " * start + "^" * max(1, end - start)
        raise FormulaError(
            f"The function {what}, at character {start + 1}.{near}\n"
            f"    {self.text}\n    {marks}\n{_ACCEPTED}"
        )


def _is_variable(name: str) -> bool:
    return name in _LETTERS or (
        name.startswith("x") and name[1:].isdecimal() and name.isascii() and name[1] != "0"
    )


def _order(name: str) -> tuple[int, str]:
    return (int(name[1:] or 0), name)
