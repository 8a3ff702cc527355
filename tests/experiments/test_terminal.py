"""What is printed is what was meant, whatever it contains and whatever the terminal can show."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from keras_optim_lab import cli, terminal
from keras_optim_lab.comparison import comparison as comparing
from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning.engines import default
from keras_optim_lab.tuning.executors import choosing
from tests.comparison.examples import comparison
from tests.experiments.texts import OPTIMIZERS
from tests.studies import Formula

pytestmark = pytest.mark.once

NAMES = ["[/red]", "[red]abc :warning: \\[x] [bold"]


@pytest.fixture
def main(engine, monkeypatch):
    """The command in an empty folder on a terminal of an encoding; its code and what it said."""
    monkeypatch.setattr(choosing, "PopulationEngine", lambda width: Formula())
    monkeypatch.setattr(default, "PopulationEngine", Formula)
    monkeypatch.setattr(Task, "evaluate", lambda *_: {"loss": 1.0})
    monkeypatch.setattr(comparing, "compare_backends", lambda *_, **__: comparison())
    monkeypatch.setattr(cli, "console", terminal.console())

    def run(*arguments, encoding="utf-8"):
        screen = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
        monkeypatch.setattr(sys, "argv", ["keras-optim-lab", *arguments])
        monkeypatch.setattr(sys, "stdout", screen)
        monkeypatch.setattr(sys, "stderr", screen)
        code = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
        return code or 0, screen.buffer.getvalue().decode(encoding)

    return run


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_study_is_printed_as_it_is(main, name):
    stored = ("--storage", "sqlite:///s.db")
    made = ("--task", "small", "--trials", "2", "--seeds", "1", "--name", name, *stored)
    for arguments, said in (
        (("tune", *made), f"Study {name}: adam on small"),
        (("worker", name, *stored), f"Training trials of study {name} on"),
        (("report", name, *stored, "--seeds", "1", "--output", f"{name}.html"), f"{name}.html\n"),
        (("report", f"{name}?", *stored), f"There is no study '{name}?'".replace("\\", r"\\")),
    ):
        code, shown = main(*arguments)
        assert said in shown
        assert code == 2 * ("?" in arguments[1])
        assert "Traceback" not in shown


@pytest.mark.parametrize("name", NAMES)
def test_names_and_questions_of_an_experiment_are_printed_as_they_are(main, name):
    folder = Path(f"in {name.replace('/', '')}")
    folder.mkdir()
    text = OPTIMIZERS.replace('optimizers = ["momentum", "adam"]\n', "").replace("Which", name)
    text += f"[[methods]]\nname = '{name}'\noptimizer = 'adam'\n"
    (folder / "mine.toml").write_text(text.replace("\\", r"\\"), "utf-8")
    path = str(folder / "mine.toml")
    code, shown = main("run", path, "--dry-run")
    assert code == 0, shown
    method = name.replace("\\", r"\\")  # is in single quotes, where TOML takes it as it stands
    assert f"{name} is best?" in shown
    assert f"\n{method}, default" in shown
    assert f"{folder}/results/mine.html" in shown
    code, shown = main("run", path)
    assert code == 0, shown
    assert f"Page: {Path(folder).resolve()}/results/mine.html" in shown
    assert f"the best on the test split is {method}: loss" in " ".join(shown.split())
    assert "Traceback" not in shown


def test_a_wrong_argument_is_printed_as_it_is(main):
    for arguments in (("tuna[/red]",), ("tasks", "--[/red]"), ("tasks", "[/red]")):
        code, shown = main(*arguments)
        assert code == 2
        assert "[/red]" in shown


COMMANDS = [
    *([command, "--help"] for command in ("tune", "worker", "run", "trace", "race")),
    ["--help"],
    ["optimizers"],
    ["optimizers", "adam"],
    ["optimizers", "η"],
    ["tasks"],
    ["surfaces"],
    ["tasks", "--η"],
    ["trace", "adam", "--surface", "beale", "--steps", "1", "--format", "markdown"],
    ["race", "--optimizers", "momentum", "--steps", "2", "--output", "η.html"],
    ["compare-backends", "--task", "small", "--output", "η.html"],
    ["tune", "--task", "small", "--trials", "2", "--name", "η", "--seeds", "1"],
    ["run", "experiments/η.toml", "--dry-run"],
    ["run", "experiments/η.toml"],
]


def test_a_character_that_the_terminal_lacks_ends_no_command(main, experiment):
    experiment(OPTIMIZERS.replace("Which", "Whose η"), name="η")
    seen = set()
    for command in COMMANDS:
        code, shown = main(*command, encoding="ascii")
        assert code == 2 * (command[-1] in ("η", "--η")), shown
        assert "Traceback" not in shown
        seen |= set(re.findall(r"\w?\?", shown))
    assert "?" in seen
    assert Path("reports/η.html").is_file()
    assert Path("experiments/results/η.html").is_file()
    assert Path("η.json").is_file()


def test_the_programs_streams_are_those_that_replace():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "keras_optim_lab", "trace", "--help"]
    done = subprocess.run(command, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stdout.isascii()
