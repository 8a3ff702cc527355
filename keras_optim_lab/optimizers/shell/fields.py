"""Hyperparameters: what an optimizer's fields accept, and how they enter its rule.

A field is declared once, in the body of an optimizer class, and is a descriptor from then on::

    beta_1: Hyperparameter = decay(default=0.9, doc="…")

Numeric fields are *live*: each is a scalar variable of the optimizer, so that assigning to it
changes the next step of a compiled program without a new trace.
"""

import copy
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import numpy as np
from keras import Variable, ops
from keras.optimizers.schedules import LearningRateSchedule
from keras.saving import deserialize_keras_object, serialize_keras_object

from keras_optim_lab.arguments import as_float

# A schedule is a callable of the step, any other callable takes nothing. Keras's own class is not
# named here: it has no types, and a union with it would let type checkers accept anything.
Hyperparameter = float | Callable[..., Any]


@dataclass(frozen=True)
class Range:
    """A log-uniform search range `[low, high]` and where it comes from.

    For a decay rate β the range is that of 1 − β: that is the number whose magnitude matters.
    """

    low: float
    high: float
    source: str


class Decay(NamedTuple):
    """A decay rate β at step t, held as 1 − β so that β = 0.99999 keeps its digits in float32.

    Attributes:
        complement: 1 − β.
        t: the step: 1, 2, …
        steepness: −ln β, exact to rounding however near β is to 1.
        correction: 1 − βᵗ.
    """

    complement: Any
    t: Any
    steepness: Any
    correction: Any

    @classmethod
    def at(cls, complement, t):
        steepness = -ops.log1p(-complement)
        return cls(complement, t, steepness, -ops.expm1(-t * steepness))

    def decay(self, x):
        """β x."""
        return x - self.complement * x

    def average(self, average, x):
        """β·average + (1 − β)·x: the moving average after one more value."""
        return self.decay(average) + self.complement * x

    def debias(self, average):
        """Divides a moving average that began at zero by the weight 1 − βᵗ it has collected."""
        return average / self.correction

    def cast(self, dtype):
        return Decay.at(ops.cast(self.complement, dtype), ops.cast(self.t, dtype))


class Field:
    """One argument of an optimizer's constructor.

    Attributes:
        tunable: whether it is a setting of the method, which a study may choose.
    """

    accepts = ""
    kw_only = False
    tunable = True

    def __init__(self, default, *, doc: str):
        self.default = default
        self.doc = doc

    def __set_name__(self, owner, name):
        self.name = name

    def check(self, owner: str, value):
        """Returns `value` in its canonical form; raises TypeError or ValueError before use."""
        raise NotImplementedError

    def refuse(self, error: type[Exception], owner: str, value) -> NoReturn:
        raise error(
            f"{owner}: `{self.name}` must be {self.accepts}. Received: {self.name}={value!r}"
        )

    def config(self, optimizer):
        """The value that `get_config` stores."""
        return getattr(optimizer, self.name)

    def from_config(self, value, custom_objects=None):
        """The value that `config` gave, after a trip through a file."""
        return value

    def shown(self, optimizer) -> str:
        """The value as Python writes it."""
        return repr(self.config(optimizer))


class Accepted(NamedTuple):
    """The values that an argument accepts, besides None where that is its default."""

    description: str
    read: Callable[[Any], Any]
    contains: Callable[[Any], bool] = lambda value: True


class Argument(Field):
    """A field whose values an `Accepted` tells from others."""

    def __init__(self, default, *, accepts: Accepted, doc: str):
        super().__init__(default, doc=doc)
        self.accepts = accepts.description + (" or None" if default is None else "")
        self._accepted = accepts

    def check(self, owner, value):
        if value is None and self.default is None:
            return None
        plain = self._accepted.read(value)
        if plain is None:
            self.refuse(TypeError, owner, value)
        if not self._accepted.contains(plain):
            self.refuse(ValueError, owner, value)
        return plain


class Static(Field):
    """A part of the method's definition; it cannot change once the optimizer exists."""

    def __get__(self, optimizer, owner=None):
        return self if optimizer is None else optimizer.__dict__[self.name]

    def __set__(self, optimizer, value):
        raise AttributeError(
            f"{type(optimizer).__name__}: `{self.name}` is fixed when the optimizer is created. "
            f"Create a new one with {self.name}={value!r}."
        )


class Switch(Static):
    """A choice between two forms of the method."""

    accepts = "True or False"

    def check(self, owner, value):
        choice = _plain_bool(value)
        if choice is None:
            self.refuse(TypeError, owner, value)
        return choice


class Fixed(Argument, Static):
    """A part of the method's definition that is a count or a text."""


class Choice(Static):
    """One of a few names."""

    def __init__(self, default, *, options: tuple[str, ...], doc: str):
        super().__init__(default, doc=doc)
        self.options = options
        names = ", ".join(map(repr, options))
        self.accepts = f"one of {names}" + (" or None" if default is None else "")

    def check(self, owner, value):
        if value is None and self.default is None:
            return None
        if not isinstance(value, str):
            self.refuse(TypeError, owner, value)
        if value not in self.options:
            self.refuse(ValueError, owner, value)
        return value


class Constant(Static):
    """A number ≥ 0 that is used once, when the slots are created."""

    accepts = "a finite number ≥ 0"

    def check(self, owner, value):
        number = _plain_number(value)
        if number is None:
            self.refuse(TypeError, owner, value)
        if not 0 <= number < math.inf:
            self.refuse(ValueError, owner, value)
        return number


class KerasArgument(Argument):
    """An argument that is passed on to `keras.optimizers.Optimizer`.

    It is checked here because Keras takes most wrong values in silence: with a negative or NaN
    norm, for one, it does not clip.
    """

    tunable = False

    def of_the_whole(self) -> "OfTheWhole":
        """The argument as an optimizer made of others has it."""
        return OfTheWhole(self)


class OfTheWhole(KerasArgument):
    """Such an argument of an optimizer made of others: it is given to the main member, and kept
    there. None stands for what that was given."""

    def __init__(self, field: KerasArgument):
        doc = f"{field.doc} None: as the main member was told."
        super().__init__(None, accepts=field._accepted, doc=doc)
        self.kw_only = field.kw_only

    def __get__(self, optimizer, owner=None):
        if optimizer is None:
            return self
        if optimizer.members:
            return getattr(optimizer.members[optimizer.main], self.name)
        return optimizer.__dict__.get(self.name)

    def __set__(self, optimizer, value):
        if optimizer.members:
            setattr(optimizer.members[optimizer.main], self.name, value)
        else:  # Keras's constructor runs
            optimizer.__dict__[self.name] = value

    def config(self, optimizer):
        """None: the main member's configuration has it."""


class Numeric(Field):
    """A live number: held in a scalar variable, or given by a schedule or a callable.

    Attributes:
        path: from a composed optimizer to its member that has the field; see `Composed`.
    """

    path: tuple[str, ...] = ()
    accepts = "a finite number ≥ 0, a LearningRateSchedule or a callable"

    def __init__(self, default, *, doc: str, search: Range | None = None, kw_only: bool = False):
        super().__init__(default, doc=doc)
        self.search = search
        self.kw_only = kw_only
        if default is None:
            self.accepts += ", or None"

    def __set_name__(self, owner, name):
        super().__set_name__(owner, name)
        self._attribute = f"_{name}"

    def contains(self, number: float) -> bool:
        return 0 <= number < math.inf

    def to_held(self, number):
        """What the variable holds for `number`."""
        return number

    def to_number(self, held):
        return held

    def in_rule(self, held, t):
        """What a rule sees of this hyperparameter at step `t` (1, 2, …)."""
        return held

    def check(self, owner, value):
        if value is None and self.default is None:
            return None
        if isinstance(value, LearningRateSchedule):
            return value
        number = _plain_number(value)
        if number is None:
            if callable(value) and not isinstance(value, type):
                return value
            self.refuse(TypeError, owner, value)
        if not self.contains(number):
            self.refuse(ValueError, owner, value)
        return number

    def __get__(self, optimizer, owner=None):
        return self if optimizer is None else self.number(optimizer)

    def __set__(self, optimizer, value):
        optimizer._set_hyperparameter(self, value)

    def of_member(self, key: str) -> "Numeric":
        """The field as an optimizer has it whose member `key` has it."""
        field = copy.copy(self)
        field.path = (key, *self.path)
        return field

    def holder(self, optimizer):
        """The optimizer that has the field: this one, or a member of it."""
        for key in self.path:
            optimizer = optimizer.members[key]
        return optimizer

    def given(self, optimizer):
        """The variable, schedule or callable behind the field, or None."""
        return getattr(self.holder(optimizer), self._attribute, None)

    def give(self, optimizer, value) -> None:
        """Sets the field of the optimizer that has it."""
        setattr(self.holder(optimizer), self.name, value)

    def at(self, optimizer, count):
        """What is held after `count` steps, as a variable or tensor, or None."""
        source = self.given(optimizer)
        if source is None or isinstance(source, Variable):
            return source
        value = source(count) if isinstance(source, LearningRateSchedule) else source()
        # A Python number is turned into what is held first: float32 keeps few digits of 1 − β.
        return self.to_held(value if isinstance(value, float) else ops.cast(value, "float32"))

    def current(self, optimizer):
        """What is held at the optimizer's present step."""
        return self.at(optimizer, getattr(optimizer, "_iterations", None))

    def number(self, optimizer) -> float | None:
        """The present value as a Python number: the one that was given, not its float32."""
        held = self.current(optimizer)
        if held is None:
            return None
        value = float(ops.convert_to_numpy(held))
        remembered = self.holder(optimizer)._numbers.get(self.name)
        if remembered is not None and _rounded(self.to_held(remembered), held.dtype) == value:
            return remembered
        return self.to_number(value)

    def config(self, optimizer):
        source = self.given(optimizer)
        if source is None or isinstance(source, Variable):
            return self.number(optimizer)
        return serialize_keras_object(source)

    def from_config(self, value, custom_objects=None):
        if isinstance(value, dict):
            return deserialize_keras_object(value, custom_objects=custom_objects)
        return value

    def shown(self, optimizer):
        source = self.given(optimizer)
        return super().shown(optimizer) if isinstance(source, Variable) else repr(source)


class Rate(Numeric):
    """A learning rate. Read from an optimizer it is a tensor or variable, as in Keras."""

    def __get__(self, optimizer, owner=None):
        return self if optimizer is None else self.current(optimizer)


class DecayRate(Numeric):
    """A decay rate β in [0, 1), held as 1 − β."""

    accepts = "a number in [0, 1), a LearningRateSchedule or a callable"

    def contains(self, number):
        return 0 <= number < 1

    def to_held(self, number):
        return 1.0 - number

    def to_number(self, held):
        return 1.0 - held

    def in_rule(self, held, t):
        return Decay.at(held, t)


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
    return Constant(default, doc=doc)


def switch(*, default: bool, doc: str) -> Any:
    """Declares a choice between two forms of the method."""
    return Switch(default, doc=doc)


def count(*, default: int, doc: str) -> Any:
    """Declares a whole number ≥ 1 that is part of the method."""
    return Fixed(default, accepts=ONE_OR_MORE, doc=doc)


def pattern(*, default: str, doc: str) -> Any:
    """Declares a regular expression that tells weights apart by their paths."""
    return Fixed(default, accepts=PATTERN, doc=doc)


def choice(*, default: str | None, options: tuple[str, ...], doc: str) -> Any:
    """Declares a choice among names."""
    return Choice(default, options=options, doc=doc)


def keras_argument(*, default: Any, accepts: Accepted, doc: str) -> Any:
    """Declares an argument that is passed on to `keras.optimizers.Optimizer`."""
    return KerasArgument(default, accepts=accepts, doc=doc)


def _plain_number(value) -> float | None:
    """`value` as a float if it is one real number of any kind, else None."""
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        return as_float(value)
    if getattr(value, "shape", None) == () and not callable(value):
        array = ops.convert_to_numpy(value)
        return None if array.dtype.kind in "bcmMOSU" else float(array)
    return None


def _plain_integer(value) -> int | None:
    number = _plain_number(value)
    return int(number) if number is not None and number.is_integer() else None


def _plain_bool(value) -> bool | None:
    return bool(value) if isinstance(value, bool | np.bool_) else None


def _plain_text(value) -> str | None:
    return value if isinstance(value, str) else None


def _compiles(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True


POSITIVE = Accepted("a finite number > 0", _plain_number, lambda x: 0 < x < math.inf)
FRACTION = Accepted("a number in [0, 1]", _plain_number, lambda x: 0 <= x <= 1)
ONE_OR_MORE = Accepted("an integer ≥ 1", _plain_integer, lambda n: n >= 1)
TWO_OR_MORE = Accepted("an integer ≥ 2", _plain_integer, lambda n: n >= 2)
YES_OR_NO = Accepted("True or False", _plain_bool)
TEXT = Accepted("a string", _plain_text)
PATTERN = Accepted("a regular expression", _plain_text, _compiles)


def _rounded(number: float, dtype: str) -> float:
    """`number` after a trip through `dtype`."""
    return float(np.asarray(number, dtype))
