"""What a file may say: typed keys, what their values must be, and errors that name their line."""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, TypeVar

from keras_optim_lab.arguments import as_whole, is_number, near_matches, nearest
from keras_optim_lab.experiments.lines import Place

_T = TypeVar("_T")
_K = TypeVar("_K", bound="Keys")
Read = Callable[[Any], Any]


class ExperimentError(ValueError):
    """A mistake in an experiment's file; the message names file, line and key."""


@dataclass(frozen=True, kw_only=True)
class Keys:
    """What a table says: a subclass has a field for each key, made by `key` or `keys`."""

    def check(self, table: "Table") -> None:
        """Checks what a key alone does not tell; raises ExperimentError."""


def key(read: Read, default: Any = MISSING, *, each: type[Keys] | None = None) -> Any:
    """A key of a table.

    Args:
        read: returns the value, checked; it raises TypeError or ValueError with what is accepted.
        default: for a file that leaves it out.
        each: the keys of every table in the value, an array of tables.
    """
    metadata = {"read": read, "each": each}
    if default is MISSING:
        return field(metadata=metadata)
    return field(default_factory=lambda: default, metadata=metadata)


class Table:
    """A table of the file.

    Args:
        file: how errors call it.
        data: what `tomllib` has read.
        lines: of all places in the file.
        place: of the table in it.
    """

    def __init__(
        self, file: str, data: Mapping[str, Any], lines: Mapping[Place, int], place: Place = ()
    ):
        self.file = file
        self.data = data
        self._lines = lines
        self._place = place

    def read(self, keys: type[_K], *, others: bool = False) -> _K:
        """What the table says, checked.

        Args:
            keys: that it may have.
            others: whether the table may hold other keys, which are not read.

        Raises:
            ExperimentError: a key is unknown or missing, or its value is not accepted.
        """
        known = {each.name: each for each in fields(keys)}
        unknown = [name for name in self.data if name not in known]
        for name, each in known.items():
            if each.default_factory is MISSING and name not in self.data:
                near = nearest(name, unknown, most=1, alike=0.7)
                meant = f", or rename {near[0]!r}" if near else ""
                raise self.error(f"the key {name!r} is missing: add {name} = …{meant}.")
        for name in [] if others else unknown:
            raise self.error(
                f"there is no such key here.{near_matches(name, known)} Known: {', '.join(known)}.",
                name,
            )
        found = keys(**{n: self._value(each) for n, each in known.items() if n in self.data})
        found.check(self)
        return found

    def _value(self, key: Field) -> Any:
        value = self.check(key.name, key.metadata["read"], self.data[key.name])
        keys = key.metadata["each"]
        return [table.read(keys) for table in self.tables(key.name)] if keys else value

    def check(self, key: str | None, function: Callable[..., _T], *arguments: Any) -> _T:
        """What the function returns; its TypeError or ValueError becomes one about `key`."""
        try:
            return function(*arguments)
        except ExperimentError:
            raise
        except (TypeError, ValueError) as error:
            raise self.error(str(error), key) from error

    def table(self, key: str) -> "Table":
        """The table that is the value of a key; an empty one where it is left out."""
        return Table(self.file, self.data.get(key, {}), self._lines, (*self._place, key))

    def tables(self, key: str) -> list["Table"]:
        """The tables of an array of tables; none where it is left out."""
        return [
            Table(self.file, data, self._lines, (*self._place, key, i))
            for i, data in enumerate(self.data.get(key, []))
        ]

    def error(self, message: str, key: str | None = None) -> ExperimentError:
        """An error about a key, or about the table itself."""
        place = self._place if key is None else (*self._place, key)
        line = next(
            (self._lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in self._lines),
            1,
        )
        named = f" {_shown(place)}:" if place else ""
        return ExperimentError(f"{self.file}, line {line}:{named} {message}")


# What values may be.


def text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f'must be text in quotes, such as "adam". Received: {value!r}')
    return value


def whole(low: int, high: int | None = None, *, most: int = 2**31 - 1) -> Read:
    """A whole number from `low` to `high`, both included; without `high`, to `most` at most."""
    range_ = f"{low} or more" if high is None else f"from {low} to {high}"

    def read(value: Any) -> int:
        if as_whole(value) is None:
            raise TypeError(f"must be a whole number, {range_}. Received: {value!r}")
        if value < low or (high is not None and value > high):
            raise ValueError(f"must be {range_}. Received: {value!r}")
        if value > most:
            raise ValueError(f"must be at most {most:,}. Received: {value!r}")
        return value

    return read


def number(value: Any) -> float:
    if not is_number(value):
        raise TypeError(f"must be a number. Received: {value!r}")
    if not abs(value) <= sys.float_info.max:
        raise ValueError(f"must be a finite number. Received: {value!r}")
    return float(value)


def positive(value: Any) -> float:
    if number(value) <= 0:
        raise ValueError(f"must be a number above 0. Received: {value!r}")
    return float(value)


def one_of(words: Iterable[str]) -> Read:
    """One of these words."""
    known = list(words)

    def read(value: Any) -> str:
        if text(value) not in known:
            raise ValueError(
                f"there is no {value!r}.{near_matches(value, known)} There are: {', '.join(known)}."
            )
        return value

    return read


def list_of(read_one: Read) -> Read:
    """A list of at least one element, no two alike."""

    def read(value: Any) -> list[Any]:
        if not isinstance(value, list) or not value:
            raise TypeError(f"must be a list of at least one element. Received: {value!r}")
        elements = [read_one(element) for element in value]
        for i, element in enumerate(elements):
            if element in elements[:i]:
                raise ValueError(f"names {element!r} twice.")
        return elements

    return read


def all_or_list_of(read_one: Read, every: Callable[[], list[str]]) -> Read:
    """Such a list, or "all" for every name that there is."""
    return lambda value: every() if value == "all" else list_of(read_one)(value)


def either(one: Read, other: Read) -> Read:
    """A list goes to `other`, anything else to `one`."""
    return lambda value: (other if isinstance(value, list) else one)(value)


def table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"must be a table, such as {{ epsilon = 1e-8 }}. Received: {value!r}")
    return value


def tables(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value or not all(isinstance(e, dict) for e in value):
        raise TypeError(f"must be tables, each under a [[…]] of its own. Received: {value!r}")
    return value


def _shown(place: Place) -> str:
    """`methods[1].settings.epsilon`; elements count from 1, as a reader counts them."""
    parts = [f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in place]
    return "".join(parts).removeprefix(".")
