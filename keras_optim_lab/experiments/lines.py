"""Where things stand in a TOML file, which `tomllib` does not tell."""

import re
import tomllib

Place = tuple[str | int, ...]  # keys, and indices of arrays, from the top of the file

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:\\.|[^"\\])*"' r"|'[^']*'", re.DOTALL
)
_PLAIN = re.compile(r"[^,\]}#\n]+")  # a number, a date, true or false


def lines_of(text: str) -> dict[Place, int]:
    """The line of every key, table and array element, counted from 1.

    Args:
        text: that `tomllib` has read without an error.
    """
    return _Reader(text).lines


class _Reader:
    def __init__(self, text: str):
        self.lines: dict[Place, int] = {}
        self._text = text
        self._at = 0
        self._elements: dict[Place, int] = {}  # how many `[[…]]` an array has so far
        table: Place = ()
        while self._skip(_BLANK):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Place:
        line = self._line
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        keys = self._keys()
        self._at += brackets
        table: Place = ()
        for key in keys[:-1]:
            table = self._last_element(self._note((*table, key), line))
        table = self._note((*table, keys[-1]), line)
        if brackets == 2:
            self._elements[table] = self._elements.get(table, 0) + 1
        return self._note(self._last_element(table), line)

    def _last_element(self, table: Place) -> Place:
        count = self._elements.get(table)
        return table if count is None else (*table, count - 1)

    def _pair(self, table: Place) -> None:
        line = self._line
        for key in self._keys():
            table = self._note((*table, key), line)
        self._at += 1  # the equals sign
        self._value(table)

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._skip(_SPACE)
            if quoted := _STRING.match(self._text, self._at):
                keys.append(tomllib.loads(f"key = {quoted[0]}")["key"])
                self._at = quoted.end()
            else:
                keys.append(self._take(_BARE_KEY))
            self._skip(_SPACE)
            if self._text[self._at] != ".":
                return keys
            self._at += 1

    def _value(self, place: Place) -> None:
        self._skip(_SPACE)
        match self._text[self._at]:
            case "[":
                self._inside("]", lambda index: self._element((*place, index)))
            case "{":
                self._inside("}", lambda _: self._pair(place))
            case '"' | "'":
                self._take(_STRING)
            case _:
                self._take(_PLAIN)

    def _inside(self, end: str, read) -> None:
        self._at += 1
        index = 0
        while self._skip(_BLANK) and self._text[self._at] != end:
            if self._text[self._at] == ",":
                self._at += 1
            else:
                read(index)
                index += 1
        self._at += 1

    def _element(self, place: Place) -> None:
        self._value(self._note(place, self._line))

    def _note(self, place: Place, line: int) -> Place:
        self.lines.setdefault(place, line)
        return place

    @property
    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        assert found is not None, "tomllib accepts only text in which it is there"
        self._at = found.end()
        return found[0]

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        """Steps over it; whether there is any text left."""
        self._take(pattern)
        return self._at < len(self._text)
