"""A step that comes again and again is recorded, and does what it did."""

import logging
import random

import keras
import numpy as np
import pytest
import torch
from keras import layers

from keras_optim_lab import backend
from keras_optim_lab.backend.torch import gradients
from keras_optim_lab.optimizers import Adam, GradientDescent
from keras_optim_lab.tuning.engines.batches import on_device, taken
from keras_optim_lab.tuning.engines.epoch import Epoch
from keras_optim_lab.tuning.engines.inputs import RowEpoch
from keras_optim_lab.tuning.engines.pure_model import PureModel
from keras_optim_lab.tuning.spaces.configuration import Configuration
from tests.studies import small_task
from tests.tuning.populations import Rows

SEQUENCE, IMAGE = (6, 4), (6, 6, 2)


def normalized(x):
    x = layers.BatchNormalization()(layers.Dense(5, activation="gelu")(x))
    return layers.Dropout(0.3)(x)


def recurrent(x):
    return layers.GRU(3, dropout=0.1)(layers.LSTM(3, return_sequences=True)(x))


def attending(x):
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 2)(x, x))
    return layers.GlobalAveragePooling1D()(x)


def convolved(x):
    x = layers.MaxPooling2D()(layers.Conv2D(4, 3, activation="relu")(x))
    return layers.Flatten()(x)


def turned(x):
    """Results of two layouts in memory, of which one may not be written over the other."""
    y = layers.Permute((2, 1))(
        layers.Rescaling(2.0)(layers.Activation("exponential")(layers.Permute((2, 1))(x)))
    )
    return layers.Concatenate()([layers.Flatten()(y), layers.Flatten()(layers.Dense(6, "tanh")(x))])


def half(x):
    return layers.Dense(4, activation="relu", dtype="mixed_bfloat16")(x)


def steps_of(body, shape, monkeypatch, caplog, count=6):
    """Results of a model's steps with batches and seeds of their own, and those not recorded."""
    monkeypatch.setattr(gradients, "_OFTEN", 2)
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(24, *each)).astype("float32") for each in (shape, (1,)))

    def model():
        inputs = keras.Input(shape)
        return keras.Model(inputs, layers.Dense(1, dtype="float32")(body(inputs)))

    task = small_task(model=model, train=(x, y), validation=(x, y), test=None)
    optimizer = GradientDescent(0.1)
    pure = PureModel(task, optimizer, train_metrics=True)
    epoch = Epoch(pure, optimizer, width=3, form="vectorized", scheduled=False)
    state = epoch.empty()
    for row in range(3):
        state = backend.rows().put_row(state, row, epoch.first_state(row, optimizer))
    rows = [RowEpoch(Configuration("", {}), row, 0) for row in range(3)]
    batches = epoch.inputs(rows).train.whole
    train, _ = on_device(task)
    found = []
    with caplog.at_level(logging.INFO, "keras_optim_lab"), torch.no_grad():
        for i in range(count):
            batch = taken(train, batches[i % len(batches)])
            step = state["optimizer"].step + i
            arguments = (state["weights"], state["others"], epoch._first_metrics(), state["seed"])
            found.append(pure.row_gradients(*arguments, step, (), batch))
            found.append(pure.validated_rows[0](*arguments[:3], batch))
            first = keras.tree.map_structure(lambda array: array[0], batch)
            found.append(pure.validated_rows[1](*arguments[:3], first))
    return found


@pytest.mark.parametrize(
    ("body", "shape", "large"),
    [
        (normalized, (3,), False),
        (recurrent, SEQUENCE, False),
        (attending, SEQUENCE, False),
        (convolved, IMAGE, False),
        (convolved, IMAGE, True),
        (turned, (6, 6), False),
        (half, (3,), True),
    ],
)
def test_recorded_steps_are_those_of_the_model(body, shape, large, monkeypatch, caplog):
    monkeypatch.setattr(gradients, "_LARGE", 0 if large else 2**18)
    recorded = steps_of(body, shape, monkeypatch, caplog)
    assert "recorded" not in caplog.text
    monkeypatch.setattr(gradients, "_Repeated", lambda function: function)
    plain = steps_of(body, shape, monkeypatch, caplog)
    for one, other in zip(recorded, plain, strict=True):
        for x, y in zip(*map(keras.tree.flatten, (one, other)), strict=True):
            assert x.dtype == y.dtype
            torch.testing.assert_close(x, y, rtol=0, atol=0)


@pytest.mark.parametrize("body", [normalized, convolved])
def test_large_rows_that_follow_each_other_are_those_that_step_together(body, monkeypatch, caplog):
    found = []
    for large in (0, 2**18):
        monkeypatch.setattr(gradients, "_LARGE", large)
        shape = IMAGE if body is convolved else (3,)
        found.append(keras.tree.flatten(steps_of(body, shape, monkeypatch, caplog)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


class Sometimes(layers.Layer):
    """Draws in Python, of which a recording knows nothing."""

    def call(self, x):
        return x if random.random() < 0.5 else 2 * x


@pytest.mark.parametrize(
    "changes",
    [
        {"model": lambda: keras.Sequential([keras.Input((3,)), Sometimes(), layers.Dense(1)])},
        {
            "model": lambda: keras.Sequential(
                [keras.Input((3,)), layers.Lambda(lambda x: x), layers.Dense(1)]
            )
        },
        {"loss": lambda y, z: keras.ops.mean((y - z) ** 2)},
        {"metrics": [lambda y, z: keras.ops.mean(y - z)]},
    ],
)
def test_only_steps_that_are_all_of_keras_are_recorded(changes, monkeypatch):
    recorded = []
    monkeypatch.setattr(gradients, "_Repeated", lambda function: recorded.append(1) or function)
    Rows(small_task(**changes), GradientDescent(0.1), 2, "vectorized")
    assert not recorded
    Rows(small_task(), GradientDescent(0.1), 2, "vectorized")
    assert len(recorded) == 4  # a step and a validation, of one row and of all


@pytest.mark.parametrize(("body", "shape"), [(normalized, (3,)), (convolved, IMAGE)])
def test_recorded_rows_one_after_the_other_are_those_of_the_model(body, shape, monkeypatch, caplog):
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(24, *each)).astype("float32") for each in (shape, (1,)))

    def model():
        inputs = keras.Input(shape)
        return keras.Model(inputs, layers.Dense(1)(body(inputs)))

    task = small_task(model=model, train=(x, y), validation=(x, y), test=None)
    plans = [(Configuration("adam", {}), seed) for seed in (1, 2)]
    runs, recordings = [], []
    recording = gradients.Recording
    monkeypatch.setattr(
        gradients, "Recording", lambda *a, **k: recordings.append(1) or recording(*a, **k)
    )
    with caplog.at_level(logging.INFO, "keras_optim_lab"):
        for often in (2, 10**9):
            monkeypatch.setattr(gradients, "_OFTEN", often)
            runs.append(Rows(task, Adam(1e-2), 2, "looped").train(plans, epochs=4))
    assert len(recordings) == 3  # of gradients, updates and validations
    assert "not recorded" not in caplog.text
    for (weights, logs), (plain, plain_logs) in zip(*runs, strict=True):
        assert logs == plain_logs
        for one, other in zip(weights, plain, strict=True):
            np.testing.assert_array_equal(one, other)


class TestRepeated:
    def calls(self, function, monkeypatch, count=8):
        monkeypatch.setattr(gradients, "_OFTEN", 3)
        repeated = gradients._Repeated(function)
        return [repeated(torch.tensor([float(i)]))[0].item() for i in range(count)]

    def test_it_runs_the_function_until_it_is_recorded_and_checked(self, monkeypatch):
        called = []

        def double(x):
            called.append(1)
            return [2 * x]

        assert self.calls(double, monkeypatch) == [2.0 * i for i in range(8)]
        assert len(called) == 3 + 1 + 1  # often, for the recording, and once to check it

    def test_a_function_with_a_state_of_its_own_is_not_replaced(self, monkeypatch, caplog):
        called = []

        def counting(x):
            called.append(1)
            return [x + len(called)]

        with caplog.at_level(logging.INFO, "keras_optim_lab"):
            found = self.calls(counting, monkeypatch)
        assert "differs from one call to the next" in caplog.text
        assert found[4:] == [i + len(called) - 7 + i for i in range(4, 8)]

    def test_what_asks_for_values_goes_on_as_it_is(self, monkeypatch, caplog):
        with caplog.at_level(logging.INFO, "keras_optim_lab"):
            found = self.calls(lambda x: [x if x.item() > 2 else -x], monkeypatch)
        assert "the step of a model is not recorded" in caplog.text
        assert found == [0.0, -1.0, -2.0, 3.0, 4.0, 5.0, 6.0, 7.0]

    def test_shapes_have_recordings_of_their_own(self, monkeypatch):
        monkeypatch.setattr(gradients, "_OFTEN", 1)
        repeated = gradients._Repeated(lambda x: [x.sum() * len(x)])
        for size in (2, 3, 2, 3, 2, 3):
            assert repeated(torch.ones(size))[0].item() == size**2
