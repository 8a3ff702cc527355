"""Slots: the state that an optimizer keeps for each weight, or once for all of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras

from keras_optim_lab.optimizers.shell.precision import arithmetic_dtype, is_half

Shape = tuple[int, ...]


class Place(NamedTuple):
    """What is known of a weight before training: where it stands, and its shape."""

    path: str
    shape: Shape


@dataclass(frozen=True)
class Slot:
    """One array of state per weight.

    Args:
        name: how the rule calls it.
        when: the switch or number that must be on (not False, not 0) for the slot to exist.
        initial: its first value: a number, or the name of the field that gives it.
        shape: from the optimizer and a weight's place to the slot's shape, or to None where the
            weight has no such slot.
        low_precision: whether `state_dtype` applies to it.
    """

    name: str
    when: str | None = None
    initial: float | str = 0.0
    shape: Callable[[Any, Place], Shape | None] | None = None
    low_precision: bool = True

    def exists(self, optimizer) -> bool:
        return self.when is None or optimizer.declares(self.when)

    def first_value(self, optimizer) -> float:
        if not isinstance(self.initial, str):
            return self.initial
        # A live number is remembered as it was given: its variable cannot be read while tracing.
        number = optimizer._numbers.get(self.initial)
        return getattr(optimizer, self.initial) if number is None else number

    def layout(self, optimizer, place: Place, dtype) -> tuple[Shape, str] | None:
        """Shape and dtype of the slot of a weight, or None where the weight has no such slot."""
        own = self.shape(optimizer, place) if self.shape else place.shape
        if own is None:
            return None
        return tuple(own), (self.low_precision and optimizer.state_dtype) or arithmetic_dtype(dtype)


class Compensation(Slot):
    """What rounding has taken from a weight of half precision, and its next step gives back."""

    def layout(self, optimizer, place, dtype):
        return (place.shape, keras.backend.standardize_dtype(dtype)) if is_half(dtype) else None
