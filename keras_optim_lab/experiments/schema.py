"""What a file may say: keys, what their values must be, and errors that name file, line and key."""

import difflib
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from keras_optim_lab.experiments.lines import Place

_T = TypeVar("_T")
Read = Callable[[Any], Any]


class ExperimentError(ValueError):
    """A mistake in an experiment's file; the message names file, line and key."""


class _Required:
    def __repr__(self) -> str:
        return "required"


REQUIRED = _Required()


@dataclass(frozen=True)
class Key:
    """A key of a table.

    Attributes:
        read: returns the value, checked; it raises TypeError or ValueError with what is accepted.
        default: for a file that leaves it out.
    """

    read: Read
    default: Any = REQUIRED


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

    def read(self, keys: Mapping[str, Key], *, others: bool = False) -> dict[str, Any]:
        """The values of all keys, checked.

        Args:
            keys: by name.
            others: whether the table may hold other keys, which are not read.

        Raises:
            ExperimentError: a key is unknown or missing, or its value is not accepted.
        """
        unknown = [name for name in self.data if name not in keys]
        for name, key in keys.items():
            if key.default is REQUIRED and name not in self.data:
                near = difflib.get_close_matches(name, unknown, n=1, cutoff=0.7)
                meant = f", or rename {near[0]!r}" if near else ""
                raise self.error(f"the key {name!r} is missing: add {name} = …{meant}.")
        for name in [] if others else unknown:
            raise self.error(
                f"there is no such key here.{_near(name, keys)} Known: {', '.join(keys)}.", name
            )
        return {
            name: self.check(name, key.read, self.data[name]) if name in self.data else key.default
            for name, key in keys.items()
        }

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
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"must be a whole number, {range_}. Received: {value!r}")
        if value < low or (high is not None and value > high):
            raise ValueError(f"must be {range_}. Received: {value!r}")
        if value > most:
            raise ValueError(f"must be at most {most:,}. Received: {value!r}")
        return value

    return read


def number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
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
                f"there is no {value!r}.{_near(value, known)} There are: {', '.join(known)}."
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


def _near(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


def _shown(place: Place) -> str:
    """`methods[1].settings.epsilon`; elements count from 1, as a reader counts them."""
    parts = [f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in place]
    return "".join(parts).removeprefix(".")
