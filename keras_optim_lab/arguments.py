"""Arguments as they are given: numbers of any kind, and words that are nearly right."""

import difflib
import math


def near_matches(word: str, known) -> str:
    """`" Did you mean 'adam', 'adamw'?"`, or nothing when no known word is near.

    Near is also the name of several words that has these initials, as "lr" of "learning_rate".
    """
    near = difflib.get_close_matches(str(word).lower(), list(known), n=3, cutoff=0.5)
    near += [name for name in known if _initials(name) == word and name not in near]
    return f" Did you mean {', '.join(map(repr, near))}?" if near else ""


def _initials(name: str) -> str | None:
    words = name.split(".")[-1].split("_")
    return "".join(part[:1] for part in words) if len(words) > 1 else None


def as_float(value) -> float:
    """A real number as a float: infinite where it is larger than all of them."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
