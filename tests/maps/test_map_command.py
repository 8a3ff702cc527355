"""The command `keras-optim-lab map` does what `kol.map` does, on a task or through a study."""

import dataclasses
import html
import re
import shlex

import optuna
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
    start = [{"learning_rate": 0.02}]
    study = kol.TuningResult.create(TASK, "adam", storage="s.db", name="mine", start=start)
    study.run(2, Formula())
    shown = command("--study", "mine", "--storage", "s.db", "--output", "page.html", *GRID)
    assert shown.exit_code == 0, shown.output
    assert "the choice of mine" in shown.output
    page = html.unescape((tmp_path / "page.html").read_text("utf-8"))
    again = shlex.split(re.search("keras-optim-lab map (.*--study=mine .*)</pre>", page)[1])
    assert "--storage=s.db" in again
    repeated = command(*again)
    assert repeated.exit_code == 0, repeated.output
    assert shown.output.partition("Page: ")[0] == repeated.output.partition("Page: ")[0]


def test_where_the_command_has_no_words_for_it_python_repeats_it(command):
    """A direction that the name does not tell, a task that was changed, a study in memory."""
    task, few = kol.tasks.get(TASK), {"settings": 4, "seeds": 1}
    found = kol.map(TASK, kol.Adam(), objective=("val_loss", "maximize"), **few)
    again = eval(found.command, {"kol": kol})
    assert (again.sentence, again.objective) == (found.sentence, found.objective)
    assert kol.map(task, **few).command.startswith("keras-optim-lab map ")
    changed = kol.map(dataclasses.replace(task, epochs=3), **few)
    assert changed.command.startswith("kol.map(task, ")
    study = kol.TuningResult.create(TASK, "adam", storage=optuna.storages.InMemoryStorage())
    study.run(1, Formula())
    found = kol.map(TASK, result=study, **few)
    assert found.command.endswith(", result=result)")


def test_without_task_and_study_it_asks_for_one(command):
    assert "Give --task, or --study" in str(command().exception)
