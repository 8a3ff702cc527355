"""The experiments of this repository can be run."""

import re
from pathlib import Path

import pytest

from keras_optim_lab.experiments.experiment import load

pytestmark = pytest.mark.once

FOLDER = Path(__file__).parents[2] / "experiments"
FILES = sorted(FOLDER.glob("*.toml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_shipped_experiment_is_valid_and_says_what_it_would_train(file, tmp_path, monkeypatch):
    copied = tmp_path / file.name
    copied.write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    experiment = load(copied)
    assert experiment.backend == "jax"
    parts = experiment.parts()
    assert parts
    assert all(part.trainings > 0 and part.done == 0 for part in parts)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_shipped_experiment_begins_with_a_comment_and_is_listed(file):
    assert file.read_text(encoding="utf-8").startswith("# ")
    listed = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"keras-optim-lab run experiments/{file.name}" in listed


def test_no_experiment_is_listed_that_is_not_there():
    listed = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"run experiments/([\w.-]+)`", listed)) == {file.name for file in FILES}
