"""The README's examples run as they stand. What they print is not compared: numbers differ a
little between machines."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)

pytestmark = pytest.mark.once


def test_there_are_seven_examples():
    assert len(EXAMPLES) == 7


@pytest.mark.parametrize(
    "example",
    EXAMPLES,
    ids=["model", "tuning", "functional", "groups", "curvature", "optuna", "kerastuner"],
)
def test_an_example_runs_and_prints(example, tmp_path):
    fewer = example.replace("trials=20, confirm=3", "trials=2").replace("epochs=10", "epochs=1")
    fewer = fewer.replace("trials=8", "trials=1")
    fewer = fewer.replace('report("wine.html")', 'report("wine.html", seeds=1)')
    done = subprocess.run(
        [sys.executable, "-c", fewer], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.strip()
