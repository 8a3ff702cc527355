"""One epoch of rows: each is the training of `Task.fit`, whatever its neighbours do."""

import logging
import math
import shutil

import keras
import numpy as np
import pytest

from keras_optim_lab import backend
from keras_optim_lab.optimizers import Adam, GradientDescent, Lookahead, Nadam, groups
from keras_optim_lab.tuning.engines.pure_model import PureModel
from keras_optim_lab.tuning.spaces.configuration import Configuration
from tests.optimizers.table import CASES, KINDS
from tests.tuning.populations import BACKEND, FORMS, Rows, ten_steps, variables

layers = keras.layers


def normalized():
    """Two matrices and a vector: a rule is compiled for every weight."""
    return keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, activation="tanh", use_bias=False),
            layers.LayerNormalization(center=False),
            layers.Dense(1, use_bias=False),
        ]
    )


def batch_normalized():
    return keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, activation="tanh"),
            layers.BatchNormalization(momentum=0.5),
            layers.Dense(1),
        ]
    )


def noisy():
    return keras.Sequential(
        [keras.Input((3,)), layers.Dense(8), layers.Dropout(0.5), layers.Dense(1)]
    )


def fitted(task, optimizer, seed):
    model = task.build(optimizer, seed)
    model.run_eagerly = BACKEND == "tensorflow"  # compiling takes longer than ten steps
    logs = task.fit(model, seed).history
    return variables(model), {name: values[-1] for name, values in logs.items()}


def assert_close(found, expected, rtol=1e-5, atol=1e-6):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)


# The values of `Task.fit`.

# Compiling takes most of the time. So every case is tried on PyTorch, which need not; elsewhere one
# of each kind is and one that branches, and two in the form that the backend does not prefer. That
# every rule is its own in each of many rows is shown in optimizers/test_functional.py.
PREFERRED, OTHER = FORMS if backend.rows().prefers_vectorized() else reversed(FORMS)
TRIED = [case for case in CASES if BACKEND == "torch" or case.id in {*KINDS, "soap"}]
FEWER = ["momentum-nesterov", "nadam"]


@pytest.fixture(scope="module")
def plain():
    """By form a task and its pure model, whose gradient all optimizers share.

    The last batch is a smaller one in the form that is tried with fewer optimizers.
    """
    tasks = {PREFERRED: ten_steps(normalized, samples=80), OTHER: ten_steps(normalized)}
    return {
        form: (task, PureModel(task, Adam(), train_metrics=False)) for form, task in tasks.items()
    }


@pytest.mark.parametrize(
    ("case", "form"),
    [
        *((case, PREFERRED) for case in TRIED),
        *((case, OTHER) for case in CASES if case.id in FEWER),
    ],
    ids=lambda part: getattr(part, "id", part),
)
def test_the_first_ten_steps_of_a_row_are_those_of_fit(plain, case, form):
    task, model = plain[form]
    assert task.steps == 10
    settings = {**case.hyperparameters, "learning_rate": 0.01}
    rows = Rows(task, case.make(), 2, form, model)
    neighbour = Configuration(case.name, {**settings, "learning_rate": 3e-3})
    found, other = rows.train([(Configuration(case.name, settings), 7), (neighbour, 8)])
    expected = fitted(task, case.make(learning_rate=0.01), 7)
    if not hasattr(case.cls, "average_field"):  # whose model shows the average after `fit`
        assert_close(found[0], expected[0])
    for name in ("loss", "val_loss"):
        assert found[1][name] == pytest.approx(expected[1][name], rel=1e-5)
        assert np.isfinite(found[1][name])
    start = variables(task.build_model(7))
    assert all((one != first).any() for one, first in zip(found[0], start, strict=True))
    assert other[1]["loss"] != found[1]["loss"]


def test_a_row_of_an_optimizer_made_of_others_is_that_of_fit(plain):
    def make(eta):
        each = groups({"norm|bias": GradientDescent(eta / 2)}, default=Nadam(eta))
        return Lookahead(each, steps=3)

    task, model = plain[PREFERRED]
    rows = Rows(task, make(0.01), 2, PREFERRED, model)
    chosen = [Configuration("adam", {"learning_rate": eta}) for eta in (0.01, 3e-3)]
    found = rows.train([*zip(chosen, (7, 8), strict=True)])
    for (weights, logs), eta, seed in zip(found, (0.01, 3e-3), (7, 8), strict=True):
        optimizer = make(0.01)
        optimizer.learning_rate = eta  # of a row, that of the whole
        expected, fit = fitted(task, optimizer, seed)
        assert_close(weights, expected)
        assert logs["val_loss"] == pytest.approx(fit["val_loss"], rel=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_moving_averages_of_a_row_are_those_of_fit(form):
    task = ten_steps(batch_normalized)
    found, _ = Rows(task, Adam(), 2, form).train(
        [(Configuration("adam", {}), 7), (Configuration("adam", {"learning_rate": 0.1}), 8)]
    )
    expected, logs = fitted(task, Adam(), 7)
    assert_close(found[0], expected, rtol=2e-5, atol=1e-5)
    assert found[1]["val_loss"] == pytest.approx(logs["val_loss"], rel=1e-4)


# Rows and their neighbours.


def plan(seed, rate=3e-3):
    return Configuration("adam", {"learning_rate": rate}), seed


@pytest.fixture(scope="module", params=FORMS)
def noisy_rows(request):
    """Programs of the same model with dropout for two rows and for three."""
    task = ten_steps(noisy)
    two = Rows(task, Adam(), 2, request.param)
    return two, Rows(task, Adam(), 3, request.param, two.model)


def test_a_trial_is_the_same_in_every_row_at_every_width_and_beside_any_neighbours(noisy_rows):
    two, three = noisy_rows
    first, _ = two.train([plan(7), plan(8)])
    *_, last = three.train([plan(11, 0.5), plan(12, 1e-4), plan(7)])
    alone, _ = two.train([plan(7), None])
    assert_close(first[0], last[0])
    assert_close(first[0], alone[0])
    other, _ = two.train([plan(9), plan(8)])
    assert (other[0][0] != first[0][0]).any()


# A vectorized step computes idle rows too, and nobody reads them.
@pytest.mark.parametrize("noisy_rows", ["looped"], indirect=True)
def test_a_row_without_a_trial_stays_as_it_is(noisy_rows):
    two, _ = noisy_rows
    (trained, _), (idle, logs) = two.train([plan(7), None])
    assert all((values == 0).all() for values in idle)
    assert np.isnan(logs["val_loss"])
    assert any((values != 0).any() for values in trained)


def test_a_neighbours_nan_leaves_a_row_bit_for_bit_the_same(noisy_rows):
    two, _ = noisy_rows
    calm, _ = two.train([plan(7), plan(8)], epochs=2)
    beside, broken = two.train([plan(7), plan(8, 1e30)], epochs=2)
    assert not np.isfinite(broken[1]["val_loss"])
    for one, other in zip(calm[0], beside[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert calm[1] == beside[1]


def test_a_row_taken_over_from_one_that_broke_trains_as_a_fresh_one():
    task = ten_steps(normalized)
    rows = Rows(task, GradientDescent(), 2, "looped")
    ok = Configuration("gradient_descent", {"learning_rate": 1e-2})
    broken = Configuration("gradient_descent", {"learning_rate": 1e38})
    (expected, _), _ = rows.train([(ok, 7), (ok, 8)])
    (bad, _), _ = rows.train([(broken, 7), (ok, 8)])
    assert not all(np.isfinite(values).all() for values in bad)
    (again, _), _ = rows.train([(ok, 7), (broken, 8)])
    assert_close(again, expected, rtol=0, atol=0)


def test_noise_differs_between_seeds_and_repeats_with_the_seed(noisy_rows):
    two, _ = noisy_rows
    one, other = two.train([plan(7), plan(8)])
    again, _ = two.train([plan(7), plan(9)])
    assert one[1]["loss"] != other[1]["loss"]
    assert one[1] == again[1]


class Asking(Adam):
    """Asks for values, which a recording does not know."""

    def rule(self, g, w, slot, h):
        assert float(keras.ops.max(keras.ops.abs(g))) < math.inf
        return super().rule(g, w, slot, h)


@pytest.mark.only("torch")  # which alone records the update
@pytest.mark.parametrize("kind", [Adam, Asking])
def test_an_update_in_recorded_blocks_is_the_one_of_all_rows_to_the_bit(kind, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "keras_optim_lab")
    found = []
    module = "keras_optim_lab.backend.torch.rows"
    for numbers in (50, 2**17):  # of two rows, which leaves a block of one, and of all
        monkeypatch.setattr(f"{module}._BLOCK", numbers)
        trained = Rows(ten_steps(normalized), kind(1e-2), 3, "vectorized")
        assert trained.model.numbers == 20
        found.append(trained.train([(Configuration("adam", {}), seed) for seed in (1, 2, 3)]))
        monkeypatch.setattr(f"{module}.recording_of", lambda function, *_, **__: function)
    assert ("a rule is not recorded" in caplog.text) == (kind is Asking)
    for (recorded, _), (plain, _) in zip(*found, strict=True):
        for one, other in zip(recorded, plain, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.only("torch")  # which alone compiles the update by itself
@pytest.mark.skipif(shutil.which("g++") is None, reason="PyTorch compiles with g++")
def test_an_update_that_is_compiled_is_the_one_that_is_not(monkeypatch):
    found = []
    for worth in (math.inf, 0):
        monkeypatch.setattr("keras_optim_lab.backend.torch.rows._WORTH_COMPILING", worth)
        task, optimizer = ten_steps(normalized), Adam(1e-2)
        trained = Rows(task, optimizer, 2, "vectorized")
        found.append(trained.train([(Configuration("adam", {}), seed) for seed in (1, 2)]))
    for (plain, _), (compiled, _) in zip(*found, strict=True):
        for a, b in zip(plain, compiled, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)
