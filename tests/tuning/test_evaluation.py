"""Chosen settings over fresh seeds: what `fit` would give, by the engine that trains studies."""

import inspect
import math

import keras
import numpy as np
import pytest

import keras_optim_lab as kol
from keras_optim_lab import cli
from keras_optim_lab.tuner import TuningResult
from keras_optim_lab.tuning import confirmation, evaluation, repetitions
from keras_optim_lab.tuning.engines.fit_engine import FitEngine
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from keras_optim_lab.tuning.repetitions import Training, of_split
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.spaces.recipe import Recipe
from keras_optim_lab.tuning.spaces.template import Template
from keras_optim_lab.tuning.study_result import Confirmation
from tests.fit_without_xla import eagerly
from tests.studies import Formula, small_model, small_task
from tests.tuning.conftest import RATES
from tests.tuning.populations import TRACED

ADAM = Configuration("adam", {"learning_rate": 0.01})
MOMENTUM = Configuration("momentum", {}, Recipe("linear", 0.25))
WILD = Configuration("momentum", {"learning_rate": 1e30})


@pytest.fixture(scope="module")
def several():
    """Two optimizers and one that diverges, each with the same two seeds, in one call."""
    calls = []
    wanted = [
        Training(name, each, seed)
        for name, each in {"adam": ADAM, "momentum": MOMENTUM, "wild": WILD}.items()
        for seed in (3, 4)
    ]
    engine = PopulationEngine()
    curves = repetitions.train(
        small_task(),
        wanted,
        split="test",
        engine=engine,
        on_done=lambda training, _: calls.append(training),
        on_progress=lambda *step: calls.append(step),
    )
    return wanted, curves, engine.summary, calls


def test_a_table_of_settings_and_seeds_holds_what_fit_gives_on_the_split(several):
    wanted, curves, _, _ = several
    task = small_task()
    for training, found in zip(wanted[1:3], curves[1:3], strict=True):
        model = task.build(training.configuration.optimizer(task.training_steps), training.seed)
        with eagerly():
            curve = task.measured_on("test").fit(model, training.seed).history
            plain = task.evaluate(model, "test")
        assert of_split(found).keys() == plain.keys()
        for name, value in plain.items():
            np.testing.assert_allclose(found[f"val_{name}"], curve[f"val_{name}"], rtol=1e-5)
            assert found[f"val_{name}"][-1] == pytest.approx(value, rel=1e-5)


def test_optimizers_of_different_kinds_are_populations_of_their_own(several):
    _, _, summary, _ = several
    assert (summary["engine"], summary["programs"]) == ("population", 2)
    assert summary["traces"] == (2 if TRACED else 0)


@pytest.mark.once
def test_given_optimizers_of_one_name_are_populations_of_their_own(task):
    """They may differ in what is no setting."""
    plain, free = kol.AdamW(0.1, weight_decay=0.5), kol.AdamW(0.1, weight_decay=0.5)
    free.exclude_from_weight_decay(var_names=["kernel"])
    given = [Configuration("adamw", {}, given=Template.of(each)) for each in (plain, free)]
    found = repetitions.train(task, [Training("adamw", each, 3) for each in given])
    for each, curves in zip(given, found, strict=True):
        history = task.fit(task.build(each.optimizer(None), 3), 3).history
        np.testing.assert_allclose(curves["val_loss"], history["val_loss"], rtol=1e-5)


def test_a_run_that_diverges_is_told_and_the_others_go_on(several):
    _, curves, _, _ = several
    wild = [of_split(each) for each in curves[4:]]
    assert [list(map(math.isfinite, each["loss"])) for each in wild] == [[False, False]] * 2
    assert np.isfinite([each["val_loss"] for each in curves[:4]]).all()
    runs = evaluation.Runs.of("wild", wild, "loss")
    assert (runs.diverged("loss"), runs.diverged("mae")) == (2, 2)
    assert math.isnan(runs.mean("loss"))


def test_every_training_is_told_once_and_progress_is_told_while_they_go_on(several):
    wanted, _, _, calls = several
    told = [each for each in calls if isinstance(each, Training)]
    assert sorted(map(wanted.index, told)) == [0, 1, 2, 3, 4, 5]
    progress = [each for each in calls if not isinstance(each, Training)]
    assert progress == sorted(progress)
    assert (0.5, 6) in progress
    assert progress[-1] == (6, 6)


class OwnStep(keras.Model):
    def test_step(self, *arguments):
        return super().test_step(*arguments)


def test_a_model_that_is_no_pure_function_gives_the_same_one_after_the_other():
    def of_own_step():
        plain = small_model()
        return OwnStep(plain.inputs, plain.outputs)

    task, engine = small_task(model=of_own_step), PopulationEngine()
    (curves,) = repetitions.train(task, [Training("adam", ADAM, 3)], engine=engine)
    assert engine.summary["engine"] == "sequential"
    with eagerly():
        history = task.fit(task.build(ADAM.optimizer(None), 3), 3).history
    assert curves.keys() == history.keys()
    np.testing.assert_allclose(curves["val_loss"], history["val_loss"], rtol=1e-5)


@pytest.mark.once
def test_all_fresh_trainings_of_a_study_are_rows_of_populations(monkeypatch):
    """`confirm=` and the report leave nothing to `fit`."""
    monkeypatch.delattr(kol.Task, "fit")
    task = small_task(epochs=1)
    result = kol.tune(task, "adam", trials=2, confirm=2, space=RATES, start="none")
    assert result.report(seeds=2).is_file()
    assert result.confirmation.values.keys() == {"trial 0", "trial 1", "defaults"}


@pytest.mark.once
def test_a_split_that_a_task_does_not_have_cannot_be_measured():
    with pytest.raises(ValueError, match=r"split='test': this task has train, validation\."):
        repetitions.train(small_task(test=None), [], split="test")


@pytest.mark.once
def test_a_report_is_over_twenty_seeds_unless_told_otherwise():
    for report in (evaluation.evaluate, TuningResult.report, cli.report, cli.tune):
        assert inspect.signature(report).parameters["seeds"].default == 20


@pytest.mark.once
def test_the_command_has_the_defaults_of_what_it_calls():
    for command, function, names in (
        (cli.tune, kol.tune, ("trials", "start", "folds", "minutes", "confirm")),
        (cli.compare, kol.compare, ("metric", "runs", "delta", "folds", "seed")),
    ):
        for name in names:
            own, called = (inspect.signature(f).parameters[name] for f in (command, function))
            assert own.default == called.default, name


# Evaluation of studies, with losses of our choice.


def rate(result, number):
    return result.study.trials[number].params["learning_rate"]


@pytest.mark.once
def test_evaluation_trains_default_and_best_settings_with_the_same_seeds(found, trained):
    evaluated = evaluation.evaluate(found, seeds=2)
    best = rate(found, 1)
    assert [run[0] for run in trained.runs] == [1e-3, 1e-3, best, best]
    assert [run[1] for run in trained.runs[:2]] == [run[1] for run in trained.runs[2:]]
    assert evaluated.seeds == [run[1] for run in trained.runs[:2]]
    assert evaluated.split == "test"
    assert evaluated.tuned.scores == {"loss": [5.003, 5.004]}
    assert evaluated.tuned.curves == [[9.0, 5.003], [9.0, 5.004]]


@pytest.mark.once
def test_trials_confirmation_and_evaluation_use_different_seeds(found, trained):
    confirmation.confirm(found, top=1)
    confirmed = {seed for _, seed in trained.runs}
    trained.runs.clear()
    evaluation.evaluate(found, seeds=3)
    evaluated = {seed for _, seed in trained.runs}
    trials = {trial.user_attrs["seed"] for trial in found.study.trials}
    assert len(evaluated) == len(trials) == 3
    assert not confirmed & evaluated
    assert not trials & (confirmed | evaluated)


@pytest.mark.once
def test_both_are_described_with_a_schedule_as_long_as_their_own_training(make_study):
    tuning = make_study(space={"epochs": 5, "schedule": "cosine"})
    tuning.run(1, engine=Formula())
    tuning.keep_confirmation(Confirmation(1, {}, 0, "adam", [1.0, 1.1], [2.0, 2.1]), 1)
    assert not tuning.best_configuration.scheduled
    evaluated = evaluation.evaluate(tuning, 1, engine=Formula())
    assert "steps=15" in evaluated.tuned.optimizer
    assert "steps" not in evaluated.default.optimizer


def test_an_evaluation_is_kept_with_the_study_until_the_best_changes(found, trained, task):
    first = evaluation.evaluate(found, seeds=2)
    assert evaluation.evaluate(TuningResult.load("found", task=task), seeds=2) == first
    assert len(trained.runs) == 4
    evaluation.evaluate(found, seeds=1)
    assert len(trained.runs) == 6
    found.more()
    changed = evaluation.evaluate(found, seeds=1)
    assert trained.runs[-1][0] == rate(found, 3)
    assert changed.tuned.scores == {"loss": [5.0 + len(trained.runs) / 1000]}


@pytest.mark.once
def test_without_a_test_split_the_validation_split_is_measured(trained):
    result = TuningResult.create(small_task(test=None), "adam", name="no-test")
    result.run(1, engine=Formula())
    assert evaluation.evaluate(result, seeds=1).split == "validation"


@pytest.mark.once
def test_evaluation_and_confirmation_need_a_complete_trial_and_a_count(found, trained, make_study):
    for judge in (evaluation.evaluate, confirmation.confirm):
        with pytest.raises(RuntimeError, match="no complete trial"):
            judge(make_study(name="empty"), 1)
    with pytest.raises(ValueError, match="seeds=0"):
        evaluation.evaluate(found, seeds=0)
    with pytest.raises(ValueError, match="top=0"):
        confirmation.confirm(found, top=0)
    assert trained.runs == []


@pytest.mark.once("torch")  # where fit compiles nothing
def test_confirmation_and_evaluation_build_the_model_of_the_trial_that_they_train(monkeypatch):
    """Of the best one for the default settings too, so that only the optimizers differ."""
    trained = []

    def of_some_width(trial):
        units = trial.suggest_int("units", 2, 9)
        return keras.Sequential(
            [keras.Input((3,)), keras.layers.Dense(units), keras.layers.Dense(1)]
        )

    def fit(task, model, seed, **arguments):
        trained.append(model.layers[0].units)
        return plain_fit(task, model, seed, **arguments)

    plain_fit = kol.Task.fit
    monkeypatch.setattr(kol.Task, "fit", fit)
    task = small_task(model=of_some_width, epochs=1)
    result = TuningResult.create(task, "adam", name="widths", pruner="none", sampler="random")
    result.run(4, engine=FitEngine())
    widths = {trial.number: trial.params["units"] for trial in result.study.trials}
    assert trained == list(widths.values())
    assert len(set(trained)) > 1

    best = [trial.number for trial in result.ranked_trials]
    trained.clear()
    confirmation.confirm(result, top=2)
    raced = [widths[best[0]], widths[best[1]], widths[best[0]]]  # the last are the defaults
    assert trained[:12] == [width for width in raced for _ in range(4)]
    trained.clear()
    evaluation.evaluate(result, seeds=2)
    assert trained == [result.best_trial.params["units"]] * 4
