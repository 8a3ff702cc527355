"""A report warns of what speaks against its result, and of nothing else."""

import html
import re
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from keras_optim_lab.optimizers import entry
from keras_optim_lab.reports import judgement
from keras_optim_lab.reports.judgement import PLAYBOOK, gain, outcome, warnings_of
from keras_optim_lab.reports.report import verdict, write_report
from keras_optim_lab.tuner import TuningResult
from tests.reports.examples import BETTER, INF, NAN, judged, runs, study_of
from tests.studies import Formula, small_task

pytestmark = pytest.mark.once


def study_at(
    values,
    losses=None,
    *,
    optimizer="gradient_descent",
    name="learning_rate",
    space=(1e-4, 1.0),
    storage=None,
):
    """A study that searches one parameter only, and whose trials took these values of it."""
    cls = entry(optimizer).cls
    fixed = {key: field.default for key, field in cls.numeric.items() if field.search is not None}
    tuning = TuningResult.create(
        small_task(),
        optimizer,
        space={**fixed, name: space},
        name="study",
        pruner="none",
        storage=storage,
    )
    for value in values:
        tuning.study.enqueue_trial({name: value})
    following = iter(losses or range(1, 1 + len(values)))
    tuning.run(len(values), Formula(lambda settings: next(following)))
    return tuning


def of_trials(tuning):
    """The warnings of too few trials."""
    return [sentence for sentence in warned(tuning) if "few for the" in sentence]


def warned(tuning, evaluation=BETTER):
    return warnings_of(tuning, evaluation)


def test_nothing_is_warned_of_when_all_is_well():
    assert warned(study_at([0.01])) == []


# The gain.


@pytest.mark.parametrize(
    ("default", "tuned", "shown"),
    [
        # Differences .2 ± .1 over four seeds: their mean is 4 standard errors from 0, and 3.18 of
        # them are the half width of its interval.
        (runs(0.5, 0.5, 0.6, 0.6), runs(0.4, 0.2, 0.5, 0.3), "better"),
        (runs(0.5, 0.5, 0.6, 0.6), runs(0.45, 0.2, 0.65, 0.3), "perhaps better"),
        # A spread over seeds that both share is none of the gain's.
        (runs(0.2, 0.5, 0.8), runs(0.19, 0.49, 0.79), "better"),
        (runs(0.5), runs(0.4), "better once"),
        (runs(0.5), runs(0.6), "no better"),
        (runs(0.5, 0.6), runs(0.5, 0.6), "no better"),
        (runs(0.5, NAN), runs(0.2, 0.2), "better"),
        (runs(0.5, INF), runs(0.9, 0.9), "steadier"),
        (runs(0.5, 0.5, NAN), runs(NAN, 0.2, 0.2), "perhaps better"),
    ],
)
def test_verdict_and_warning_agree_on_the_gain(default, tuned, shown):
    tuning, evaluation = study_at([0.01]), judged(default, tuned)
    assert outcome(tuning, evaluation) == shown
    sentences = warned(tuning, evaluation)
    doubted = "though within the spread" in verdict(tuning, evaluation)
    assert doubted == (shown == "perhaps better")
    assert len(sentences) == (shown in ("perhaps better", "better once"))


def test_a_gain_within_the_spread_is_said_with_its_confidence_interval(monkeypatch):
    monkeypatch.setattr(judgement, "is_built_in", lambda task: True)
    evaluation = judged(runs(0.5, 0.6, 0.7), runs(0.54, 0.55, 0.56))
    tuning = study_at([0.01])
    # 4.303 is the 97.5 % quantile of t with two degrees of freedom.
    assert gain(tuning, evaluation)[:3] == pytest.approx((0.05, -0.17357, 0.27357), abs=1e-4)
    (said,) = warned(tuning, evaluation)
    assert said.startswith("The gain lies within the spread of the seeds: 0.05 on average, with")
    assert "95 % confidence interval of -0.1736 … 0.2736 (paired t-test)" in said
    assert said.endswith("to tell it from luck: keras-optim-lab report --seeds=20 study.")
    twenty = judged(runs(*[0.5, 0.7] * 10), runs(*[0.7, 0.49] * 10))
    (said,) = warned(tuning, twenty)
    assert said.endswith("report --seeds=80 study."), "twice as sure, over four times as many"


@pytest.mark.parametrize(
    ("storage", "built_in", "words"),
    [
        ("s.journal", True, "keras-optim-lab report --storage=s.journal --seeds=20 study."),
        ("sqlite:///s.db", True, "report --storage=sqlite:///s.db --seeds=20 study."),
        (None, False, "seeds, TuningResult.load('study', task=...).report(seeds=20)."),
        ("s.journal", False, "load('study', storage='s.journal', task=...).report(seeds=20)."),
        ("sqlite://", True, "more seeds, result.report(seeds=20)."),
    ],
)
def test_more_seeds_are_asked_for_in_words_that_find_the_study(
    monkeypatch, storage, built_in, words
):
    """The command trains built-in tasks only, and a study in memory is gone with its process."""
    monkeypatch.setattr(judgement, "is_built_in", lambda task: built_in)
    (said,) = warned(study_at([0.01], storage=storage), judged(runs(0.5), runs(0.4)))
    assert said.endswith(words)


def test_too_few_seeds_without_divergence_are_said():
    (said,) = warned(study_at([0.01]), judged(runs(0.5, NAN), runs(NAN, 0.3)))
    assert "too few to tell a gain from luck" in said


def test_of_a_maximized_metric_more_is_a_gain():
    tuning = study_of(
        "gradient_descent",
        1,
        task=small_task(metrics=["accuracy"]),
        objective="val_accuracy",
        logs=lambda loss, epoch: {"val_accuracy": 1 / loss},
    )
    low, high = (runs(1.0, 1.0, accuracy=[a, a + 0.1]) for a in (0.5, 0.7))
    assert outcome(tuning, judged(low, high)) == "better"
    assert gain(tuning, judged(low, high)).mean == pytest.approx(0.2)
    assert outcome(tuning, judged(high, low)) == "no better"


# The edges. 1e-4 … 1 are four decades, of which 5 % are a fifth.


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.64, "learning_rate, 0.64, lies at the upper end of its range 0.0001 … 1 (within 5 %)."),
        (0.62, None),
        (1.6e-4, None),
        (1.5e-4, "learning_rate, 0.00015, lies at the lower end of its range 0.0001 … 1"),
    ],
)
def test_a_best_value_at_an_edge_is_said(value, said):
    sentences = warned(study_at([0.01, value], [2.0, 1.0]))
    assert len(sentences) == (said is not None)
    assert all(said in sentence for sentence in sentences)


@pytest.mark.parametrize(("value", "wider"), [(0.9, "0.0001 … 10"), (1.1e-4, "1e-05 … 1")])
def test_a_range_on_a_log_scale_is_widened_by_a_decade(value, wider):
    (said,) = warned(study_at([value]))
    assert said.endswith(f"A wider range: {wider}.")


@pytest.mark.parametrize(
    ("space", "value", "said"),
    [
        ((5, 40), 40, "upper end of its range 5 … 40 (within 5 %). A wider range: 5 … 80."),
        ((5, 40), 5, "lower end of its range 5 … 40 (within 5 %). A wider range: 2 … 40."),
        ((1, 40), 1, None),
        ((5, 40), 20, None),
    ],
)
def test_the_range_of_epochs_is_widened_to_twice_or_half_of_them(space, value, said):
    found = warned(study_at([value], name="epochs", space=space))
    assert found == ([f"The best epochs, {value}, lies at the {said}"] if said else [])


@pytest.mark.parametrize(("near", "warns"), [(3, True), (2, False)])
def test_most_of_the_best_five_at_an_edge_are_said(near, warns):
    rates = [0.01, *[0.9] * near, *[0.05] * (4 - near), 0.9, 0.9]
    sentences = warned(study_at(rates))
    assert bool(sentences) == warns
    if warns:
        assert sentences[0].startswith("3 of the 5 best trials have their learning_rate at the up")


def test_most_of_four_trials_are_too_few_to_say_so():
    assert warned(study_at([0.01, 0.9, 0.9, 0.9])) == []


@pytest.mark.parametrize(
    ("complement", "said", "wider"),
    [
        (0.005, "The best beta, 0.995, lies at the upper end of its range 0.7 … 0.995", "0.9995"),
        (0.3, "The best beta, 0.7, lies at the lower end of its range 0.7 … 0.995", "0.35 … 0.995"),
    ],
)
def test_a_decay_rate_is_spoken_of_by_itself(complement, said, wider):
    range_of_beta = FloatDistribution(5e-3, 0.3, log=True)
    (sentence,) = warned(
        study_at([complement], optimizer="momentum", name="1-beta", space=range_of_beta)
    )
    assert sentence.startswith(said)
    assert sentence.endswith(f"{wider}.")


@pytest.mark.parametrize(
    ("name", "space", "value"),
    [
        ("warmup", (0.0, 0.2), 0.0),
        ("beta", FloatDistribution(0.0, 0.99), 0.0),
        ("1-beta", (0.01, 1.0), 1.0),
        ("weight_decay", FloatDistribution(0.0, 0.1), 0.0),
    ],
)
def test_where_a_field_ends_there_is_no_wider_range(name, space, value):
    optimizer = "adamw" if name == "weight_decay" else "momentum"
    assert warned(study_at([value], optimizer=optimizer, name=name, space=space)) == []


@pytest.mark.parametrize(
    ("name", "space", "value", "wider"),
    [
        ("warmup", (0.0, 0.2), 0.2, "0 … 0.3"),
        ("warmup", (0.0, 0.9), 0.9, "0 … 0.95"),
        ("beta", FloatDistribution(0.0, 0.98), 0.98, "0 … 0.99"),
        ("beta", FloatDistribution(0.8, 0.9), 0.8, "0.75 … 0.9"),
        ("1-beta", (0.01, 0.5), 0.5, "0.25 … 0.99"),
    ],
)
def test_a_wider_range_stays_within_the_field(name, space, value, wider):
    (said,) = warned(study_at([value], optimizer="momentum", name=name, space=space))
    assert said.endswith(f"A wider range: {wider}.")


def test_a_choice_has_no_edge():
    space = CategoricalDistribution(["constant", "cosine"])
    assert warned(study_at(["cosine"], optimizer="momentum", name="schedule", space=space)) == []


@pytest.mark.parametrize(("best", "warns"), [("momentum", False), ("gradient_descent", True)])
def test_of_several_optimizers_the_best_one_is_judged_by_its_own_trials(best, warns):
    tuning = TuningResult.create(
        small_task(),
        ["momentum", "gradient_descent"],
        space={"learning_rate": (1e-4, 1.0), "momentum.beta": 0.9},
        name="study",
        pruner="none",
    )
    other = ({"momentum", "gradient_descent"} - {best}).pop()
    for name in (best, other, other, other, best):
        rate = 0.01 if name == "momentum" else 0.9
        tuning.study.enqueue_trial({"optimizer": name, f"{name}.learning_rate": rate})
    losses = iter(range(5))
    tuning.run(5, Formula(lambda settings: next(losses)))
    sentences = warned(tuning)
    assert len(sentences) == warns
    for said in sentences:
        assert said.startswith("The best learning_rate, 0.9, lies at the upper end")


# The trials.


@pytest.mark.parametrize(
    ("trials", "fixed"),
    [
        (9, "fix beta_1, epsilon and beta_2, or run 50 trials."),
        (10, "fix epsilon and beta_2, or run 50 trials."),
        (24, "fix epsilon and beta_2, or run 50 trials."),
        (25, "fix beta_2, or run 50 trials."),
        (49, "fix beta_2, or run 50 trials."),
        (50, None),
    ],
)
def test_few_trials_for_four_hyperparameters_are_said(trials, fixed):
    sentences = of_trials(study_of(trials=trials))
    assert len(sentences) == (fixed is not None)
    for said in sentences:
        assert said.startswith(f"{trials} finished trials are few for the 4 hyperparameters of Ada")
        assert PLAYBOOK in said
        assert said.endswith(fixed)


@pytest.mark.parametrize(
    ("trials", "space", "fixed"),
    [
        (9, {"beta_2": 0.999, "epsilon": 1e-8}, "fix beta_1, or run 10 trials."),
        (10, {"beta_2": 0.999, "epsilon": 1e-8}, None),
        (24, {"beta_2": 0.999}, "fix epsilon, or run 25 trials."),
        (25, {"beta_2": 0.999}, None),
        (1, {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}, None),
    ],
)
def test_hyperparameters_that_are_fixed_do_not_count(trials, space, fixed):
    sentences = of_trials(study_of(trials=trials, space=space))
    assert [said.partition(": ")[2] for said in sentences] == ([fixed] if fixed else [])


def test_what_the_playbook_does_not_speak_of_is_fixed_last():
    (said,) = of_trials(study_of("adamw", 12))
    assert "fix beta_1, epsilon and beta_2, or" in said


def test_pruned_trials_count():
    losses = iter([1.0, *[NAN] * 49])
    assert of_trials(study_of(trials=50, loss=lambda settings: next(losses))) == []


def test_every_optimizer_has_trials_of_its_own():
    tuning = study_of(["adam", "gradient_descent"], 20)
    adams = [trial for trial in tuning.finished_trials if trial.params["optimizer"] == "adam"]
    (said,) = of_trials(tuning)
    assert said.startswith(f"{len(adams)} finished trials are few for the 4 hyperparameters of Ad")


# The page.


def test_the_page_shows_the_warnings_in_a_box_below_the_verdict():
    tuning = study_of(trials=8)
    page = write_report(tuning, BETTER, Path("page.html")).read_text(encoding="utf-8")
    (box,) = re.findall(r'class="result">[^<]*</p>\s*<aside class="warnings">(.*?)</aside>', page)
    shown = [html.unescape(item) for item in re.findall("<li>(.*?)</li>", box)]
    assert shown == warned(tuning) != []


def test_a_page_without_warnings_has_no_box():
    page = write_report(study_at([0.01]), BETTER, Path("page.html"))
    assert "<aside" not in page.read_text(encoding="utf-8")
