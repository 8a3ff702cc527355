"""Kinds of fields: what an argument of an optimizer's constructor accepts, and how it is kept."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import numpy as np
from keras import ops

from keras_optim_lab.arguments import as_float


class Field:
    """One argument of an optimizer's constructor.

    Attributes:
        tunable: whether it is a setting of the method, which a study may choose.
        none_is_like: the number that does most nearly what None does.
    """

    accepts = ""
    kw_only = False
    tunable = True
    none_is_like = 0.0

    def __init__(self, default, *, doc: str):
        self.default = default
        self.doc = doc

    def __set_name__(self, owner, name):
        self.name = name

    def may_be_set(self, optimizer) -> bool:
        """Whether a study may choose it, of an optimizer or of one by default, then its class."""
        return self.tunable

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


class Fixed(Argument, Static):
    """A part of the method's definition that is a count, a text or one of a few names."""


class Switch(Fixed):
    """A choice between two forms of the method."""


class Constant(Fixed):
    """A number that is used once, when the slots are created."""


class KerasArgument(Argument):
    """An argument that is passed on to `keras.optimizers.Optimizer`.

    It is checked here because Keras takes most wrong values in silence: with a negative or NaN
    norm, for one, it does not clip.
    """

    tunable = False

    def of_the_whole(self) -> "OfTheWhole":
        """The argument as an optimizer made of others has it."""
        return OfTheWhole(self)


class KerasNumber(KerasArgument):
    """One that is a number, which a study may choose.

    Attributes:
        needs: another argument, without which nothing reads it.
    """

    tunable = True
    none_is_like = math.inf  # where it is a bound, as the others are

    def __init__(self, default, *, accepts: Accepted, doc: str, needs: str | None = None):
        super().__init__(default, accepts=accepts, doc=doc)
        self.needs = needs

    def may_be_set(self, optimizer) -> bool:
        needed = getattr(optimizer, self.needs) if self.needs else True
        return bool(needed.default if isinstance(needed, Field) else needed)


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


def plain_number(value) -> float | None:
    """`value` as a float if it is one real number of any kind, else None."""
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        return as_float(value)
    if getattr(value, "shape", None) == () and not callable(value):
        array = ops.convert_to_numpy(value)
        return None if array.dtype.kind in "bcmMOSU" else float(array)
    return None


def plain_integer(value) -> int | None:
    """A whole number, also as a float: so come those of a search and of the command line."""
    number = plain_number(value)
    return int(number) if number is not None and number.is_integer() else None


def plain_bool(value) -> bool | None:
    return bool(value) if isinstance(value, bool | np.bool_) else None


def plain_text(value) -> str | None:
    return value if isinstance(value, str) else None
