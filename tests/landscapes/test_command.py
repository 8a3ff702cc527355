"""The commands `trace`, `race` and `surfaces`."""

import json

import pytest
from typer.testing import CliRunner

from keras_optim_lab import cli
from keras_optim_lab.landscapes import surfaces
from keras_optim_lab.landscapes.trace import trace
from keras_optim_lab.optimizers import Adam

pytestmark = pytest.mark.once


def command(*arguments):
    return CliRunner().invoke(cli.app, list(arguments))


def shown(*arguments):
    run = command(*arguments)
    assert run.exit_code == 0, run.output
    return run.output


def refused(*arguments):
    run = command(*arguments)
    assert isinstance(run.exception, ValueError), run.output
    return str(run.exception)


PARABOLA = ("trace", "adam", "--function", "x**2", "--start", "0.5")


def test_trace_shows_the_table_worked_by_hand_however_narrow_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    lines = shown(*PARABOLA, "--learning-rate", "0.1", "--steps", "2").splitlines()
    (first,) = [line.split() for line in lines if line.startswith("1 ")]
    assert first == ["1", "0.25", "1", "0.1", "0.001", "1", "1", "0.1", "0.4"]


def test_every_field_of_the_optimizer_is_an_option_of_trace(tmp_path):
    path = tmp_path / "new" / "trace.json"
    options = ("--beta-1", "0.8", "--amsgrad", "--epsilon=0", "--learning-rate", "0.2")
    shown(*PARABOLA, *options, "--steps", "3", "--format", "json", "--output", str(path))
    expected = trace(Adam(0.2, beta_1=0.8, epsilon=0.0, amsgrad=True), "x**2", 0.5, steps=3)
    read = json.loads(path.read_text(encoding="utf-8"))
    assert read == json.loads(expected.to_json())


def test_trace_writes_csv_and_markdown():
    assert shown(*PARABOLA, "--steps", "1", "--format", "csv").startswith("t,f,g,momentum,")
    assert shown(*PARABOLA, "--steps", "1", "--format", "markdown").startswith("| t | f | g | m |")


def test_mistakes_are_told_before_anything_is_run():
    assert "no option '--beta1'. Did you mean '--beta-1'" in refused(*PARABOLA, "--beta1", "0.8")
    assert "--beta-1 takes a value" in refused(*PARABOLA, "--beta-1")
    assert "`beta_1` must be a number in [0, 1)" in refused(*PARABOLA, "--beta-1", "2")
    assert "one of table, markdown, csv, json" in refused(*PARABOLA, "--format", "xml")
    assert "--function" in refused("trace", "adam")
    assert "`start` must be 1 numbers on x**2" in refused(*PARABOLA[:-1], "1,2")
    assert "numbers with commas" in refused(*PARABOLA[:-1], "a")
    assert "unknown function 'sinn'" in refused("trace", "adam", "--function", "sinn(x)")
    assert "leave out --learning-rate" in refused("race", "--tune", "--learning-rate", "1")
    assert ".html, .gif or .png" in refused("race", "--output", "race.pdf")
    assert "no surface 'boot'" in refused("race", "--surface", "boot")
    assert "no optimizer 'adamm'" in refused("race", "--optimizers", "adamm")


def test_race_says_what_became_of_each_method_and_draws_it(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)
    output = shown(
        *("race", "--function", "(x - 1)**2", "--optimizers", "gradient-descent"),
        *("--learning-rate", "0.4", "--steps", "8", "--start", "-1"),
        *("--output", "race.html", "--output", "race.png"),
    )
    (row,) = [line for line in output.splitlines() if line.startswith("GradientDescent")]
    assert "η = 0.4" in row
    assert (tmp_path / "race.html").stat().st_size > 1e6
    assert (tmp_path / "race.png").stat().st_size > 1e3


def test_a_race_on_the_usual_surface_is_written_under_its_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    shown("race", "--optimizers", "gradient-descent, momentum", "--steps", "2")
    assert (tmp_path / "reports" / "race-rosenbrock.html").exists()


def test_surfaces_are_listed_with_their_starts(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    output = shown("surfaces")
    for name in surfaces.names():
        (row,) = [line for line in output.splitlines() if line.startswith(f"{name} ")]
        assert f"{surfaces.get(name).start[0]:g}" in row
