"""Live numbers: held in variables, or given by schedules, and how they enter a rule."""

import copy
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from keras import Variable, ops
from keras.optimizers.schedules import LearningRateSchedule
from keras.saving import deserialize_keras_object

from keras_optim_lab.keras_private import serialized
from keras_optim_lab.optimizers.shell.field_kinds import Field, plain_number


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
        number = plain_number(value)
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
        return serialized(source)

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


def _rounded(number: float, dtype: str) -> float:
    """`number` after a trip through `dtype`."""
    return float(np.asarray(number, dtype))
