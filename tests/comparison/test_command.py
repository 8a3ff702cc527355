"""The command shows the result and writes it down."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from keras_optim_lab import cli
from keras_optim_lab.comparison import comparison as comparing
from tests.comparison.examples import comparison

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def in_empty_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def test_the_command_passes_its_options_on_and_shows_and_writes_the_result(monkeypatch):
    asked = {}

    def compare(task, optimizers, **options):
        asked.update(task=task, optimizers=optimizers, **options)
        return comparison()

    monkeypatch.setattr(comparing, "compare_backends", compare)
    shown = CliRunner().invoke(
        cli.app,
        [
            *("compare-backends", "--task", "small", "--optimizers", "adam,radam"),
            *("--backends", "jax,torch", "--steps", "1,4", "--seed", "3"),
            *("--learning-rate", "0.5", "--output", "deep/page.html"),
        ],
    )
    assert shown.exit_code == 0, shown.output
    del asked["on_progress"]
    assert asked == {
        "task": "small",
        "optimizers": ["adam", "radam"],
        "backends": ["jax", "torch"],
        "steps": [1, 4],
        "seed": 3,
        "learning_rate": 0.5,
    }
    found = comparison()
    assert found.summary in shown.output
    rows = [line.split() for line in shown.output.splitlines() if line.startswith("radam")]
    assert rows == [
        ["radam", "0.0e+00", "0.0e+00", "–"],
        ["radam", *["1.500", "s", "12.50", "ms"] * 3],
    ]
    assert f"adam {found.verdicts['adam']}" in shown.output
    assert f"Report: {Path('deep/page.html').resolve()}" in shown.output
    assert json.loads(Path("deep/page.json").read_text())["seed"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--task smal", "There is no task"),
        ("--task digits-mlp --optimizers adm", "Did you mean 'adam'"),
        ("--task digits-mlp --backends jxa", "Did you mean 'jax'"),
        ("--task digits-mlp --steps 1,many", "--steps takes whole numbers with commas"),
        ("--task digits-mlp --steps 0", "`steps` must be a whole number ≥ 1. Received: steps=0"),
        ("--task digits-mlp --seed -1", "`seed` must be a whole number ≥ 0. Received: seed=-1"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(monkeypatch, capfd, arguments, message):
    monkeypatch.setattr(sys, "argv", ["keras-optim-lab", "compare-backends", *arguments.split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    error = capfd.readouterr().err
    assert ended.value.code == 2
    assert error.startswith("Error: ")
    assert error.count("\n") == 1
    assert message in error
    assert list(Path().iterdir()) == []


def test_ctrl_c_is_told_in_a_line(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(comparing, "compare_backends", interrupted)
    shown = CliRunner().invoke(cli.app, ["compare-backends", "--task", "small"])
    assert shown.exit_code == 130
    assert "Stopped" in shown.output
