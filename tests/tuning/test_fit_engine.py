"""The whole way on real models: `tune` by `FitEngine`."""

import keras
import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

import keras_optim_lab as kol
from keras_optim_lab.tuner import TuningResult
from keras_optim_lab.tuning.engines.fit_engine import FitEngine
from keras_optim_lab.tuning.executors import choosing
from tests.studies import small_model, small_task

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def by_fit(monkeypatch):
    """Lets `tune` train by the engine that is tested here."""
    monkeypatch.setattr(choosing, "PopulationEngine", lambda *_: FitEngine())


def test_the_values_of_a_study_are_those_of_models_trained_with_its_seeds_and_settings(task):
    result = kol.tune(task, "adam", trials=2, folds=None, confirm=0, seed=1, pruner="none")
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
    result = kol.tune(slope, "gradient_descent", trials=1, folds=None, confirm=0, space=space)
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
        folds=None,
        confirm=0,
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

    study = kol.tune(task, "adam", trials=1, folds=None, confirm=0, pruner=PruneAll()).study
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
        kol.tune(small_task(model=broken), trials=2, folds=None, start="none", name="broken")
    (trial,) = TuningResult.load("broken", task=small_task()).study.trials
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["error"] == "LookupError: no such layer"


def test_an_error_in_the_first_model_is_raised_before_anything_is_stored(in_empty_folder):
    def broken():
        raise LookupError("no such layer")

    with pytest.raises(LookupError, match="no such layer"):
        kol.tune(small_task(model=broken), trials=2, folds=None, confirm=0)
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
        kol.tune(task, trials=2, folds=None, confirm=0, name="mine")
    study = kol.tune(task, trials=2, folds=None, confirm=0, name="mine").study
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
        kol.tune(small_task(model=model, epochs=1), trials=1, folds=None, confirm=0)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        assert dtypes == ["bfloat16"] * 2  # the study looks at one model first
    finally:
        keras.config.set_dtype_policy(policy)
