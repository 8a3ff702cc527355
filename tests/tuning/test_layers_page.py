"""The page that says how each layer trains in a population."""

import inspect
import re
from pathlib import Path

import keras

ROOT = Path(__file__).parents[2]


def test_every_layer_of_keras_stands_in_the_table_or_is_said_to_be_left_out():
    page = (ROOT / "docs" / "layers.md").read_text("utf-8")
    script = (ROOT / "scripts" / "engine_coverage.py").read_text("utf-8")
    left_out = re.search(r"NOT_TRIED = \{(.*?)\}", script, re.DOTALL)[1]
    known = {*re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE), *re.findall(r'"(\w+)"', left_out)}
    names: dict[type, set[str]] = {}
    for name, layer in inspect.getmembers(keras.layers, inspect.isclass):
        names.setdefault(layer, set()).add(name)
    assert [layer for layer, aliases in names.items() if not aliases & known] == []
