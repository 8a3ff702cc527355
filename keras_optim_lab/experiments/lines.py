"""Where things stand in a TOML file, which `tomllib` does not tell."""

import io
import tomllib
from collections.abc import Iterator
from typing import Any

Place = tuple[str | int, ...]  # keys, and indices of arrays, from the top of the file


def lines_of(text: str) -> dict[Place, int]:
    """The line on which every key, table and array element begins, counted from 1.

    What an array or a table in braces holds begins with it, however many lines that takes.

    Args:
        text: that `tomllib` has read without an error.
    """
    lines: dict[Place, int] = {}
    elements: dict[Place, int] = {}  # how many `[[…]]` an array has so far
    table: Place = ()
    for line, statement in _statements(text):
        data: Any = tomllib.loads(statement)
        header = statement.lstrip().startswith("[")
        place: Place = () if header else table
        if header:
            while data:
                ((key, data),) = data.items()
                place = (*place, key)
                lines.setdefault(place, line)
                if isinstance(data, list):
                    elements[place] = elements.get(place, 0) + 1
                    data = None
                if place in elements:
                    place = (*place, elements[place] - 1)
                    lines.setdefault(place, line)
            table = place
        for below in _places(data, place):
            lines.setdefault(below, line)
    return lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Every header and every pair of key and value, with the line on which it begins."""
    begun, statement = 1, ""
    for number, line in enumerate(io.StringIO(text), 1):
        begun, statement = (begun, statement + line) if statement else (number, line)
        try:
            found = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:  # it goes on in the next line
            continue
        if found:
            yield begun, statement
        statement = ""


def _places(data: Any, place: Place) -> Iterator[Place]:
    """Every place below one."""
    if isinstance(data, dict | list):
        for key, part in data.items() if isinstance(data, dict) else enumerate(data):
            yield (*place, key)
            yield from _places(part, (*place, key))
