"""Arguments as they are given: numbers of any kind, and words that are nearly right."""

import difflib
import math
import operator
from collections.abc import Iterable
from numbers import Real
from typing import Any

# NumPy takes seeds twice as large; trials and evaluations count up from the study's.
_MOST = 2**31 - 1


def near_matches(word: str, known: Iterable[str]) -> str:
    """`" Did you mean 'adam', 'adamw'?"`, or nothing when no known word is near.

    Near is also the name of several words that has these initials, as "lr" of "learning_rate".
    """
    near = nearest(word, known)
    near += [name for name in known if _initials(name) == word and name not in near]
    return f" Did you mean {', '.join(map(repr, near))}?" if near else ""


def nearest(word: str, known: Iterable[str], most: int = 3, alike: float = 0.5) -> list[str]:
    """The known words that are at least so much like this one, by letters of either case."""
    names: dict[str, list[str]] = {}
    for name in known:
        names.setdefault(name.lower(), []).append(name)
    near = difflib.get_close_matches(str(word).lower(), names, n=most, cutoff=alike)
    return [name for letters in near for name in names[letters]]


def _initials(name: str) -> str | None:
    words = name.split(".")[-1].split("_")
    return "".join(part[:1] for part in words) if len(words) > 1 else None


def as_float(value: Any) -> float:
    """A real number as a float: infinite where it is larger than all of them."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def is_number(value: Any) -> bool:
    """Whether it is a real number of Python's or NumPy's; a boolean is none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def as_whole(value: Any) -> int | None:
    """A whole number of any kind as Python's; None for all else, booleans and 2.0 included."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def whole_number(
    argument: str, value: Any, *, least: int = 1, most: int = _MOST, what: str = "", owner: str = ""
) -> int:
    """Returns a whole number from `least` to `most` as Python's.

    Args:
        argument: its name, for the error.
        value: as it was given.
        what: the number is or is for, for the error.
        owner: whose argument it is, where the name alone would not say it.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is too small or too large.
    """
    number = as_whole(value)
    if number is not None and least <= number <= most:
        return number
    range_ = f"≤ {most:,}" if number is not None and number > most else f"≥ {least}"
    raise (TypeError if number is None else ValueError)(
        f"{owner}{': ' * bool(owner)}`{argument}` must be a whole number {range_}"
        f"{', ' * bool(what)}{what}. Received: {argument}={value!r}"
    )
