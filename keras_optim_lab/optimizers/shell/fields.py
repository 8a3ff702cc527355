"""Fields: what a class body declares as its hyperparameters and choices.

A field is declared once, in the body of an optimizer class, and is a descriptor from then on::

    beta_1: Hyperparameter = decay(default=0.9, doc="…")

Numeric fields are *live*: each is a scalar variable of the optimizer, so that assigning to it
changes the next step of a compiled program without a new trace.
"""

import math
import re
from collections.abc import Callable
from typing import Any

from keras_optim_lab.optimizers.shell.field_kinds import (
    Accepted,
    Constant,
    Fixed,
    KerasArgument,
    KerasNumber,
    Switch,
    plain_bool,
    plain_integer,
    plain_number,
    plain_text,
)
from keras_optim_lab.optimizers.shell.numeric import DecayRate, Numeric, Range, Rate

# A schedule is a callable of the step, any other callable takes nothing. Keras's own class is not
# named here: it has no types, and a union with it would let type checkers accept anything.
Hyperparameter = float | Callable[..., Any]

# What a class body calls. Type checkers read the names `default` and `kw_only`, so that
# constructors are checked and completed as those of dataclasses are.


def rate(*, default: float, search: Range | None = None, doc: str = "Learning rate η ≥ 0.") -> Any:
    """Declares a learning rate."""
    return Rate(default, search=search, doc=doc)


def decay(*, default: float, search: Range | None = None, doc: str) -> Any:
    """Declares a decay rate in [0, 1)."""
    return DecayRate(default, search=search, doc=doc)


def nonnegative(
    *, default: float | None, search: Range | None = None, doc: str, kw_only: bool = False
) -> Any:
    """Declares any other live number ≥ 0."""
    return Numeric(default, search=search, doc=doc, kw_only=kw_only)


def constant(*, default: float, doc: str) -> Any:
    """Declares a number ≥ 0 that is used once, when the slots are created."""
    return Constant(default, accepts=NONNEGATIVE, doc=doc)


def switch(*, default: bool, doc: str) -> Any:
    """Declares a choice between two forms of the method."""
    return Switch(default, accepts=YES_OR_NO, doc=doc)


def count(*, default: int, doc: str) -> Any:
    """Declares a whole number ≥ 1 that is part of the method."""
    return Fixed(default, accepts=ONE_OR_MORE, doc=doc)


def pattern(*, default: str, doc: str) -> Any:
    """Declares a regular expression that tells weights apart by their paths."""
    return Fixed(default, accepts=PATTERN, doc=doc)


def choice(*, default: str | None, options: tuple[str, ...], doc: str) -> Any:
    """Declares a choice among names."""
    names = ", ".join(map(repr, options))
    accepts = Accepted(f"one of {names}", plain_text, options.__contains__)
    return Fixed(default, accepts=accepts, doc=doc)


def keras_argument(*, default: Any, accepts: Accepted, doc: str) -> Any:
    """Declares an argument that is passed on to `keras.optimizers.Optimizer`."""
    return KerasArgument(default, accepts=accepts, doc=doc)


def keras_number(
    *, default: float | None, accepts: Accepted, doc: str, needs: str | None = None
) -> Any:
    """Declares one that is a number."""
    return KerasNumber(default, accepts=accepts, doc=doc, needs=needs)


def _compiles(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True


NONNEGATIVE = Accepted("a finite number ≥ 0", plain_number, lambda x: 0 <= x < math.inf)
POSITIVE = Accepted("a finite number > 0", plain_number, lambda x: 0 < x < math.inf)
FRACTION = Accepted("a number in [0, 1]", plain_number, lambda x: 0 <= x <= 1)
ONE_OR_MORE = Accepted("an integer ≥ 1", plain_integer, lambda n: n >= 1)
TWO_OR_MORE = Accepted("an integer ≥ 2", plain_integer, lambda n: n >= 2)
YES_OR_NO = Accepted("True or False", plain_bool)
TEXT = Accepted("a string", plain_text)
PATTERN = Accepted("a regular expression", plain_text, _compiles)
