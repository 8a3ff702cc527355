"""The line of every key and table of a TOML file is known; what a value holds begins with it."""

import tomllib
from pathlib import Path

import pytest

from keras_optim_lab.experiments.lines import lines_of

pytestmark = pytest.mark.once

EVERYTHING = '''# A comment with a = 1 and [brackets].

plain = 1  # and another = 2\u2028 and = 3
"quoted key" = "a # is no comment"
'literal' = 'C:\\n'
dotted . name.deep = true
many_lines = """
no = 1
[no]
\\""" end""""
literal_lines = \'\'\'
no = 2
\'\'\'
list = [
    1,  # one ]
    [2, 3],

    "three, ]", { inside = 4, further = [
        5] },
]
when = 1979-05-27T07:32:00Z
empty = []
none = {}

[table]
key = -1.5e-3
[table.below."with a.dot"]
key = 2
[[array]]
name = "a"
  [array.own]
  key = 1
  [[array.own.deep]]
  x = 1
[[array]]
name = "b"
[array.own]
key = 2
after = inf'''

LINES = {
    ("plain",): 3,
    ("quoted key",): 4,
    ("dotted", "name", "deep"): 6,
    ("many_lines",): 7,
    ("literal_lines",): 11,
    ("list",): 14,
    ("list", 0): 14,
    ("list", 1, 1): 14,
    ("list", 2): 14,
    ("list", 3, "inside"): 14,
    ("list", 3, "further", 0): 14,
    ("when",): 21,
    ("table",): 25,
    ("table", "key"): 26,
    ("table", "below", "with a.dot", "key"): 28,
    ("array", 0, "name"): 30,
    ("array", 0, "own", "deep", 0, "x"): 34,
    ("array", 1): 35,
    ("array", 1, "own", "key"): 38,
    ("array", 1, "own", "after"): 39,
}


def places(data, place=()):
    """Every place below the top of what tomllib has read."""
    if isinstance(data, dict):
        parts = data.items()
    else:
        parts = enumerate(data) if isinstance(data, list) else ()
    for key, part in parts:
        yield (*place, key)
        yield from places(part, (*place, key))


@pytest.mark.parametrize("place", LINES, ids=lambda place: ".".join(map(str, place)))
def test_a_place_has_the_line_on_which_it_begins(place):
    assert lines_of(EVERYTHING)[place] == LINES[place]


FILES = sorted((Path(__file__).parents[2]).glob("*.toml")) + sorted(
    (Path(__file__).parents[2] / "experiments").glob("*.toml")
)


@pytest.mark.parametrize("text", [EVERYTHING, *(f.read_text(encoding="utf-8") for f in FILES)])
def test_every_place_that_tomllib_finds_has_a_line_and_no_other_has(text):
    assert lines_of(text).keys() == set(places(tomllib.loads(text)))


def test_an_empty_file_has_no_places():
    assert lines_of("") == lines_of("# nothing\n\n") == {}
