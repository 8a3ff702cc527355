"""What `docs/differences-from-keras.md` says of the Keras that is installed."""

import re
from pathlib import Path

import keras
import pytest

PAGE = Path(__file__).parents[1] / "docs" / "differences-from-keras.md"
EXAMPLE = re.compile(
    r"^## (?P<title>[^\n(]+) \((?P<where>[^)]+)\)\n.*?"
    r"^```python (?P<backends>[a-z ]+)\n(?P<code>.*?)^```\n\n```\n(?P<printed>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
EXAMPLES = [*EXAMPLE.finditer(PAGE.read_text(encoding="utf-8"))]
NAMES = {"TensorFlow": "tensorflow", "JAX": "jax", "PyTorch": "torch"}
HERE = [each for each in EXAMPLES if keras.backend.backend() in each["backends"].split()]


@pytest.mark.once
def test_every_difference_has_an_example_and_a_heading_that_names_its_backends():
    page = PAGE.read_text(encoding="utf-8")
    assert len(EXAMPLES) == page.count("\n## ") == page.count("```python")
    for example in EXAMPLES:
        named = [NAMES[name] for name in example["where"].split(", ") if name != "all"]
        assert example["backends"].split() == (named or [*NAMES.values()])


@pytest.mark.parametrize("example", HERE, ids=[each["title"] for each in HERE])
def test_a_difference_from_keras_is_as_documented(example, capsys):
    exec(compile(example["code"], str(PAGE), "exec"), {})
    printed = capsys.readouterr().out
    assert printed == example["printed"], (
        f"Keras {keras.__version__} or this package has changed. Where Keras has mended "
        f"“{example['title']}”, take it from {PAGE.name} and from what docstrings say of it."
    )
