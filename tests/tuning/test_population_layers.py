"""What the population engine trains: layers, losses, weights and metrics of all kinds.

Where there is noise it is that of `fit` on JAX, and a row's own on PyTorch, and on TensorFlow where
XLA draws it.
"""

import logging
import re
import warnings
from functools import partial

import keras
import numpy as np
import pytest
from keras import ops
from optuna.trial import TrialState

from keras_optim_lab import backend
from keras_optim_lab.tuning.engines.epoch import Epoch
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from keras_optim_lab.tuning.engines.sequential_engine import SequentialEngine
from tests.studies import small_task
from tests.tuning.populations import (
    BACKEND,
    assert_first_same_as_fit,
    by_seed,
    kept_program,
    search,
)

layers = keras.layers
FLAT, SEQUENCE, IMAGE = (3,), (6, 4), (6, 6, 2)


def of_layers(shape, *make):
    """A builder of a model of these layers, flattened at the end if they must be."""

    def build():
        head = [] if len(shape) == 1 else [layers.Flatten()]
        return keras.Sequential(
            [keras.Input(shape), *(each() for each in make), *head, layers.Dense(1)]
        )

    return build


def task_of(shape, *make, integers=False, **changes):
    rng = np.random.default_rng(1)

    def split(samples):
        x = rng.normal(size=(samples, *shape)).astype("float32")
        if integers:
            x = rng.integers(0, 5, (samples, *shape)).astype("int32")
        return x, rng.normal(size=(samples, 1)).astype("float32")

    splits = {"train": split(12), "validation": split(4), "test": None}
    arguments = {"model": of_layers(shape, *make), "batch_size": 6, **splits, **changes}
    return small_task(**arguments)


class SelfAttention(layers.Layer):
    """MultiHeadAttention of a sequence with itself, as a Sequential model wants it."""

    def __init__(self):
        super().__init__()
        self.attention = layers.MultiHeadAttention(num_heads=2, key_dim=2)

    def build(self, shape):
        self.attention.build(shape, shape)

    def call(self, x):
        return self.attention(x, x)


# Layers that draw nothing, several to a model: compiling takes most of the time.
PLAIN = {
    "images": (
        IMAGE,
        lambda: layers.Conv2D(2, 3, padding="same", activation="relu"),
        lambda: layers.DepthwiseConv2D(2),
        lambda: layers.GroupNormalization(2),
        lambda: layers.MaxPooling2D(2, strides=1),
        lambda: layers.AveragePooling2D(2),
    ),
    "normalization": (
        FLAT,
        lambda: layers.Dense(4),
        layers.BatchNormalization,
        layers.LayerNormalization,
    ),
    "sequences": (
        SEQUENCE,
        lambda: layers.Conv1D(4, 3),
        SelfAttention,
        lambda: layers.GlobalAveragePooling1D(keepdims=True),
    ),
    "recurrent": (
        SEQUENCE,
        lambda: layers.LSTM(2, return_sequences=True),
        lambda: layers.Bidirectional(layers.GRU(2, return_sequences=True)),
        lambda: layers.SimpleRNN(2, return_sequences=True),
    ),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_layers_are_trained_as_by_fit(kind):
    summary = assert_first_same_as_fit(task_of(*PLAIN[kind]))
    assert summary["engine"] == "population"
    if BACKEND != "torch":
        assert summary["form"] == "looped"  # the faster form on a CPU


def test_an_embedding_is_trained_as_by_fit_also_before_a_recurrent_layer():
    masked = partial(layers.Embedding, 5, 3, mask_zero=True)
    task = task_of((4,), masked, lambda: layers.LSTM(2), integers=True)
    assert assert_first_same_as_fit(task)["engine"] == "population"


NOISE = {
    "dropout": lambda: layers.Dropout(0.5),
    "gaussian-noise": lambda: layers.GaussianNoise(0.5),
    "spatial-dropout": lambda: layers.SpatialDropout1D(0.5),
}


@pytest.mark.parametrize("kind", NOISE)
def test_noise_is_each_trials_own_and_repeats(kind):
    shape = SEQUENCE if kind == "spatial-dropout" else FLAT
    task = task_of(shape, NOISE[kind])
    engine = PopulationEngine(2)
    first = search(engine, task, "gradient_descent", trials=2)
    assert engine.summary["engine"] == "population"
    again = search(PopulationEngine(2), task, "gradient_descent", trials=2)
    assert by_seed(first) == by_seed(again)
    assert {trial.state for trial in first.study.trials} == {TrialState.COMPLETE}


# Forms.


@pytest.fixture
def kept_programs(monkeypatch):
    monkeypatch.setattr(Epoch, "program", kept_program)


@pytest.fixture
def prefers_vectorized(monkeypatch):
    """As on an accelerator."""
    monkeypatch.setattr(backend.rows(), "prefers_vectorized", lambda: True)


def _form(task, caplog):
    caplog.clear()
    engine = PopulationEngine(2)
    with caplog.at_level(logging.INFO, "keras_optim_lab"):
        search(engine, task, "gradient_descent", trials=2)
    assert engine.summary["engine"] == "population"
    return engine.summary["form"], [
        record.message for record in caplog.records if record.levelno == logging.WARNING
    ]


@pytest.mark.only("torch")  # the others vectorize all layers of these tests
def test_a_layer_that_cannot_be_vectorized_is_named_and_looped(prefers_vectorized, caplog):
    task = task_of(FLAT, lambda: layers.GaussianNoise(0.1, name="stubborn"))
    form, warnings = _form(task, caplog)
    assert form == "looped"
    assert warnings == [
        "task 'small': its layer 'stubborn' (GaussianNoise) cannot be part of a vectorized step "
        "of many models; its trials are trained in a loop over models in one program."
    ]


@pytest.mark.only("torch")  # the others vectorize confusion matrices
def test_a_metric_that_cannot_be_vectorized_is_named(prefers_vectorized, caplog):
    task = binary(metrics=[keras.metrics.MeanIoU(2, name="overlap")])
    form, (warning,) = _form(task, caplog)
    assert form == "looped"
    assert "its metric 'overlap' (MeanIoU) cannot be part of a vectorized step" in warning


def test_a_model_that_fits_into_no_program_is_announced_in_one_sentence(
    monkeypatch, caplog, recwarn
):
    def refused(epoch, data):
        warnings.warn("deep inside of the backend", stacklevel=1)
        raise TypeError("cond branches must have equal output types")

    monkeypatch.setattr(Epoch, "program", refused)
    with caplog.at_level(logging.INFO, "keras_optim_lab"):
        search(PopulationEngine(2), trials=2)
    (said,) = (each.message for each in caplog.records if each.name == "keras_optim_lab")
    assert re.fullmatch(
        r"task 'small': its model cannot be part of a (vectorized step of many models|loop over "
        r"models in one program); its trials are trained one after the other\.",
        said,
    )
    assert not [each for each in recwarn if "deep inside" in str(each.message)]


def test_layers_are_vectorized_where_that_is_preferred(prefers_vectorized, caplog):
    task = task_of(SEQUENCE, lambda: layers.Dense(4), layers.BatchNormalization, SelfAttention)
    form, warnings = _form(task, caplog)
    assert form == "vectorized"
    assert warnings == []


# Losses, weights and metrics.


def two_outputs():
    x = keras.Input((3,), name="x")
    hidden = layers.Dense(4, activation="tanh")(x)
    return keras.Model(
        {"x": x}, {"a": layers.Dense(1, name="a")(hidden), "b": layers.Dense(2, name="b")(hidden)}
    )


def test_a_model_of_several_outputs_with_weights_of_losses_and_samples():
    rng = np.random.default_rng(2)

    def split(samples):
        x = rng.normal(size=(samples, 3)).astype("float32")
        y = {"a": x.sum(1, keepdims=True), "b": (x[:, 0] > 0).astype("int32")}
        return {"x": x}, y, rng.uniform(0.5, 2.0, samples).astype("float32")

    summary = assert_first_same_as_fit(
        small_task(
            model=two_outputs,
            train=split(20),
            validation=split(6),
            test=None,
            loss={
                "a": "mse",
                "b": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            },
            loss_weights={"a": 0.5, "b": 2.0},
            metrics={"a": ["mae"], "b": ["accuracy"]},
            weighted_metrics={"a": ["mse"]},
        ),
        objective=("val_a_mse", "minimize"),
    )
    assert summary["engine"] == "population"


def classes(samples, seed=4):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, 3)).astype("float32")
    return x, (x[:, 0] + x[:, 1] > 0).astype("int32")


def closeness(y_true, y_pred):
    return ops.mean(ops.abs(ops.cast(ops.reshape(y_true, ops.shape(y_pred)), "float32") - y_pred))


def binary(**changes):
    return small_task(
        **{
            "model": lambda: keras.Sequential(
                [
                    keras.Input((3,)),
                    layers.Dense(4, activation="tanh"),
                    layers.Dense(1, activation="sigmoid"),
                ]
            ),
            "train": classes(20),
            "validation": classes(10, 5),
            "test": None,
            "loss": "binary_crossentropy",
            "metrics": ["accuracy", keras.metrics.AUC(name="auc"), closeness],
            **changes,
        }
    )


@pytest.mark.parametrize("objective", ["accuracy", ("val_closeness", "minimize")])
def test_every_log_of_an_epoch_may_be_the_objective(objective, kept_programs):
    summary = assert_first_same_as_fit(binary(), objective=objective)
    assert summary["engine"] == "population"


def test_metrics_are_measured_in_the_fastest_form_also_those_of_several_numbers(caplog):
    def one_hot(samples, seed):
        x, y = classes(samples, seed)
        return x, np.eye(2, dtype="float32")[y]

    task = small_task(
        model=lambda: keras.Sequential(
            [keras.Input((3,)), layers.Dense(2, activation="softmax", name="last")]
        ),
        train=one_hot(20, 4),
        validation=one_hot(10, 5),
        test=None,
        loss="categorical_crossentropy",
        metrics=[
            keras.metrics.AUC(num_thresholds=10),
            keras.metrics.F1Score(average="macro", name="f1"),
            keras.metrics.F1Score(name="of_each_class"),
        ],
    )
    summary = assert_first_same_as_fit(task, objective="f1")
    assert summary["form"] == ("vectorized" if BACKEND == "torch" else "looped")
    assert not [each for each in caplog.records if each.name == "keras_optim_lab"]


def test_class_weights_act_on_training_as_by_fit():
    task = binary(class_weight={0: 1.0, 1: 5.0}, weighted_metrics=["accuracy"], metrics=[])
    assert_first_same_as_fit(task, objective="loss")


class Penalty(layers.Layer):
    def call(self, x):
        self.add_loss(0.1 * ops.mean(ops.square(x)))
        return x


def restrained():
    return keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, kernel_regularizer="l2", kernel_constraint="max_norm"),
            layers.ActivityRegularization(l1=0.01),
            Penalty(),
            layers.Dense(4, kernel_constraint="unit_norm", trainable=False),
            layers.Dense(1, bias_regularizer=keras.regularizers.L1(0.1)),
        ]
    )


def cubed(y_true, y_pred):
    return ops.mean(ops.abs(y_true - y_pred) ** 3, axis=-1)


@pytest.mark.parametrize("objective", ["loss", "val_loss"])
def test_regularizers_constraints_and_losses_of_layers_count_as_by_fit(objective, kept_programs):
    task = small_task(model=restrained, loss=cubed)
    assert_first_same_as_fit(task, "adam", objective=objective)


class OwnLoss(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(1)

    def call(self, x):
        return self.dense(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean(ops.abs(y - y_pred)) + 0.1


def test_a_subclassed_model_with_a_loss_of_its_own_is_trained_as_by_fit():
    assert_first_same_as_fit(small_task(model=OwnLoss))


# Models that no pure function can be made of.


class OwnStep(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(1)

    def call(self, x):
        return self.dense(x)

    def test_step(self, *arguments):
        return super().test_step(*arguments)


@pytest.fixture(params=["mixed_float16"])
def half_precision(request):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield
    keras.config.set_dtype_policy(policy)


def assert_left_to(name, task, reason, caplog, **changes):
    engine = PopulationEngine(2)
    with caplog.at_level(logging.INFO, "keras_optim_lab"):
        result = search(engine, task, trials=2, **changes)
    assert {trial.user_attrs["engine"] for trial in result.study.trials} == {name}
    assert {trial.state for trial in result.study.trials} == {TrialState.COMPLETE}
    assert result.study.user_attrs["engine"]["engine"] == name
    assert reason in result.study.user_attrs["engine"]["reason"]
    assert any(reason in record.message for record in caplog.records)


def test_a_model_with_a_test_step_of_its_own_is_trained_one_by_one(caplog):
    reason = "its model has a test_step of its own"
    assert_left_to("sequential", small_task(model=OwnStep), reason, caplog)


@pytest.mark.parametrize("half_precision", ["bfloat16"], indirect=True)
def test_a_model_in_bfloat16_is_trained_as_by_fit(half_precision):
    found = [
        [trial.value for trial in search(engine, small_task(), trials=2).study.trials]
        for engine in (PopulationEngine(2), SequentialEngine())
    ]
    np.testing.assert_allclose(*found, rtol=0.02)


def counting():
    calls = keras.Variable(0.0, trainable=False)

    class Counting(layers.Layer):
        def call(self, x):
            calls.assign_add(1.0)
            return x / (1.0 + calls)

    return Counting()


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (counting, "changes variables that Keras does not count among its own"),
        (
            lambda: layers.SpectralNormalization(layers.Dense(2)),
            "kernel', a weight that is trained",
        ),
    ],
    ids=["of others", "trained"],
)
def test_a_model_that_changes_other_variables_is_trained_one_by_one(layer, reason, caplog):
    assert_left_to("sequential", task_of(FLAT, layer), reason, caplog)


@pytest.mark.only("torch")
def test_a_module_of_pytorchs_is_trained_one_by_one(caplog):
    import torch

    def module():
        return layers.TorchModuleWrapper(torch.nn.Linear(3, 2), output_shape=(None, 2), name="own")

    reason = "its layer 'own' (TorchModuleWrapper) computes with its own weights"
    assert_left_to("sequential", task_of(FLAT, module), reason, caplog)


def test_a_model_for_one_size_of_batch_is_trained_as_by_fit():
    def build():
        inputs = keras.Input(batch_shape=(4, *FLAT))
        rows = ops.reshape(inputs, (4, 3))
        return keras.Model(inputs, layers.Dense(1)(rows))

    task = task_of(FLAT, model=build, batch_size=4)
    assert assert_first_same_as_fit(task)["engine"] == "population"


def test_a_model_that_is_built_from_the_trial_is_left_to_fit(caplog):
    def build(trial):
        return of_layers(FLAT, lambda: layers.Dense(trial.suggest_int("units", 2, 5)))()

    assert_left_to("fit", small_task(model=build), "its model is built from the trial", caplog)
