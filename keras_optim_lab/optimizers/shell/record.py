"""Records: what a rule reads and returns, values by name."""

from collections.abc import Iterator, Mapping
from typing import Any

from keras import ops

from keras_optim_lab.optimizers.shell.numeric import Decay


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
