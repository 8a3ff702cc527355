"""The population engine on real models: its trials are those of `FitEngine`, many at once."""

import threading

import keras
import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState

import keras_optim_lab as kol
from keras_optim_lab.tuning.engines.epoch import Epoch
from keras_optim_lab.tuning.engines.first_values import FirstValues
from keras_optim_lab.tuning.engines.fit_engine import FitEngine
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from keras_optim_lab.tuning.repetitions import Training, train
from keras_optim_lab.tuning.spaces.configuration import Configuration
from tests.studies import small_model, small_task
from tests.tuning.populations import (
    TRACED,
    assert_first_same_as_fit,
    assert_same_as_fit,
    assert_same_trials,
    by_seed,
    kept_program,
    search,
)


@pytest.fixture(scope="module")
def nine():
    """A study of nine trials in three rows, its sampler one that learns."""
    engine = PopulationEngine(3)
    return search(engine, trials=9, sampler="tpe"), engine.summary


@pytest.fixture
def kept_programs(monkeypatch):
    monkeypatch.setattr(Epoch, "program", kept_program)


# Values.


@pytest.fixture(scope="module")
def by_fit():
    return search(FitEngine(), trials=5)


@pytest.mark.parametrize(("width", "form"), [(3, "vectorized"), (3, "looped"), (1, None)])
def test_trials_of_every_width_and_form_are_those_of_the_fit_engine(by_fit, width, form):
    engine = PopulationEngine(width, form)
    found = search(engine, trials=5)
    assert [trial.user_attrs["width"] for trial in found.study.trials] == [width] * 5
    assert engine.summary["form"] == form or form is None
    assert_same_trials(found, by_fit, rtol=1e-5)


def test_the_same_seed_repeats_parameters_and_values_exactly(nine):
    again = search(PopulationEngine(3), trials=9, sampler="tpe")
    assert by_seed(again) == by_seed(nine[0])
    other = search(None, trials=9, sampler="tpe", seed=6)
    other.run(1, PopulationEngine(1))
    assert by_seed(other).keys() == {6}


def test_trials_and_study_keep_how_they_were_trained(nine):
    result, summary = nine
    for trial in result.study.trials:
        assert trial.user_attrs["engine"] == "population"
        assert trial.user_attrs["row"] in range(3)
        assert trial.user_attrs["width"] == 3
        assert trial.user_attrs["epochs"] == 2
        assert trial.user_attrs["seconds"] > 0
        assert trial.user_attrs["seed"] == 5 + trial.number
    assert {trial.user_attrs["row"] for trial in result.study.trials} == {0, 1, 2}
    assert result.study.user_attrs["engine"] == summary
    assert summary["engine"] == "population"
    assert summary["width"] == 3
    assert summary["seconds"] >= summary["program_seconds"] > 0


# Programs.


def test_a_program_is_traced_once_however_many_trials_pass_through_it(nine):
    _, long = nine
    engine = PopulationEngine(3)
    search(engine, trials=3, sampler="tpe")
    assert engine.summary["programs"] == long["programs"] == 1
    assert engine.summary["traces"] == long["traces"] == (1 if TRACED else 0)
    if TRACED:
        assert engine.summary["model_traces"] == long["model_traces"]


@pytest.fixture(scope="module")
def several():
    """A study of three optimizers in four forms, and the engine's summary of it."""
    optimizers = ["adam", "momentum", "rmsprop"]
    space = {"rmsprop.centered": CategoricalDistribution([True, False])}
    settings = {"optimizer": "rmsprop", "rmsprop.learning_rate": 1e-2}
    queued = [
        {"optimizer": "adam"},
        {**settings, "rmsprop.centered": True},
        {"optimizer": "momentum"},
        {**settings, "rmsprop.centered": False},
    ]
    arguments = {"optimizer": optimizers, "space": space, "settings": queued, "trials": 5}
    engine = PopulationEngine(3)
    return search(engine, **arguments), search(FitEngine(), **arguments), engine.summary


def test_trials_of_several_optimizers_and_their_switches_are_those_of_the_fit_engine(several):
    found, expected, summary = several
    assert {trial.state for trial in found.study.trials} == {TrialState.COMPLETE}
    assert_same_trials(found, expected)
    assert summary["programs"] == 4
    assert summary["traces"] == (4 if TRACED else 0)


@pytest.mark.only("tensorflow", "jax")  # PyTorch traces nothing
def test_the_optimizers_of_a_study_share_the_trace_of_the_models_gradient(several, nine):
    assert several[2]["model_traces"] == nine[1]["model_traces"]


@pytest.mark.once("torch")
def test_all_forms_of_a_study_together_have_no_more_rows_than_its_width(kept_programs):
    queued = [{"amsgrad": value} for value in (True, False, True, False)]
    space = {"amsgrad": CategoricalDistribution([True, False])}
    result = search(PopulationEngine(4), trials=8, space=space, settings=queued)
    rows = {trial.user_attrs["row"] for trial in result.study.trials}
    assert {0, 2} <= rows <= {0, 1, 2, 3}


def test_the_schedules_of_trials_are_inputs_of_one_program():
    space = {"schedule": ["constant", "linear", "cosine"], "warmup": (0.0, 0.3)}
    queued = [{"schedule": name, "warmup": 0.2} for name in ("linear", "cosine", "constant")]
    summary = assert_same_as_fit(space=space, settings=queued)
    assert summary["programs"] == 1
    assert summary["traces"] == (1 if TRACED else 0)


def test_both_learning_rates_of_adabound_follow_a_searched_schedule():
    assert_first_same_as_fit(None, optimizer="adabound", space={"schedule": "cosine"})


def test_what_slots_begin_with_is_each_trials_own():
    queued = [{"initial_accumulator_value": value} for value in (0.0, 0.3, 0.1)]
    space = {"initial_accumulator_value": optuna.distributions.FloatDistribution(0.0, 0.5)}
    summary = assert_same_as_fit(optimizer="adagrad", space=space, settings=queued)
    assert summary["programs"] == 1


def test_trials_without_weight_decay_train_beside_those_with_it():
    queued = [{"weight_decay": value} for value in (None, 0.1, None)]
    space = {"weight_decay": CategoricalDistribution([None, 0.1])}
    assert assert_same_as_fit(width=4, space=space, settings=queued)["programs"] == 2


def test_a_smaller_last_batch_of_both_splits_is_trained_and_validated_as_by_fit():
    assert_first_same_as_fit(small_task(batch_size=7))
    assert_first_same_as_fit(small_task(batch_size=7, drop_remainder=True))


def test_a_batch_larger_than_the_data_is_one_step():
    summary = assert_first_same_as_fit(small_task(batch_size=100))
    assert summary["engine"] == "population"


# Several seeds.


def test_a_trial_of_two_seeds_is_judged_by_the_mean_of_two_runs(task, kept_programs):
    engine = PopulationEngine(5)
    result = search(engine, task, trials=3, seeds_per_trial=2)
    assert engine.summary["width"] == 4
    for trial in result.study.trials[:2]:
        seeds = [5 + 2 * trial.number, 6 + 2 * trial.number]
        runs = []
        for seed in seeds:
            model = task.build(result.space.decode(trial.params).optimizer(None), seed)
            runs.append(task.fit(model, seed).history["val_loss"][-1])
        assert trial.value == pytest.approx(np.mean(runs), rel=1e-5)
        assert trial.user_attrs["values"] == pytest.approx(runs, rel=1e-5)
        assert trial.user_attrs["spread"] == pytest.approx(np.std(runs, ddof=1), rel=1e-4)
        assert trial.user_attrs["seed"] == seeds[0]


def test_a_trial_diverges_when_one_of_its_seeds_does(kept_programs):
    def of_luck():
        value = np.random.rand()  # the builder's own random numbers come from the seed too
        start = np.nan if value < 0.2 else value
        return keras.Sequential(
            [
                keras.Input((3,)),
                keras.layers.Dense(1, kernel_initializer=keras.initializers.Constant(start)),
            ]
        )

    luck = [np.random.RandomState(seed).rand() >= 0.2 for seed in range(5, 13)]
    fine = [all(pair) for pair in zip(luck[::2], luck[1::2], strict=True)]
    assert set(fine) == {True, False}
    task = small_task(model=of_luck)
    result = search(PopulationEngine(4), task, trials=4, seeds_per_trial=2)
    states = [trial.state == TrialState.COMPLETE for trial in result.study.trials]
    assert states == fine
    assert ["diverged" not in trial.user_attrs for trial in result.study.trials] == fine


# Bad input.


@pytest.mark.once("torch")
@pytest.mark.parametrize("population", [0, -1, 1.5, "many", None, True])
def test_a_population_that_is_no_count_is_refused_before_anything_is_stored(population):
    storage = optuna.storages.InMemoryStorage()
    with pytest.raises((TypeError, ValueError), match="population"):
        kol.tune(small_task(), trials=1, confirm=0, population=population, storage=storage)
    assert storage.get_all_studies() == []


def test_a_population_without_room_for_all_seeds_of_a_trial_is_refused_before_any_is_asked():
    result = search(None, seeds_per_trial=3)
    with pytest.raises(ValueError, match=r"population=2 has no room for the 3 runs"):
        result.run(2, PopulationEngine(2))
    assert result.study.trials == []


@pytest.mark.once("torch")
def test_a_population_is_cut_to_the_trials_that_are_left(task, kept_programs):
    engine = PopulationEngine(50)
    result = search(engine, task, trials=2)
    assert engine.summary["width"] == 2
    assert [trial.user_attrs["width"] for trial in result.study.trials] == [2, 2]
    result.run(3, engine)
    assert engine.summary["width"] == 1
    assert len(result.study.trials) == 3


def test_a_study_that_has_its_trials_already_trains_nothing(nine):
    result, _ = nine
    result.run(9, PopulationEngine(3))
    assert len(result.study.trials) == 9


@pytest.mark.once("torch")
def test_a_builder_whose_models_change_their_shape_is_named():
    built = []

    def growing():
        built.append(None)
        units = 4 if len(built) < 3 else 5  # the study has looked at one, and trains one
        layers = keras.layers
        return keras.Sequential([keras.Input((3,)), layers.Dense(units), layers.Dense(1)])

    result = search(None, small_task(model=growing, name="growing"), trials=3)
    with pytest.raises(ValueError, match=r"task 'growing' returned weights of other shapes"):
        result.run(3, PopulationEngine(1))
    assert result.study.trials[-1].state == TrialState.FAIL


def test_a_metric_that_cannot_be_computed_is_named():
    def lopsided(y_true, y_pred):
        raise ArithmeticError("one leg is shorter")

    result = search(None, small_task(metrics=[lopsided]))
    with pytest.raises(Exception, match="lopsided"):
        result.run(2, PopulationEngine(2))


class PruneTheFirst(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        return trial.number == 0


@pytest.mark.once("torch")
def test_no_trial_is_begun_that_is_not_trained(tmp_path, kept_programs):
    storage = str(tmp_path / "s.journal")
    result = search(PopulationEngine(3), storage=storage, trials=7, pruner=PruneTheFirst())
    assert [trial.number for trial in result.finished_trials] == list(range(7))
    assert len(result.study.trials) == 7


# Interruptions.


def _running():
    return [thread for thread in threading.enumerate() if "population" in thread.name]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, pytest.param(LookupError, marks=pytest.mark.once("torch"))]
)
def test_an_error_in_a_callback_fails_trials_in_flight_and_the_study_goes_on(error, kept_programs):
    def fail(study, trial):
        raise error("not now")

    result = search(None, pruner=PruneTheFirst())
    with pytest.raises(error, match="not now"):
        result.run(6, PopulationEngine(3), callbacks=[fail])
    assert not _running()
    first, *others = result.study.trials
    assert first.state == TrialState.PRUNED
    assert {trial.state for trial in others} == {TrialState.FAIL}
    for trial in others:
        assert trial.user_attrs["error"] == f"{error.__name__}: {error('not now')}"
    result.run(4, PopulationEngine(3))
    assert len(result.finished_trials) == 4
    assert not [t for t in result.study.trials if t.state == TrialState.RUNNING]


@pytest.mark.once("torch")
def test_an_error_in_a_callback_leaves_trials_that_ended_in_the_same_epoch_complete(kept_programs):
    told = []

    def fail(study, trial):
        told.append(trial.number)
        raise LookupError

    result = search(None)
    with pytest.raises(LookupError):
        result.run(3, PopulationEngine(3, "vectorized"), callbacks=[fail])
    complete = [t.number for t in result.study.trials if t.state == TrialState.COMPLETE]
    assert sorted(told) == complete
    ended = [t for t in result.study.trials if t.user_attrs["epochs"] == result.task.epochs]
    assert [trial.number for trial in ended] == complete


@pytest.mark.once("torch")
def test_an_interruption_while_weights_are_drawn_leaves_a_study_that_goes_on(kept_programs):
    built = []

    def interrupted_once():
        built.append(None)
        if len(built) == 3:  # the study has looked at one, and trains one
            raise KeyboardInterrupt
        return small_model()

    result = search(None, small_task(model=interrupted_once))
    with pytest.raises(KeyboardInterrupt):
        result.run(6, PopulationEngine(2))
    assert not [t for t in result.study.trials if t.state == TrialState.RUNNING]
    assert TrialState.FAIL in {trial.state for trial in result.study.trials}
    assert not _running()
    result.run(6, PopulationEngine(2))
    assert len(result.finished_trials) == 6


@pytest.mark.once("torch")
def test_a_study_that_a_callback_stops_finishes_what_is_in_its_rows(kept_programs):
    result = search(None)
    result.run(50, PopulationEngine(2), callbacks=[lambda study, trial: study.stop()])
    assert 1 <= len(result.study.trials) <= 4
    assert {trial.state for trial in result.study.trials} == {TrialState.COMPLETE}


@pytest.mark.once("torch")
def test_weights_of_a_seed_are_drawn_once_for_all_that_are_trained_with_it(kept_programs):
    seeds = []
    draw = FirstValues.__call__

    def counted(self, seed):
        seeds.append(seed)
        return draw(self, seed)

    rates = [Configuration("adam", {"learning_rate": eta}) for eta in (1e-3, 1e-2, 1e-1)]
    trainings = [Training(str(i), each, seed) for i, each in enumerate(rates) for seed in (5, 6)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FirstValues, "__call__", counted)
        curves = train(small_task(), trainings)
    assert seeds.count(5) == seeds.count(6) == 1
    assert len({each["val_loss"][-1] for each in curves}) == 6
