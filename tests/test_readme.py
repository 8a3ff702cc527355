"""The examples of the README and the other documents run as they stand. What they print is not
compared: numbers differ a little between machines."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
EXAMPLES = [
    block
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    if "import keras_optim_lab" in block
]

pytestmark = pytest.mark.once


def test_there_are_eight_examples():
    assert len(EXAMPLES) == 8


@pytest.mark.parametrize(
    "example",
    EXAMPLES,
    ids=[
        "model",
        "tuning",
        "functional",
        "composing",
        "curvature",
        "equation",
        "optuna",
        "kerastuner",
    ],
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


def test_links_between_the_documents_lead_somewhere():
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "experiments" / "README.md"]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
