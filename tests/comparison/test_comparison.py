"""The result says in sentences, JSON and a page what the records showed."""

import html
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from keras_optim_lab.comparison import plan as plans
from keras_optim_lab.comparison.findings import Times
from tests.comparison.examples import MEASURED, comparison, small_plan
from tests.studies import small_task

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def in_empty_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def only_jax(monkeypatch):
    monkeypatch.setattr(plans, "installed", lambda: ["jax"])
    return comparison(small_plan(), backends=("jax",))


def test_a_run_without_a_difference_agrees():
    found = comparison()
    assert found.runs["radam"].agrees
    assert found.verdicts["radam"] == "agrees to 0.0e+00 after 1 step and 0.0e+00 after 4 steps"


def test_the_verdict_of_a_run_that_parts_says_where_between_whom_and_why():
    found = comparison()
    assert not found.runs["adam"].agrees
    said = found.verdicts["adam"]
    assert "first beyond 1e-06 per step after 3 steps" in said
    assert "dense/kernel[1, 0] between TensorFlow and PyTorch" in said
    assert said.endswith(MEASURED.text)
    assert found.differences["adam"][1].relative == 0.0
    assert found.differences["adam"][4].relative > 0.1


def test_the_summary_counts_ours_and_the_built_ins():
    assert comparison().summary == (
        "On TensorFlow, JAX and PyTorch, 1 of 2 optimizers, and 1 of 1 Keras built-ins, stay "
        "within 1e-06 per step of each other over 4 steps of small."
    )


def test_one_backend_alone_still_has_times_and_says_that_nothing_was_compared(only_jax):
    assert "it ran on JAX alone" in only_jax.summary
    assert "TensorFlow and PyTorch left out: not installed" in only_jax.summary
    assert only_jax.times["adam"]["jax"].step == 0.0125
    assert only_jax.differences["adam"] == {}
    assert set(only_jax.verdicts.values()) == {"not compared: that takes two backends"}
    page = only_jax.report().read_text(encoding="utf-8")
    assert "12.50 ms" in page
    assert "TensorFlow, PyTorch" in page


def test_the_page_of_a_task_by_any_name_lies_among_the_reports():
    plan = small_plan()
    named = replace(plan, task=small_task(name="../../[x]"))
    assert comparison(named).report() == Path("reports/backends-x.html")


def test_the_page_holds_a_verdict_for_every_run_and_asks_nothing_of_the_network():
    found = comparison()
    path = found.report()
    assert path == Path("reports/backends-small.html")
    page = path.read_text(encoding="utf-8")
    for label, verdict in found.verdicts.items():
        assert f"<td>{label}</td><td>{html.escape(verdict)}</td>" in page
    assert re.findall(r"<(?:script|img|iframe)[^>]*\ssrc=", page) == []
    assert re.findall(r'<link[^>]*href="(?!data:)', page) == []
    assert page.count("plotly.js v") == 1
    assert "max |a − b| / max |a|" in page
    assert found.plan.command.replace("'", "&#x27;") in page


def test_the_json_holds_what_was_measured_and_how_to_measure_it_again():
    found = comparison()
    told = json.loads(found.to_json("deep/data.json").read_text(encoding="utf-8"))
    assert told["command"] == found.plan.command
    assert (told["seed"], told["steps"], told["backends"]) == (0, [1, 4], [*found.backends])
    assert told["versions"]["jax"] == {"keras": "3.15.1", "jax": "1.2.3"}
    adam = told["runs"]["adam"]
    assert adam["verdict"] == found.verdicts["adam"]
    assert adam["first_beyond"]["step"] == 3
    assert adam["diagnosis"]["cause"] == "kink"
    assert [d["step"] for d in adam["by_step"]] == [1, 2, 3, 4]
    assert adam["times"]["torch"]["step"] == 0.0125
    assert told["runs"]["radam"]["first_beyond"] is None


def test_json_has_words_for_what_is_not_finite():
    found = comparison()
    found.runs["radam"].losses["jax"][:] = [math.nan, math.inf, -math.inf, 1.0]
    text = found.to_json("data.json").read_text(encoding="utf-8")
    told = json.loads(text, parse_constant=pytest.fail)
    assert told["runs"]["radam"]["losses"]["jax"] == ["nan", "inf", "-inf", 1.0]


def test_compiling_is_what_the_first_batch_of_each_size_takes_beyond_a_steady_step():
    times = Times.of([2.0, 0.1, 0.1, 1.1, 0.1], [8, 8, 8, 3, 8], None)
    assert times.first_step == 2.0
    assert times.step == pytest.approx(0.1)
    assert times.compiling == pytest.approx(1.9 + 1.0)
    assert math.isnan(Times.of([2.0], [8], None).step)
