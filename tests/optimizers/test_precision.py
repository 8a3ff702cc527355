"""Slots in bfloat16, rounded at random, and weights whose rounding is compensated."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_optim_lab import optimizers
from keras_optim_lab.functional import Functional
from keras_optim_lab.optimizers import Adam, GradientDescent, Momentum, Muon
from keras_optim_lab.optimizers.shell.precision import rounded_at_random
from keras_optim_lab.optimizers.shell.slots import Place
from tests.frameworks import applied, tensors
from tests.optimizers.conftest import as_array


def rounded(x, t=1, start=0, key=0):
    x = ops.convert_to_tensor(np.asarray(x, "float32"))
    return as_array(rounded_at_random(x, ops.convert_to_tensor(float(t)), start=start, key=key))


def test_random_rounding_is_right_on_average_and_moves_by_one_place_at_most():
    x = np.full(20_000, 1.0 + 0.3 * 2**-7, "float32")
    found = rounded(x)
    assert set(found) == {1.0, 1.0 + 2**-7}
    assert np.mean(found > 1.0) == pytest.approx(0.3, abs=0.01)
    assert np.corrcoef(found, rounded(x, t=2))[0, 1] == pytest.approx(0.0, abs=0.03)
    assert np.corrcoef(found, rounded(x, key=1))[0, 1] == pytest.approx(0.0, abs=0.03)
    assert np.corrcoef(found[1:], found[:-1])[0, 1] == pytest.approx(0.0, abs=0.03)


def test_random_rounding_is_the_same_again_and_in_parts():
    x = np.random.default_rng(0).normal(size=1000)
    np.testing.assert_array_equal(rounded(x)[300:], rounded(x[300:], start=300))


def test_what_bfloat16_holds_is_left_as_it_is():
    special = [0.0, -0.0, 1.0, -2.5, np.inf, -np.inf, 2.0**-126]
    np.testing.assert_array_equal(rounded(special), np.float32(special))
    assert np.isnan(rounded([np.nan]))[0]


@pytest.mark.parametrize("name", optimizers.names())
def test_slots_take_two_bytes_and_steps_stay_near(name, walk, start, gradients):
    low = optimizers.get(name, state_dtype="bfloat16")
    full = optimizers.get(name)
    path, expected = (walk(optimizer, start, gradients[:3]) for optimizer in (low, full))
    for slot in low.active_slots:
        (held, *_) = (v.dtype for v in low._slot_variables[slot.name] if v is not None)
        assert held == ("bfloat16" if slot.low_precision else "float32")
    moved = np.abs(expected[-1][0] - start[0]).max()
    # Muon raises the small singular values of what it has rounded.
    share = 0.05 if name == "muon" else 0.02
    np.testing.assert_allclose(path[-1][0], expected[-1][0], atol=share * moved)


@pytest.mark.shell
def test_bytes_per_weight_are_those_of_the_variables(case):
    for settings in [{}, {"state_dtype": "bfloat16"}]:
        optimizer = case.make(**settings)
        weight = keras.Variable(np.ones(10, "float32"))
        optimizer.build([weight])
        held = [v for v in optimizer.variables if v.ndim]
        taken = sum(math.prod(v.shape) * (2 if v.dtype == "bfloat16" else 4) for v in held)
        assert taken == optimizer.state_bytes([Place(weight.path, (10,))])
    assert Adam().bytes_per_weight == 8
    half = [Place("kernel", (10,))], "bfloat16"
    assert Adam(state_dtype="bfloat16").state_bytes(*half) == 60
    assert Adam(state_dtype="bfloat16", compensated=False).state_bytes(*half) == 40


def test_a_slot_whose_changes_are_below_its_digits_still_follows(walk):
    """β = 0.999 changes an average by less than bfloat16 can hold."""
    ones = np.ones(4000, "float32")
    optimizer = Momentum(0.0, beta=0.999, state_dtype="bfloat16")
    walk(optimizer, [ones], [[ones]] * 40)
    average = as_array(optimizer._slot_variables["momentum"][0])
    assert np.mean(average) == pytest.approx(1 - 0.999**40, rel=0.02)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_compensated_weights_follow_float32(dtype, walk):
    rng = np.random.default_rng(0)
    start = [np.ones(50, "float32")]
    steps = [[np.float32(rng.normal(1.0, 0.1, 50))] for _ in range(30)]
    rate = 2.0**-13  # every step is lost in the rounding of a weight near 1
    expected = walk(GradientDescent(rate), start, steps)[-1][0]
    optimizer = GradientDescent(rate)
    found = walk(optimizer, start, steps, dtype=dtype)[-1][0]
    (slot,) = optimizer._slot_variables["compensation"]
    assert slot.dtype == dtype
    np.testing.assert_allclose(found + as_array(slot), expected, atol=4e-5)  # a step is 1e-4
    np.testing.assert_allclose(found, expected, rtol=2.0**-8)
    lost = walk(GradientDescent(rate, compensated=False), start, steps, dtype="bfloat16")[-1][0]
    np.testing.assert_array_equal(lost, start[0])


def test_weights_of_float32_need_no_compensation(walk, start, gradients):
    optimizer = Adam(0.1)
    path = walk(optimizer, start, gradients[:1])
    assert "compensation" not in optimizer._slot_variables
    plain = walk(Adam(0.1, compensated=False), start, gradients[:1])
    np.testing.assert_array_equal(path[0][0], plain[0][0])


@pytest.mark.shell
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", optimizers.names())
def test_every_optimizer_learns_weights_of_half_precision_at_its_defaults(name, dtype):
    """As in float32, up to what no number of the dtype can hold."""
    start = np.random.default_rng(0).normal(size=(4, 6))
    start = as_array(ops.cast(ops.cast(ops.convert_to_tensor(start), "bfloat16"), "float16"))

    def descended(dtype):
        weight = keras.Variable(start, dtype=dtype, name="kernel")
        step = applied(optimizers.get(name), [weight])
        for _ in range(40):
            step([tensors(as_array(weight), dtype)])  # the gradient of half the square
        return as_array(weight)

    expected, found = descended("float32"), descended(dtype)
    rounded = as_array(ops.cast(ops.convert_to_tensor(expected), dtype))
    allowed = 0.1 * np.linalg.norm(expected - start) + np.linalg.norm(expected - rounded)
    assert np.linalg.norm(found - expected) < allowed
    assert np.linalg.norm(found) < np.linalg.norm(start)


def test_a_step_of_nothing_leaves_a_compensated_weight_bit_for_bit(walk):
    # 1 + 2⁻⁷ with a rest that rounding to the nearest even would take to the next number.
    optimizer = GradientDescent(1.0)
    start = [np.full(3, 1 + 2**-7, "float32")]
    path = walk(optimizer, start, [[np.full(3, -(2.0**-8))], [np.zeros(3)]], dtype="bfloat16")
    np.testing.assert_array_equal(path[1][0], path[0][0])


def test_low_precision_goes_on_bit_for_bit_after_loading(make_model, data, tmp_path, arrays):
    settings = {"state_dtype": "bfloat16", "compensated": True}
    model = make_model(Adam(0.1, **settings), dtype="bfloat16", run_eagerly=True)
    for _ in range(2):
        model.train_on_batch(*data)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for each in (model, loaded):
        each.train_on_batch(*data)
    for one, other in zip(
        arrays([*model.weights, *model.optimizer.variables]),
        arrays([*loaded.weights, *loaded.optimizer.variables]),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_functional_state_follows_the_same_precision(walk, start, gradients):
    optimizer = Adam(0.1, state_dtype="bfloat16")
    pure = Functional(Adam(0.1, state_dtype="bfloat16"))
    w = [ops.convert_to_tensor(each) for each in start]
    state = pure.init(w)
    w, state = pure.update(w, [ops.convert_to_tensor(g) for g in gradients[0]], state)
    path = walk(optimizer, start, gradients[:1])
    np.testing.assert_allclose(as_array(w[0]), path[0][0], rtol=1e-6)
    held = optimizer._slot_variables["velocity"]
    for value, variable in zip(state.slots["velocity"], held, strict=True):
        np.testing.assert_array_equal(as_array(value), as_array(variable))


def test_muon_that_iterates_in_bfloat16_takes_about_the_same_step():
    g = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(6, 4)).astype("float32"))
    w = ops.zeros((6, 4))

    def step(optimizer):
        functional = Functional(optimizer)
        return as_array(functional.update(w, g, functional.init(w))[0])

    exact, rounded = step(Muon(1.0, steps=2)), step(Muon(1.0, steps=2, low_precision=True))
    np.testing.assert_allclose(rounded, exact, atol=0.05)
    assert np.any(rounded != exact)
