"""Layers that are frozen and unfrozen: weights that leave and join an optimizer in training."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_optim_lab.optimizers import (
    SOAP,
    Adam,
    Lookahead,
    Momentum,
    RAdam,
    ScheduleFreeAdamW,
    groups,
)
from tests.frameworks import tensors
from tests.optimizers.conftest import as_array
from tests.optimizers.table import CASES


@pytest.mark.shell
@pytest.mark.parametrize(
    "case", [case for case in CASES if not case.surveys], ids=lambda case: case.id
)
def test_weights_that_stay_go_on_and_weights_that_join_begin(case, start, gradients):
    optimizer = case.make()
    weights = [keras.Variable(w) for w in start]
    optimizer.build(weights[:1])
    optimizer.apply([tensors(gradients[0][0])], weights[:1])
    optimizer.build(weights)
    for g in gradients[1:3]:
        optimizer.apply(tensors(g), weights)
    optimizer.build(weights[1:])
    optimizer.apply([tensors(gradients[3][1])], weights[1:])
    for i, steps in enumerate([gradients[:3], gradients[1:4]]):
        alone, weight = case.make(), keras.Variable(start[i])
        for g in steps:
            alone.apply([tensors(g[i])], [weight])
        np.testing.assert_allclose(as_array(weights[i]), as_array(weight), rtol=1e-6, atol=1e-7)


@pytest.mark.once("jax")
def test_a_frozen_model_is_warned_about_as_on_other_backends():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, trainable=False)])
    model.compile(optimizer=Adam(), loss="mse")
    with pytest.warns(UserWarning, match="not have any trainable weights"):
        model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0)


@pytest.mark.parametrize("wrap", [lambda optimizer: optimizer, Lookahead], ids=["alone", "wrapped"])
def test_layers_that_are_unfrozen_and_frozen_between_fits_leave_the_state_of_others(
    wrap, make_model, data, tmp_path
):
    x, y = data

    def fit(model, steps, **arguments):
        model.fit(x, y, batch_size=8, epochs=steps, verbose=0, **arguments)

    def momentum(model, path):
        return as_array(next(v for v in model.optimizer.variables if f"{path}_momentum" in v.path))

    model = make_model()
    model.layers[0].trainable = False
    optimizer = wrap(Momentum(0.1, beta=0.5, use_ema=True))
    model.compile(optimizer, "mse")
    before = model.get_weights()
    fit(model, 2)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    held = momentum(model, "head_kernel")
    model.layers[0].trainable = True
    model.compile(optimizer, "mse")
    nothing = np.zeros(len(x))
    fit(model, 2, sample_weight=nothing)
    np.testing.assert_allclose(momentum(model, "head_kernel"), held / 4, rtol=1e-5)
    fit(model, 1)
    assert np.all(model.get_weights()[0] != before[0])
    assert int(optimizer.iterations) == 5
    assert optimizer._births == [2, 2, 0, 0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer._births == optimizer._births
    for one, other in zip(loaded.optimizer.variables, optimizer.variables, strict=True):
        np.testing.assert_array_equal(as_array(one), as_array(other))
    model.layers[1].trainable = False
    model.compile(optimizer, "mse")
    held, head = momentum(model, "hidden_kernel"), model.get_weights()[2]
    fit(model, 1, sample_weight=nothing)
    np.testing.assert_allclose(momentum(model, "hidden_kernel"), held / 2, rtol=1e-5)
    np.testing.assert_array_equal(model.get_weights()[2], head)
    assert not any("head_kernel" in variable.path for variable in optimizer.variables)


def freezes(model, trains, data, compiles=False):
    for train in trains:
        model.layers[0].trainable = train
        if compiles:
            model.compile(model.optimizer, "mse")
        model.fit(*data, batch_size=4, epochs=2, shuffle=False, verbose=0)


# With state of all weights, of each, by matrix, and steps that depend on how many came before.
CARRIED = [
    lambda: groups({"head": RAdam(0.05)}, Lookahead(Adam(0.05))),
    lambda: RAdam(0.05, use_ema=True, gradient_accumulation_steps=2, global_clipnorm=0.1),
    pytest.param(lambda: SOAP(0.05), marks=pytest.mark.once("jax")),
]


@pytest.mark.parametrize("make", CARRIED)
def test_layers_that_are_frozen_without_compiling_train_as_with_it(make, make_model, data):
    one, other = make_model(make()), make_model(make())
    freezes(one, (True, False, True), data)
    freezes(other, (True, False, True), data, compiles=True)
    for weight, expected in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=1e-6)


def test_a_fresh_optimizer_goes_on_where_weights_that_joined_were_saved(make_model, data, tmp_path):
    model, resumed = make_model(RAdam(0.05)), make_model(RAdam(0.05))
    freezes(model, (True, False, True), data)
    model.save_weights(tmp_path / "state.weights.h5")
    copy = RAdam.from_config(model.optimizer.get_config())
    resumed.optimizer.build(resumed.trainable_variables)
    resumed.load_weights(tmp_path / "state.weights.h5")
    for each in (model, resumed):
        each.fit(*data, batch_size=4, shuffle=False, verbose=0)
    for weight, expected in zip(resumed.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
    fresh = make_model(copy)  # the same settings, and nothing of what has been trained
    fresh.fit(*data, verbose=0)
    assert all(np.isfinite(weight).all() for weight in fresh.get_weights())
    assert copy._births == [0] * 4


def test_files_whose_configuration_says_when_weights_joined_go_on_from_there(make_model, data):
    model = make_model(RAdam(0.05))
    freezes(model, (True, False, True), data)
    saved: dict = {}
    model.optimizer.save_own_variables(saved)
    joined = saved.pop("joined_after")
    paths = [variable.path for variable in model.trainable_variables]
    births = [[int(birth), [path]] for birth, path in zip(joined, paths, strict=True) if birth]
    config = {**model.optimizer.get_config(), "joined_after": births}
    resumed = RAdam.from_config(config)
    resumed.build(model.trainable_variables)
    resumed.load_own_variables(saved)
    again: dict = {}
    resumed.save_own_variables(again)
    assert births
    np.testing.assert_array_equal(again.pop("joined_after"), joined)
    assert again.keys() == saved.keys()
    for name, value in saved.items():
        np.testing.assert_array_equal(again[name], value)


def test_an_evaluation_between_keeps_the_state_of_frozen_weights(make_model, data):
    model = make_model(Momentum(0.1))
    freezes(model, [True], data)
    before = [as_array(variable) for variable in model.optimizer.variables]
    model.layers[0].trainable = False
    model.evaluate(*data, verbose=0)
    for variable, expected in zip(model.optimizer.variables, before, strict=True):
        np.testing.assert_array_equal(as_array(variable), expected)


@pytest.mark.parametrize("make", [Adam, lambda: ScheduleFreeAdamW(0.1), lambda: Lookahead("adam")])
def test_an_optimizer_that_has_trained_one_model_is_refused_by_another(make, make_model, data):
    first, second = make_model(make()), make_model()
    freezes(first, [True], data)
    second.compile(first.optimizer, "mse")
    weights = [model.get_weights() for model in (first, second)]
    state = [as_array(variable) for variable in first.optimizer.variables]
    for train in (second.fit, second.train_on_batch):
        with pytest.raises(ValueError, match=r"(?s)no .*/kernel.*state would be lost.*of its own"):
            train(*data)
    second.evaluate(*data, verbose=0)
    for model, before in zip((first, second), weights, strict=True):
        for weight, expected in zip(model.weights, before, strict=True):
            np.testing.assert_array_equal(as_array(weight), expected)
    for variable, expected in zip(first.optimizer.variables, state, strict=True):
        np.testing.assert_array_equal(as_array(variable), expected)
    freezes(first, [True], data)
    first.optimizer.build(second.trainable_variables)  # whoever says so means it
    second.fit(*data, verbose=0)
    assert np.any(second.get_weights()[0] != weights[1][0])


def test_other_weights_in_a_loop_of_ones_own_are_answered_with_what_to_do():
    weights = [keras.Variable(np.ones(2, "float32")) for _ in range(2)]
    optimizer = Adam(0.1)
    optimizer.apply([ops.ones(2)], weights[:1])
    with pytest.raises(ValueError, match=r"(?s)another set.*optimizer.build\(model.trainable_var"):
        optimizer.apply([ops.ones(2)], weights[1:])


def test_weights_that_join_are_rounded_by_random_bits_that_no_other_weight_has():
    weights = [keras.Variable(np.ones(size, "float32")) for size in (3, 5)]
    optimizer = Adam(0.1, state_dtype="bfloat16")
    optimizer.build(weights[:1])
    optimizer.apply([ops.ones(3)], weights[:1])
    optimizer.build(weights)
    bundles = [bundle for cohort in optimizer._cohorts for bundle in cohort.updater.step.plan([])]
    numbers = [n for each in bundles for n in range(each.start, each.start + each.size)]
    assert sorted(numbers) == [*range(8)]
