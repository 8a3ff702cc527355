"""The lessons run from their first cell to their last, and what they assert holds."""

import json
import os
from pathlib import Path

import keras
import matplotlib
import pytest

pytestmark = pytest.mark.once

LESSONS = sorted((Path(__file__).parents[1] / "docs" / "lessons").glob("*.ipynb"))


def code(lesson):
    cells = json.loads(lesson.read_text("utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_a_lesson_runs(lesson, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    names = {"__name__": "__main__"}
    for number, cell in enumerate(code(lesson)):
        exec(compile(cell, f"{lesson.name}, cell {number}", "exec"), names)
    assert capsys.readouterr().out.strip()
    matplotlib.pyplot.close("all")
    keras.utils.clear_session(free_memory=False)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_a_lesson_holds_no_outputs_and_sets_itself_up(lesson):
    cells = json.loads(lesson.read_text("utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells)  # the site's builder makes them
    assert "google.colab" in code(lesson)[0]
    assert 'os.environ.setdefault("KERAS_BACKEND"' in code(lesson)[0]
    assert os.path.getsize(lesson) < 20_000
