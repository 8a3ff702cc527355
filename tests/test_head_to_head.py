"""Candidates of one's own, trained with common seeds until a test tells."""

import dataclasses
import html
import math
import shlex

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

import keras_optim_lab as kol
from keras_optim_lab import cli, head_to_head, tune_commands
from keras_optim_lab.head_to_head import HeadToHead
from keras_optim_lab.tuning.criterion import Criterion
from keras_optim_lab.tuning.racing import Course, Entrant, separate
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.spaces.recipe import Recipe
from tests.studies import ByRate, Formula, small_model, small_task

pytestmark = pytest.mark.once


@pytest.fixture
def trained(monkeypatch):
    """An engine whose losses follow from the learning rate, and a little from the run."""
    engine = ByRate()
    monkeypatch.setattr(head_to_head, "PopulationEngine", lambda *_: engine)
    return engine


def candidates(**rates):
    return {n: {"optimizer": "adam", "learning_rate": rate} for n, rate in rates.items()}


def compared(given, **options):
    return kol.compare(small_task(), given, folds=None, **options)


def test_the_worse_leaves_as_soon_as_it_is_certain(trained):
    trained.values |= {0.1: 1.0, 0.2: 2.0, 0.3: 3.0}
    found = kol.compare(
        small_task(), folds=None, candidates=candidates(good=0.1, bad=0.2, worse=0.3)
    )
    assert found.best == "good"
    assert {len(values) for values in found.values.values()} == {4}
    assert found.verdict == "good is better than bad and worse (val_loss on small, 4 runs)."
    rows = [row.split("|")[1].strip() for row in found.table.splitlines()[2:]]
    assert rows == ["good", "bad", "worse"]


def test_a_difference_that_does_not_matter_is_said_to_be_none(trained):
    trained.values |= {0.1: 1.0, 0.2: 1.0}
    found = kol.compare(
        small_task(), folds=None, candidates=candidates(one=0.1, two=0.2), delta=0.5
    )
    assert "is better than two by no more than 50 %" in found.verdict


def test_what_is_not_told_apart_has_the_runs_that_were_allowed(trained):
    """Losses that have nothing to do with the candidate."""
    noise = np.random.default_rng(0)
    trained.loss = lambda rate: noise.normal(1.0, 0.3)
    found = kol.compare(
        small_task(), folds=None, candidates=candidates(one=0.1, two=0.2), runs=10, delta=0.0
    )
    assert {len(values) for values in found.values.values()} == {10}
    assert "are not told apart" in found.verdict


def test_who_diverges_is_behind(trained):
    trained.values |= {0.1: 5.0, 0.2: math.nan}
    found = compared(candidates(steady=0.1, wild=0.2))
    assert found.verdict.startswith("steady is better than wild")
    assert len(found.values["wild"]) == 16  # four might be chance
    assert found.rows[1][:2] == ["wild", "diverged"]


def test_the_page_has_table_figure_and_what_repeats_it(trained, tmp_path):
    trained.values |= {0.1: 1.0, 1e-3: 2.0}
    found = kol.compare(
        small_task(), folds=None, candidates={**candidates(mine=0.1), "default": "adam"}
    )
    page = found.report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert found.verdict in page
    assert "kol.compare(task, {" in page
    again = eval(found.command, {"kol": kol, "task": small_task()})
    assert again.best == "mine"
    assert [trace.name for trace in found.figure.data] == ["mine", "default"]


def test_the_command_takes_each_candidate_once_and_writes_what_repeats_it(
    trained, monkeypatch, tmp_path
):
    monkeypatch.setattr(tune_commands, "console", Console(width=300))
    monkeypatch.chdir(tmp_path)
    found = kol.compare("diabetes-mlp", {**candidates(mine=0.1), "lion": "lion"}, runs=4)
    program, *arguments = shlex.split(found.command)
    assert program == "keras-optim-lab"
    trained.runs.clear()
    shown = CliRunner().invoke(cli.app, [*arguments, "--output", "page.html"])
    assert shown.exit_code == 0, shown.output
    assert "adam learning_rate=0.1" in shown.output
    page = (tmp_path / "page.html").read_text("utf-8")
    assert found.command in html.unescape(page)
    again = CliRunner().invoke(cli.app, [*arguments, "lion"])
    assert str(again.exception) == "Candidates must differ, and 'lion' was given more than once."


def test_the_command_repeats_it_on_a_built_in_task(trained):
    found = kol.compare("diabetes-mlp", {**candidates(mine=0.1), "other": "lion"})
    assert found.command == (
        "keras-optim-lab compare --task=diabetes-mlp --metric=val_loss --folds=5 --runs=64 "
        "--delta=0.02 --seed=0 --backend=jax 'adam learning_rate=0.1' lion"
    )
    assert "(val_loss on diabetes-mlp, " in found.verdict


def test_where_the_command_has_no_words_for_it_python_repeats_it(monkeypatch):
    """A task that was changed, a direction that the name does not tell, and a schedule."""
    monkeypatch.setattr(head_to_head, "PopulationEngine", lambda *_: Formula())
    given = {"one": "lookahead(adam)", "two": kol.Adam(0.2)}
    task = kol.tasks.get("diabetes-mlp")
    assert kol.compare(task, {**given, "two": "lion"}).command.endswith(" 'lookahead(adam)' lion")
    assert kol.compare(task, given).command.startswith("kol.compare('diabetes-mlp', {")
    changed = dataclasses.replace(task, epochs=2)
    assert kol.compare(changed, {**given, "two": "lion"}).command.startswith("kol.compare(task, {")
    slow = {"optimizer": kol.Adam(0.1), "schedule": "cosine"}
    found = compared({"slow": slow, "plain": "adam"}, metric=("val_loss", "maximize"), runs=4)
    again = eval(found.command, {"kol": kol, "task": small_task()})
    assert again.course.objective == found.course.objective
    assert again.configurations["slow"].scheduled


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"adam": "adam"}, ValueError, "at least two"),
        (["adam", "lion"], ValueError, "must be a dict"),
        ({1: "adam", 2: "lion"}, ValueError, "by names"),
        ({"a": "adam", "b": {"optimizer": ["adam", "lion"]}}, ValueError, "one optimizer"),
        ({"a": "adam", "b": kol.Adam(), "c": "lion"}, ValueError, "'a' and 'b' are the same"),
        ({"a": "adam", "b": "adan2"}, ValueError, "Did you mean"),
        ({"a": "adam", "b": {"learning_rate": 0.1}}, ValueError, "which optimizer"),
        ({"a": "adam", "b": {"optimizer": "adam", "rate": 0.1}}, ValueError, "no hyperparameter"),
        (
            {"a": "adam", "b": {"optimizer": "adam", "learning_rate": (0.1, 0.2)}},
            ValueError,
            "settings, not ranges",
        ),
    ],
)
def test_what_cannot_be_compared_is_said_before_anything_is_trained(trained, given, error, words):
    with pytest.raises(error, match=words):
        kol.compare(small_task(), given)
    assert trained.runs == []


def test_a_model_of_the_trial_is_refused(trained):
    def of_some_width(trial):
        return small_model()

    with pytest.raises(ValueError, match="built from the trial"):
        kol.compare(small_task(model=of_some_width), {"a": "adam", "b": "lion"})


def test_what_was_given_is_repeated_with_all_that_it_has(trained):
    given = {"plain": kol.Adam(0.3), "other": kol.Adam(0.1, amsgrad=True)}
    found = compared({**given, "slow": {"optimizer": "adam", "beta_1": 0.95}}, runs=4)
    assert "amsgrad=True" in found.command
    assert "learning_rate=0.3" in found.command
    assert "{'optimizer': 'adam', 'beta_1': 0.95}" in found.command
    falling = Configuration("adam", {"epsilon": 1e-6}, Recipe("cosine"))
    assert head_to_head._as_text(falling) == "adam epsilon=1e-06 schedule=cosine"
    assert "runs=4" in found.command


def test_candidates_that_are_the_same_are_seldom_told_apart():
    """Of 200 comparisons of four, with noise alone, one in a hundred may be called better."""
    rng = np.random.default_rng(0)

    class Noise(Course):
        def values(self, entrants, runs, on_progress=None):
            return {each.name: rng.normal(1.0, 0.3, len(runs)).tolist() for each in entrants}

    course = Noise(small_task(), Criterion("val_loss", "minimize"), 0)
    entrants = [Entrant(str(i), Configuration("adam", {})) for i in range(4)]
    wrong = 0
    for _ in range(200):
        values, certain = separate(course, entrants, 0.0, 64)
        found = HeadToHead(course, values, {}, 0.0, 64, certain)
        wrong += "is better than" in found.verdict
    assert wrong <= 6
