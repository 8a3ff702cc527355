"""Results show themselves in notebooks, as frames and as figures; commands as JSON."""

import io
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas
import pytest
from typer.testing import CliRunner

import keras_optim_lab as kol
from keras_optim_lab import cli, shown, terminal
from keras_optim_lab.tasks import catalogue
from tests.studies import Formula, small_model, small_task
from tests.test_cli import SMALL

pytestmark = pytest.mark.once("torch")  # which has the least to do


def tuned():
    task = small_task()
    return kol.tune(task, trials=6, folds=None, start="none", confirm=0, storage="s.journal")


def compared():
    return kol.compare(small_task(), {"a": "adam", "<b>": "momentum"}, runs=4)


def mapped():
    return kol.map(small_task(), settings=9, seeds=2, folds=None)


def range_test():
    model = small_model()
    model.compile(kol.Adam(), "mse")
    x = np.ones((32, 3), "float32")
    return kol.find_learning_rate(model, x, x[:, :1], high=1e-2, steps=8)


RESULTS = {
    "trace": (lambda: kol.trace("adam", "x**2 + y**2", (0.5, 1.0), steps=3), 3),
    "race": (lambda: kol.race("beale", ["momentum", "adam"], steps=20), 2),
    "race in one dimension": (lambda: kol.race("x**2", ["adam"], steps=5), 1),
    "range test": (range_test, 8),
    "minimization": (
        lambda: kol.minimize(lambda x: keras.ops.sum(x**2), [1.0, 2.0], "lbfgs"),
        None,
    ),
    "study": (tuned, 6),
    "comparison": (compared, None),
    "map": (mapped, 9),
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_a_table_a_frame_and_a_figure(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, rows = RESULTS[name]
    found = make()
    frame = found.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert len(frame) == rows or (rows is None and len(frame) > 1)
    assert frame.select_dtypes("number").shape[1]  # numbers, not their text
    html = found._repr_html_()
    assert html.count("<tr>") > 1
    assert len(html) < 20_000
    assert "<b>" not in html  # a name is no markup
    axes = found.plot(width="text", path="figure.pdf")
    assert axes.has_data()
    assert axes.figure.get_size_inches()[0] == 6.75
    drawn = (tmp_path / "figure.pdf").read_bytes()
    assert b"/Type42" in drawn or b"/FontFile2" in drawn  # text is text


def test_a_figure_is_as_wide_as_a_column_or_drawn_on_given_axes():
    from matplotlib.figure import Figure

    found = kol.trace("adam", "x**2", 0.5, steps=2)
    assert found.plot().figure.get_size_inches()[0] == 3.25
    axes = Figure().subplots()
    assert found.plot(axes) is axes
    with pytest.raises(ValueError, match=r"'column' or 'text'\. Received: width='page'"):
        found.plot(width="page")


def test_a_study_without_a_complete_trial_shows_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from keras_optim_lab.tuner import TuningResult

    found = TuningResult.create(small_task(), "adam", storage="s.journal", folds=None)
    assert "no trial has been trained to the end yet" in found._repr_html_()
    assert found.to_frame().empty


@pytest.mark.parametrize(("module", "call"), [("pandas", "to_frame"), ("matplotlib", "plot")])
def test_an_optional_package_that_is_missing_is_named(module, call, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "keras-optim-lab\['):
        getattr(kol.trace("adam", "x**2", 0.5, steps=1), call)()


def test_numbers_that_json_has_not_are_null():
    value = {"a": np.array([1.0, np.nan]), 2: (np.float32(1.5), float("inf")), "p": Path("a")}
    found = json.loads(json.dumps(shown.plain(value), allow_nan=False))
    assert found["a"] == [1.0, None]
    assert found["2"] == [1.5, None]
    assert found["p"] == "a"


@pytest.fixture
def answer(monkeypatch, tmp_path):
    """What a command prints with --json, read."""
    from keras_optim_lab.tuning.engines import default
    from keras_optim_lab.tuning.executors import choosing

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(catalogue._DECLARED, "small", SMALL)
    monkeypatch.setattr(choosing, "PopulationEngine", lambda width: Formula())
    monkeypatch.setattr(default, "PopulationEngine", Formula)

    def run(*arguments):
        done = CliRunner().invoke(cli.app, [*arguments, "--json"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    return run


def test_every_command_answers_in_json(answer, tmp_path):
    asked = {"optimizers", "tasks", "programs", "surfaces", "trace", "race", "tune", "worker"}
    asked |= {"report", "compare", "map", "run", "compare-backends"}
    assert asked == set(cli._COMMANDS)
    every = {row["name"]: row for row in answer("optimizers")}
    assert every["lookahead"]["around_others"]
    assert every["adam"] == answer("optimizers", "adam")
    assert every["adam"]["hyperparameters"][1]["searched"]["low"] == 0.02
    assert answer("tasks")[0]["name"] == "digits-mlp"
    assert set(answer("programs")) == {"folder", "files", "mebibytes"}
    assert answer("surfaces")[0]["minima"] == [[1.0, 1.0]]
    assert len(answer("trace", "adam", "--function", "x**2", "--steps", "3")["rows"]) == 3
    raced = answer("race", "--surface", "beale", "--steps", "5", "--optimizers", "adam")
    assert [runner["method"] for runner in raced["runners"]] == ["Adam"]
    named = ("--task", "small")
    tuning = answer(
        "tune", *named, "--trials", "3", "--name", "mine", "--confirm", "2", "--no-report"
    )
    assert tuning["trials"] == 3
    assert tuning["verdict"]["better"] in (True, False)
    assert answer("worker", "mine")["best"] == tuning["best"]
    assert answer("report", "mine", "--seeds", "2")["report"] == str(
        (tmp_path / "reports" / "mine.html").resolve()
    )
    assert set(answer("compare", *named, "adam", "momentum", "--runs", "4")["values"]) == {
        "adam",
        "momentum",
    }
    assert len(answer("map", *named, "--settings", "4")["cells"]) == 4


def test_a_mistake_leaves_standard_output_empty(tmp_path):
    run = [sys.executable, "-m", "keras_optim_lab", "tune", "--task", "none", "--json"]
    done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Error: There is no task 'none'" in done.stderr
    fresh = [sys.executable, "-m", "keras_optim_lab", "programs", "--json"]  # imports Keras last
    assert json.loads(subprocess.run(fresh, capture_output=True, text=True).stdout)


@pytest.mark.filterwarnings("ignore:install .ipywidgets.")
@pytest.mark.parametrize(("ci", "shown"), [("", True), ("1", False)])
def test_a_notebook_shows_how_far_a_study_is_but_for_ci(ci, shown, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CI", ci)
    notebook = terminal.console(file=io.StringIO())
    notebook.is_jupyter = True
    monkeypatch.setattr(terminal, "console", lambda: notebook)
    monkeypatch.setattr(terminal, "find_spec", lambda name: True)
    bars, progress = [], terminal.progress

    def kept(*arguments, **options):
        bars.append(progress(*arguments, **options))
        return bars[-1]

    monkeypatch.setattr(terminal, "progress", kept)
    kol.tune(small_task(), trials=3, folds=None, start="none", confirm=0, storage="s.journal")
    (bar,) = bars
    assert bar.disable is not shown
    assert (bar.tasks[0].completed, bar.tasks[0].total) == (3, 3)
