"""The command `keras-optim-lab map` does what `kol.map` does, on a task or through a study."""

import shlex

import pytest
from rich.console import Console
from typer.testing import CliRunner

import keras_optim_lab as kol
from keras_optim_lab import cli, map_command, tune_commands
from keras_optim_lab.maps import settings_map
from tests.studies import Formula

pytestmark = pytest.mark.once

TASK = "diabetes-mlp"
GRID = ["--settings", "4", "--seeds", "1"]


@pytest.fixture
def command(monkeypatch, tmp_path):
    """The command in an empty folder, with losses by formula."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(settings_map, "PopulationEngine", lambda *_: Formula())
    for module in (map_command, tune_commands):
        monkeypatch.setattr(module, "console", Console(width=300))
    return lambda *arguments: CliRunner().invoke(cli.app, ["map", *arguments])


def test_it_shows_what_the_function_finds_and_writes_the_page(command, tmp_path):
    shown = command("--task", TASK, "--y", "epsilon", "--space", "beta_1=0.8", *GRID)
    assert shown.exit_code == 0, shown.output
    found = kol.map(TASK, y="epsilon", space={"beta_1": 0.8}, settings=4, seeds=1)
    assert found.sentence in shown.output.replace("\n", " ")
    assert [row for row in found.rows if not all(cell in shown.output for cell in row)] == []
    assert (tmp_path / "reports" / f"map-{TASK}-learning_rate-epsilon.html").is_file()


def test_what_the_page_says_repeats_it(command):
    found = kol.map(
        TASK, "lion", y="beta_2", space={"beta_2": (0.5, 0.9), "beta_1": 0.8}, settings=4, seeds=1
    )
    program, name, *arguments = shlex.split(found.command)
    assert (program, name) == ("keras-optim-lab", "map")
    shown = command(*arguments)
    assert shown.exit_code == 0, shown.output
    assert found.sentence in shown.output.replace("\n", " ")


def test_a_map_goes_through_a_stored_study(command, tmp_path):
    study = kol.TuningResult.create(TASK, "adam", name="mine", start=[{"learning_rate": 0.02}])
    study.run(2, Formula())
    shown = command("--study", "mine", "--output", "page.html", *GRID)
    assert shown.exit_code == 0, shown.output
    assert "the choice of mine" in shown.output
    assert "--study=mine" in (tmp_path / "page.html").read_text("utf-8")


def test_without_task_and_study_it_asks_for_one(command):
    assert "Give --task, or --study" in str(command().exception)
