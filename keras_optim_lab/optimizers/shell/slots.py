"""Slots: the state that an optimizer keeps for each weight, or once for all of them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_optim_lab.optimizers.shell.fields import Decay
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


class Record(Mapping[str, Any]):
    """Named values that cannot change; calling it gives a copy with some replaced or added.

    Rules read `slot.velocity` and `h.learning_rate`, and return `slot(velocity=v)`.
    """

    _values: dict[str, Any]

    def __init__(self, values: Mapping[str, Any]):
        # In a way that torch.compile can follow: it knows of no other means past __setattr__.
        self.__dict__["_values"] = dict(values)

    def __getattr__(self, name: str):
        try:
            return self.__dict__["_values"][name]
        except KeyError:
            raise AttributeError(
                f"no value named {name!r}; there are {sorted(self._values)}"
            ) from None

    def __setattr__(self, name, value):
        raise AttributeError(f"a record cannot change; call it: record({name}=...)")

    def __call__(self, **changes) -> "Record":
        return Record({**self._values, **changes})

    def at(self, t) -> "Record":
        """The hyperparameters at another step."""
        decays = {n: v.at(v.complement, t) for n, v in self.items() if isinstance(v, Decay)}
        return self(**decays, t=t)

    def within(self, key: str) -> "Record":
        """The values `key.name` by their names, and `t`."""
        prefix = f"{key}."
        inner = {n.removeprefix(prefix): v for n, v in self.items() if n.startswith(prefix)}
        return Record({"t": self.t, **inner} if "t" in self else inner)

    def including(self, key: str, inner: "Record") -> "Record":
        """A copy with the values of such a record put back."""
        return self(**{f"{key}.{name}": value for name, value in inner.items() if name != "t"})

    def note(self, **values) -> None:
        """Gives values of a rule a name in a step-by-step trace; in training it does nothing."""

    def __getitem__(self, name: str):
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Record({self._values})"

    def cast(self, dtype: str) -> "Record":
        """Every value in `dtype`."""
        return Record({name: _cast(value, dtype) for name, value in self._values.items()})


def _cast(value, dtype: str):
    if value is None:
        return None
    return value.cast(dtype) if hasattr(value, "cast") else ops.cast(value, dtype)
