"""The sequential engine finds what `FitEngine` finds, with one compiled model for many trials.

What both engines do, such as several seeds for a trial, is tested on both.
"""

import logging
from contextlib import nullcontext

import keras
import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from keras_optim_lab.tuner import TuningResult
from keras_optim_lab.tuning.engines import sequential_engine
from keras_optim_lab.tuning.engines.fit_engine import FitEngine
from keras_optim_lab.tuning.engines.sequential_engine import SequentialEngine
from tests.fit_without_xla import eagerly
from tests.studies import small_model, small_task

BACKEND = keras.backend.backend()
# How often a program of one form is traced.
TRACES = {"jax": 1, "tensorflow": 1, "torch": 0}[BACKEND]
ENGINES = pytest.mark.parametrize("make_engine", [FitEngine, SequentialEngine])


def brief_task(**changes):
    """A task of one step an epoch, for what does not depend on how many there are."""
    return small_task(batch_size=24, **changes)


def search(engine, task=None, optimizer="adam", trials=3, settings=(), **changes):
    """A study of random trials without pruning, the first of them with the given settings."""
    arguments = {"sampler": "random", "pruner": "none", "seed": 5, "start": "none", **changes}
    result = TuningResult.create(
        task or brief_task(),
        optimizer,
        name="study",
        storage=optuna.storages.InMemoryStorage(),
        **arguments,
    )
    for chosen in settings:
        result.study.enqueue_trial(chosen)
    with eagerly() if type(engine) is FitEngine else nullcontext():
        result.run(trials, engine=engine)
    return result


def curves(result):
    return [list(trial.intermediate_values.values()) for trial in result.study.trials]


def assert_same_as_fit(task=None, optimizer="adam", **changes):
    """Returns the engine's summary of a study whose trials must be those of `FitEngine`."""
    engine = SequentialEngine()
    found = search(engine, task, optimizer, **changes)
    expected = search(FitEngine(), task, optimizer, **changes)
    assert [t.params for t in found.study.trials] == [t.params for t in expected.study.trials]
    assert [t.state for t in found.study.trials] == [t.state for t in expected.study.trials]
    np.testing.assert_allclose(curves(found), curves(expected), rtol=1e-5)
    assert np.isfinite(curves(found)).all()
    assert len({tuple(curve) for curve in curves(found)}) == len(curves(found))
    return engine.summary


def forms(summary):
    """How many forms of optimizers have been traced; PyTorch never traces."""
    return summary["traces"] / TRACES if TRACES else 0


def with_state():
    """A model of all kinds of variables: weights, moving averages and random states."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(8, activation="relu"),
            layers.BatchNormalization(momentum=0.5),
            layers.Dropout(0.5),
            layers.GaussianNoise(0.1),
            layers.Dense(1),
        ]
    )


# The values of `FitEngine`.


@pytest.mark.shell
@pytest.mark.parametrize(
    ("optimizer", "space"),
    [
        ("gradient_descent", {}),
        ("adam", {"weight_decay": (1e-3, 1e-1)}),
        ("nadam", {}),  # has state shared by all weights
        ("rmsprop", {"momentum": CategoricalDistribution([0.0, 0.5, 0.9])}),
        ("adagrad", {"initial_accumulator_value": FloatDistribution(0.0, 0.5)}),
        ("adabound", {"schedule": "cosine"}),  # has two learning rates
        ("momentum", {"schedule": ["constant", "linear", "cosine"], "warmup": (0.0, 0.5)}),
    ],
)
def test_the_trials_are_those_of_the_fit_engine(optimizer, space):
    assert_same_as_fit(small_task(model=with_state), optimizer, space=space, trials=2)


def test_trials_of_several_optimizers_are_those_of_the_fit_engine():
    assert_same_as_fit(optimizer=["adam", "radam"], trials=6)


def test_a_smaller_last_batch_is_trained_as_in_the_fit_engine():
    assert_same_as_fit(small_task(model=with_state, batch_size=7))


def test_a_model_that_is_built_from_data_is_trained_as_in_the_fit_engine():
    assert_same_as_fit(brief_task(model=lambda: keras.Sequential([keras.layers.Dense(1)])))


class Counting(keras.Model):
    """Has a training step of its own, and counts in a variable how often it has been called."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.calls = self.add_weight(initializer="zeros", trainable=False, name="calls")

    def call(self, x, training=False):
        if training:
            self.calls.assign(self.calls + 1)
        return self.dense(x) * (1 + self.calls)

    def train_step(self, *arguments):
        return super().train_step(*arguments)


def test_a_model_with_a_training_step_of_its_own_starts_every_trial_anew():
    summary = assert_same_as_fit(small_task(model=Counting), "gradient_descent")
    assert forms(summary) == bool(TRACES)


def test_a_model_in_float16_starts_every_trial_with_the_first_loss_scale():
    """Keras wraps the optimizer in one that scales the loss, and halves the scale when it must."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        task = brief_task(model=with_state, loss=lambda y, z: 100 * keras.ops.square(y - z))
        assert forms(assert_same_as_fit(task)) == bool(TRACES)
    finally:
        keras.config.set_dtype_policy(policy)


class Reader(keras.utils.PyDataset):
    """Batches of arrays; fails where it is told to."""

    def __init__(self, arrays, batch=8):
        super().__init__()
        self.arrays = arrays
        self.batch = batch
        self.fails_at = None
        self.read = 0

    def __len__(self):
        return -(-len(self.arrays[0]) // self.batch)

    def __getitem__(self, step):
        self.read += 1
        if self.read == self.fails_at:
            raise OSError("the disk is gone")
        return tuple(array[step * self.batch : (step + 1) * self.batch] for array in self.arrays)


def reader(arrays):
    return Reader(arrays)


def dataset(arrays):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(arrays).batch(8)


PIPELINES = [reader, dataset] if BACKEND == "tensorflow" else [reader]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_data_pipelines_are_read_as_in_the_fit_engine(pipeline):
    arrays = small_task()
    task = small_task(train=pipeline(arrays.train), validation=pipeline(arrays.validation))
    assert task.streams
    # TensorFlow's first trace makes the metrics, for which no batch is read before.
    assert forms(assert_same_as_fit(task)) == (2 if BACKEND == "tensorflow" else bool(TRACES))


# One trace.


@pytest.mark.parametrize(
    "task",
    [{"batch_size": 24}, {"model": with_state, "batch_size": 24}, {"batch_size": 7}],
    ids=["plain", "with state", "with a smaller batch"],
)
def test_a_second_and_a_third_trial_are_not_traced_again(task):
    engine = SequentialEngine()
    search(engine, small_task(**task), trials=1)
    once = engine.summary["traces"]
    search(engine, small_task(**task), trials=3)
    assert engine.summary["traces"] == once
    assert (once == 0) == (BACKEND == "torch")


def test_settings_that_are_left_out_or_used_only_at_the_start_need_no_trace():
    space = {"initial_accumulator_value": FloatDistribution(0.0, 0.5)}
    assert forms(assert_same_as_fit(optimizer="adagrad", space=space)) == bool(TRACES)


def amsgrad(*choices):
    space = {"amsgrad": CategoricalDistribution([True, False])}
    return {"space": space, "trials": len(choices), "settings": [{"amsgrad": c} for c in choices]}


def test_every_form_of_an_optimizer_is_traced_once():
    assert forms(assert_same_as_fit(**amsgrad(True, False, True, False))) == 2 * bool(TRACES)


def test_every_schedule_is_part_of_a_program_of_its_own():
    space = {"learning_rate": CategoricalDistribution([0.1, 0.01]), "schedule": "cosine"}
    settings = [{"learning_rate": rate} for rate in (0.1, 0.01, 0.1, 0.01)]
    summary = assert_same_as_fit(
        optimizer="gradient_descent", space=space, settings=settings, trials=4
    )
    assert forms(summary) == 2 * bool(TRACES)


@pytest.mark.once  # but not on PyTorch, where nothing is traced
@pytest.mark.parametrize(("kept", "expected"), [(1, 4), (2, 3)])
def test_the_model_that_was_used_least_recently_is_dropped(monkeypatch, kept, expected):
    monkeypatch.setattr(sequential_engine, "_KEPT", kept)
    space = {
        "beta_1": 0.5,
        "learning_rate": 0.1,
        "warmup": CategoricalDistribution([0.2, 0.4, 0.6]),
    }
    settings = [{"warmup": warmup} for warmup in (0.2, 0.4, 0.2, 0.6)]
    assert forms(assert_same_as_fit(space=space, settings=settings, trials=4)) == expected


class TwoOptimizers(keras.Sequential):
    def __init__(self):
        super().__init__([keras.Input((3,)), keras.layers.Dense(1)])
        self.second = keras.optimizers.SGD()


class Varying:
    """Builds a model of another width each time."""

    def __init__(self):
        self.units = 3

    def __call__(self):
        self.units += 1
        return keras.Sequential(
            [keras.Input((3,)), keras.layers.Dense(self.units), keras.layers.Dense(1)]
        )


@pytest.mark.parametrize("builder", [lambda: TwoOptimizers, Varying])
def test_a_model_that_cannot_take_over_the_next_trial_is_not_kept(builder):
    engine = SequentialEngine()
    found = search(engine, brief_task(model=builder()))
    np.testing.assert_allclose(
        curves(found), curves(search(FitEngine(), brief_task(model=builder()))), rtol=1e-5
    )


def test_an_optimizer_that_is_kept_tells_the_settings_of_its_present_trial():
    told = []

    class Telling(keras.Sequential):
        def fit(self, *arguments, **changes):
            told.append(self.optimizer.get_config())
            return super().fit(*arguments, **changes)

    task = brief_task(model=lambda: Telling([keras.Input((3,)), keras.layers.Dense(1)]))
    found = search(SequentialEngine(), task)
    for config, trial in zip(told, found.study.trials, strict=True):
        settings = found.space.decode(trial.params).settings
        assert {name: config[name] for name in settings} == settings


# What is kept of trials and studies.


@pytest.mark.once("torch")
@ENGINES
def test_trials_and_studies_tell_what_trained_them(make_engine):
    engine = make_engine()
    found = search(engine)
    for trial in found.study.trials:
        attributes = {name: trial.user_attrs[name] for name in ("engine", "row", "width")}
        assert attributes == {"engine": engine.name, "row": 0, "width": 1}
    assert engine.summary["engine"] == engine.name
    assert engine.summary["seconds"] > 0
    assert found.study.user_attrs["engine"] == engine.summary


# Several seeds.


@ENGINES
def test_a_trial_of_two_seeds_is_judged_by_the_mean_of_two_runs(make_engine):
    task = brief_task(model=with_state)
    found = search(make_engine(), task, seeds_per_trial=2, trials=2)
    for trial in found.study.trials:
        optimizer = found.space.decode(trial.params).optimizer
        runs = []
        for seed in (5 + 2 * trial.number, 6 + 2 * trial.number):
            model = task.build(optimizer(None), seed)
            with eagerly():
                runs.append(task.fit(model, seed).history["val_loss"])
        curve = list(trial.intermediate_values.values())
        np.testing.assert_allclose(curve, np.mean(runs, axis=0), rtol=1e-5)
        ends = [run[-1] for run in runs]
        assert trial.value == pytest.approx(np.mean(ends), rel=1e-5)
        assert trial.user_attrs["values"] == pytest.approx(ends, rel=1e-5)
        assert trial.user_attrs["spread"] == pytest.approx(np.std(ends, ddof=1), rel=1e-4)


class Builder:
    """Builds small models, of which one, counted from 1, can only diverge."""

    def __init__(self, broken=None):
        self.built = -1  # the study looks at a model before the first trial
        self.broken = broken

    def __call__(self):
        self.built += 1
        model = small_model()
        if self.built == self.broken:
            model.layers[-1].bias.assign([float("nan")])
        return model


@pytest.fixture(scope="module")
def undisturbed():
    """The curves of trials of which none diverges, by how many seeds each of them has."""
    return {seeds: curves(search(FitEngine(), seeds_per_trial=seeds)) for seeds in (1, 2)}


@pytest.mark.parametrize(
    ("make_engine", "seeds", "broken"),
    [
        (SequentialEngine, 1, 1),
        pytest.param(SequentialEngine, 1, 2, marks=pytest.mark.once("torch")),
        pytest.param(SequentialEngine, 2, 1, marks=pytest.mark.once("torch")),
        pytest.param(SequentialEngine, 2, 2, marks=pytest.mark.once("torch")),
        pytest.param(FitEngine, 2, 2, marks=pytest.mark.once("torch")),
    ],
)
def test_a_run_that_diverges_ends_its_trial_as_diverged_and_the_next_one_trains(
    make_engine, seeds, broken, undisturbed
):
    builder = Builder(broken)
    found = search(make_engine(), brief_task(model=builder), seeds_per_trial=seeds, trials=3)
    states = [TrialState.COMPLETE] * 3
    number = (broken - 1) // seeds
    states[number] = TrialState.PRUNED
    assert [trial.state for trial in found.study.trials] == states
    diverged = found.study.trials[number]
    assert diverged.user_attrs["diverged"] is True
    assert diverged.user_attrs["epochs"] == 1
    assert "values" not in diverged.user_attrs
    run = (broken - 1) % seeds + 1
    assert builder.built == 2 * seeds + run  # the runs after it are not trained
    np.testing.assert_allclose(curves(found)[2], undisturbed[seeds][2], rtol=1e-5)


class PruneAll(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        return True


@pytest.mark.once("torch")
@ENGINES
@pytest.mark.parametrize("seeds", [1, 2])
def test_pruning_stops_the_last_run_of_a_trial(make_engine, seeds):
    train = Reader(small_task().train)
    found = search(
        make_engine(), small_task(train=train), seeds_per_trial=seeds, pruner=PruneAll(), trials=2
    )
    for trial in found.study.trials:
        assert trial.state == TrialState.PRUNED
        assert trial.user_attrs["epochs"] == 1
        assert list(trial.intermediate_values) == [0]


# Errors.


def test_after_an_error_in_the_midst_of_a_training_the_engine_trains_as_before():
    train = Reader(small_task().train)
    task = small_task(train=train)
    expected = curves(search(FitEngine(), task, trials=3))
    engine = SequentialEngine()
    result = TuningResult.create(
        task, "adam", name="study", sampler="random", pruner="none", seed=5, start="none"
    )
    train.fails_at = train.read + 9  # 3 batches in each of 2 epochs: in the second trial
    with pytest.raises(Exception, match="the disk is gone"):
        result.run(3, engine=engine)
    assert [trial.state.name for trial in result.study.trials] == ["COMPLETE", "FAIL"]
    np.testing.assert_allclose(curves(result)[0], expected[0], rtol=1e-5)
    result.run(3, engine=engine)
    complete = [t for t in result.study.trials if t.state == TrialState.COMPLETE]
    assert [trial.number for trial in complete] == [0, 2, 3]
    for trial in complete:
        seed = trial.user_attrs["seed"]
        optimizer = result.space.decode(trial.params).optimizer(None)
        with eagerly():
            curve = task.fit(task.build(optimizer, seed), seed).history["val_loss"]
        np.testing.assert_allclose(list(trial.intermediate_values.values()), curve, rtol=1e-5)


# Models that are built from the trial.


def of_some_width(trial):
    units = trial.suggest_int("units", 2, 9)
    return keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(units, activation="tanh"), keras.layers.Dense(1)]
    )


@pytest.mark.once("torch")
@ENGINES
def test_a_model_that_is_built_from_the_trial_is_tuned_with_its_own_settings(make_engine):
    task = brief_task(model=of_some_width)
    found = search(make_engine(), task, trials=2, seeds_per_trial=2)
    assert len({trial.params["units"] for trial in found.study.trials}) > 1
    assert 2 <= found.best_trial.params["units"] <= 9
    assert [*found.best_params] == ["learning_rate", "beta_1", "beta_2", "epsilon", "units"]
    assert found.best_params["units"] == found.best_trial.params["units"]
    best = found.best_trial
    seed = best.user_attrs["seed"]
    model = task.build(found.best_optimizer(), seed, optuna.trial.FixedTrial(best.params))
    end = task.fit(model, seed).history["val_loss"][-1]
    assert best.user_attrs["values"][0] == pytest.approx(end, rel=1e-5)


def test_models_that_are_built_from_the_trial_are_left_to_the_fit_engine_and_the_log_says_why(
    caplog,
):
    engine = SequentialEngine()
    with caplog.at_level(logging.INFO, "keras_optim_lab"):
        found = search(engine, brief_task(model=of_some_width), trials=1)
    assert "task 'small': its model is built from the trial" in caplog.text
    assert found.study.trials[0].user_attrs["engine"] == "fit"
    assert engine.summary["engine"] == "fit"
    assert engine.summary["reason"] == "its model is built from the trial"


@pytest.mark.only("tensorflow")  # JAX drops such a state, PyTorch refuses its gradient
def test_no_trial_goes_on_from_the_recurrent_state_of_the_one_before():
    def build():
        inputs = keras.Input(batch_shape=(4, 3))
        steps = keras.layers.Reshape((3, 1))(inputs)
        return keras.Model(inputs, keras.layers.Dense(1)(keras.layers.GRU(2, stateful=True)(steps)))

    assert_same_as_fit(small_task(model=build, batch_size=4), trials=2)
