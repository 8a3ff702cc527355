"""The whole way on real models: `tune` by `FitEngine`, confirmation and evaluation."""

import keras
import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

import keras_optim_lab as kol
from keras_optim_lab import results
from keras_optim_lab.results import TuningResult
from keras_optim_lab.tuning import evaluation
from keras_optim_lab.tuning.fit_engine import FitEngine
from tests.studies import Formula, small_model, small_task

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def by_fit(monkeypatch):
    """Lets `tune` train by the engine that is tested here."""
    monkeypatch.setattr(results, "PopulationEngine", lambda *_: FitEngine())


RATES = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}  # leaves the learning rate to search


def test_the_values_of_a_study_are_those_of_models_trained_with_its_seeds_and_settings(task):
    result = kol.tune(task, "adam", trials=2, seed=1, pruner="none")
    best = result.study.best_trial
    model = task.build(result.best_optimizer(), best.user_attrs["seed"])
    curve = task.fit(model, best.user_attrs["seed"]).history["val_loss"]
    np.testing.assert_allclose(list(best.intermediate_values.values()), curve, rtol=1e-5)
    assert best.value == pytest.approx(curve[-1], rel=1e-5)
    assert [trial.user_attrs["seed"] for trial in result.study.trials] == [1, 2]


def test_a_model_is_trained_with_the_schedule_that_its_trial_chose(task):
    """Six steps down a constant slope: the weight moves by the sum of the rates."""
    slope = small_task(
        model=lambda: keras.Sequential(
            [keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="zeros")]
        ),
        loss=lambda y_true, y_pred: y_pred,
        metrics=(),
    )
    space = {"learning_rate": 0.25, "schedule": "linear", "warmup": 0.5}
    result = kol.tune(slope, "gradient_descent", trials=1, space=space)
    assert result.best_params == {"learning_rate": 0.25, "schedule": "linear", "warmup": 0.5}
    model = slope.build(result.best_optimizer(), 0)
    slope.fit(model, 0)
    rates = 0.25 * np.array([1 / 3, 2 / 3, 1, 1, 2 / 3, 1 / 3])
    np.testing.assert_allclose(model.layers[-1].get_weights()[1], [-rates.sum()], rtol=1e-5)
    (trial,) = result.study.trials
    curve = slope.fit(slope.build(result.best_optimizer(), 0), 0).history["val_loss"]
    np.testing.assert_allclose(list(trial.intermediate_values.values()), curve, rtol=1e-5)


def test_a_trial_that_blows_up_is_told_as_diverged_and_the_next_one_trains(task):
    rates = optuna.distributions.CategoricalDistribution([1e30, 1e-3])
    sampler = optuna.samplers.GridSampler({"learning_rate": [1e30, 1e-3]}, seed=0)
    study = kol.tune(
        small_task(model=lambda: keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])),
        "gradient_descent",
        trials=2,
        sampler=sampler,
        space={"learning_rate": rates},
    ).study
    by_rate = {trial.params["learning_rate"]: trial for trial in study.trials}
    assert by_rate[1e30].state == TrialState.PRUNED
    assert by_rate[1e30].user_attrs["diverged"] is True
    assert by_rate[1e-3].state == TrialState.COMPLETE


def test_pruning_stops_the_training_of_a_model(task):
    class PruneAll(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            return True

    study = kol.tune(task, "adam", trials=1, pruner=PruneAll()).study
    assert study.trials[0].state == TrialState.PRUNED
    assert study.trials[0].user_attrs["epochs"] == 1


def test_an_error_in_the_model_builder_is_told_as_failed_and_raised():
    built = []

    def broken():
        built.append(None)
        if len(built) > 1:  # the study has looked at one
            raise LookupError("no such layer")
        return small_model()

    with pytest.raises(LookupError, match="no such layer"):
        kol.tune(small_task(model=broken), trials=2, name="broken")
    (trial,) = TuningResult.load("broken", task=small_task()).study.trials
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["error"] == "LookupError: no such layer"


def test_an_error_in_the_first_model_is_raised_before_anything_is_stored(in_empty_folder):
    def broken():
        raise LookupError("no such layer")

    with pytest.raises(LookupError, match="no such layer"):
        kol.tune(small_task(model=broken), trials=2)
    assert not [*in_empty_folder.iterdir()]


def test_an_interruption_while_a_model_trains_leaves_a_study_that_continues():
    built = []

    def interrupted_at_second():
        built.append(None)
        if len(built) == 3:  # the study has looked at one
            raise KeyboardInterrupt
        return small_model()

    task = small_task(model=interrupted_at_second, epochs=1)
    with pytest.raises(KeyboardInterrupt):
        kol.tune(task, trials=2, name="mine")
    study = kol.tune(task, trials=2, name="mine").study
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "COMPLETE"]


def test_training_leaves_the_users_settings_of_keras_alone():
    """Keras forgets its settings when it is told to forget former models."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    dtypes = []

    def model():
        made = small_model()
        dtypes.append(made.layers[0].compute_dtype)
        return made

    try:
        kol.tune(small_task(model=model, epochs=1), trials=1)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        assert dtypes == ["bfloat16"]
    finally:
        keras.config.set_dtype_policy(policy)


# Confirmation and evaluation.


@pytest.fixture
def found(task):
    """A study whose best trial by formula is number 1, and a count of the models trained for it."""
    result = TuningResult.create(
        task, "adam", name="found", space=RATES, pruner="none", seed=1_000_000
    )
    losses = iter([3.0, 1.0, 2.0, 0.5])
    result.run(3, engine=Formula(loss=lambda h: next(losses)))
    result.more = lambda: result.run(4, engine=Formula(loss=lambda h: next(losses)))
    return result


@pytest.fixture
def trained(monkeypatch):
    """Every training run as (learning rate, seed); its curve then ends in a value of our choice."""
    runs = []

    def train(tuning, trial, optimizer, seed):
        rate = optimizer.get_config()["learning_rate"]
        runs.append((rate, seed))
        values = train.values
        return rate, [9.0, values.get(rate, 5.0) + len(runs) / 1000]

    train.values = {}
    monkeypatch.setattr(evaluation, "_train", train)
    monkeypatch.setattr(kol.Task, "evaluate", lambda task, model, split: {"loss": model})
    return type("Trained", (), {"runs": runs, "values": train.values})


def rate(result, number):
    return result.study.trials[number].params["learning_rate"]


def test_confirmation_trains_the_best_again_and_the_best_mean_is_then_the_result(found, trained):
    trained.values[rate(found, 1)] = 4.0
    trained.values[rate(found, 2)] = 1.5
    assert found.best_trial.number == 1
    evaluation.confirm(found, top=2, seeds=3)
    assert [run[0] for run in trained.runs] == [rate(found, 1)] * 3 + [rate(found, 2)] * 3
    assert found.best_trial.number == 2
    assert found.best_params["learning_rate"] == rate(found, 2)
    assert {n: len(values) for n, values in found.confirmation.items()} == {1: 3, 2: 3}


def test_a_confirmation_is_kept_with_the_study_and_not_repeated(found, trained, task):
    trained.values[rate(found, 2)] = 1.0
    evaluation.confirm(found, top=2)
    loaded = TuningResult.load("found", task=task)
    assert loaded.confirmation == found.confirmation
    assert loaded.best_trial.number == 2
    evaluation.confirm(loaded, top=2)
    assert len(trained.runs) == 6


def test_a_confirmation_is_void_once_trials_were_added(found, trained):
    trained.values[rate(found, 2)] = 1.0
    evaluation.confirm(found, top=2)
    found.more()
    assert found.confirmation == {}
    assert found.best_trial.number == 3


def test_a_trial_that_diverges_when_confirmed_is_not_the_best(found, trained):
    trained.values[rate(found, 1)] = float("nan")
    evaluation.confirm(found, top=2)
    assert found.best_trial.number == 2


def test_more_trials_to_confirm_than_there_are_means_all(found, trained):
    evaluation.confirm(found, top=50, seeds=1)
    assert sorted(found.confirmation) == [0, 1, 2]


def test_evaluation_trains_default_and_best_settings_with_the_same_seeds(found, trained):
    steps = []
    evaluated = evaluation.evaluate(found, seeds=2, on_run=lambda *step: steps.append(step))
    best = rate(found, 1)
    assert [run[0] for run in trained.runs] == [1e-3, 1e-3, best, best]
    assert [run[1] for run in trained.runs[:2]] == [run[1] for run in trained.runs[2:]]
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert evaluated.seeds == [run[1] for run in trained.runs[:2]]
    assert evaluated.split == "test"
    assert evaluated.tuned.scores == {"loss": [best, best]}
    assert evaluated.tuned.curves == [[9.0, 5.003], [9.0, 5.004]]


def test_trials_confirmation_and_evaluation_use_different_seeds(found, trained):
    evaluation.confirm(found, top=1)
    confirmed = {seed for _, seed in trained.runs}
    trained.runs.clear()
    evaluation.evaluate(found, seeds=3)
    evaluated = {seed for _, seed in trained.runs}
    trials = {trial.user_attrs["seed"] for trial in found.study.trials}
    assert len(confirmed) == len(evaluated) == len(trials) == 3
    assert not confirmed & evaluated
    assert not trials & (confirmed | evaluated)


def test_an_evaluation_is_kept_with_the_study_until_the_best_changes(found, trained, task):
    first = evaluation.evaluate(found, seeds=2)
    assert evaluation.evaluate(TuningResult.load("found", task=task), seeds=2) == first
    assert len(trained.runs) == 4
    evaluation.evaluate(found, seeds=1)
    assert len(trained.runs) == 6
    found.more()
    changed = evaluation.evaluate(found, seeds=1)
    assert trained.runs[-1][0] == rate(found, 3)
    assert changed.tuned.scores == {"loss": [rate(found, 3)]}


def test_without_a_test_split_the_validation_split_is_measured(trained):
    result = TuningResult.create(small_task(test=None), "adam", name="no-test")
    result.run(1, engine=Formula())
    assert evaluation.evaluate(result, seeds=1).split == "validation"


def test_evaluation_and_confirmation_need_a_complete_trial_and_a_count(found, trained, make_study):
    for judge in (evaluation.evaluate, evaluation.confirm):
        with pytest.raises(RuntimeError, match="no complete trial"):
            judge(make_study(name="empty"), 1)
    with pytest.raises(ValueError, match="seeds=0"):
        evaluation.evaluate(found, seeds=0)
    with pytest.raises(ValueError, match="top=0"):
        evaluation.confirm(found, top=0)
    assert trained.runs == []


def test_evaluation_measures_real_models(task):
    """The numbers are those of models trained with the seeds it names."""
    result = TuningResult.create(task, "adam", name="real", space=RATES)
    result.run(1, engine=Formula())
    evaluated = evaluation.evaluate(result, seeds=1)
    model = task.build(result.best_optimizer(), evaluated.seeds[0])
    curve = task.fit(model, evaluated.seeds[0]).history["val_loss"]
    scores = task.evaluate(model, "test")
    np.testing.assert_allclose(evaluated.tuned.curves, [curve], rtol=1e-5)
    assert {name: [value] for name, value in scores.items()} == {
        name: pytest.approx(values, rel=1e-5) for name, values in evaluated.tuned.scores.items()
    }


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
    evaluation.confirm(result, top=2, seeds=2)
    assert trained == [widths[number] for number in best[:2] for _ in range(2)]
    trained.clear()
    evaluation.evaluate(result, seeds=2)
    assert trained == [result.best_trial.params["units"]] * 4
