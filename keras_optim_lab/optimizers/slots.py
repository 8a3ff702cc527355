"""Slots: the state that an optimizer keeps for each weight, or once for all of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from keras import ops


@dataclass(frozen=True)
class Slot:
    """One array of state per weight, of the weight's shape.

    Args:
        name: how the rule calls it.
        when: the switch or number that must be on (not False, not 0) for the slot to exist.
        initial: its first value: a number, or the name of the field that gives it.
        rows: the field that says how many such arrays are kept, stacked; None for a single one.
    """

    name: str
    when: str | None = None
    initial: float | str = 0.0
    rows: str | None = None

    def exists(self, optimizer) -> bool:
        return self.when is None or optimizer.declares(self.when)

    def first_value(self, optimizer) -> float:
        if not isinstance(self.initial, str):
            return self.initial
        # A live number is remembered as it was given: its variable cannot be read while tracing.
        number = optimizer._numbers.get(self.initial)
        return getattr(optimizer, self.initial) if number is None else number


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
