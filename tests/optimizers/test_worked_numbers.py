"""The numbers of the notes that the project grew out of, by hand, by oracle and by optimizer."""

import keras
import numpy as np
import pytest

from keras_optim_lab import functional, optimizers
from tests.frameworks import arrays, compiled, gradient, tensors
from tests.oracles.adam import Adam as OracleAdam


def square(theta):
    return theta * theta


def after(optimizer, gradients, start=1.0):
    """The weight after each gradient."""
    weight = keras.Variable(start)
    for g in gradients:
        optimizer.apply([tensors(g)], [weight])
        yield float(arrays(weight.value))


def test_adam_takes_theta_from_a_half_to_two_fifths_on_the_square():
    theta = tensors(0.5)
    g = gradient(square)(theta)
    assert float(arrays(g)) == 1.0
    adam = functional.adam(learning_rate=0.1)
    theta, state = adam.update(theta, g, adam.init(theta))
    assert float(arrays(state.slots["momentum"])) == pytest.approx(0.1, rel=1e-7)
    assert float(arrays(state.slots["velocity"])) == pytest.approx(0.001, rel=1e-7)
    # Numbers of float32 lie 3e-8 apart there: the nearest to 0.4, or one beside it.
    assert abs(float(arrays(theta)) - 0.4) <= np.spacing(np.float32(0.4))
    (by_hand,) = OracleAdam(0.1).descend(0.5, [1.0])
    assert abs(by_hand - 0.4) <= 1e-8


def test_two_steps_of_adam_hold_the_averages_of_the_notes():
    adam = functional.adam()
    theta = tensors(0.0)
    state = adam.init(theta)
    _, state = adam.update(theta, tensors(2.0), state)
    m, v = (float(arrays(state.slots[name])) for name in ("momentum", "velocity"))
    assert (m, v) == pytest.approx((0.2, 0.004), rel=1e-6)
    assert (m / 0.1, v / 0.001) == pytest.approx((2.0, 4.0), rel=1e-6)
    _, state = adam.update(theta, tensors(1.8), state)
    m, v = (float(arrays(state.slots[name])) for name in ("momentum", "velocity"))
    assert (m, v) == pytest.approx((0.36, 0.007236), rel=1e-6)
    assert (m / 0.19, v / 0.001999) == pytest.approx((1.8947, 3.6198), abs=5e-5)


def test_the_second_step_divides_the_corrected_averages():
    first, second = after(optimizers.Adam(1.0), [2.0, 1.8], start=0.0)
    assert first == pytest.approx(-1.0, rel=1e-6)
    step = (0.36 / 0.19) / np.sqrt(0.007236 / 0.001999)
    assert first - second == pytest.approx(step, rel=1e-6)


@pytest.mark.parametrize(("t", "factor"), [(1, 10.0), (2, 5.26)])
def test_bias_correction_multiplies_the_average_by_ten_and_then_by_five_and_a_quarter(t, factor):
    # With β₂ = 0 the root is that of the last gradient, here 1; nearly nothing came before it,
    # so that m is 0.1 and the step 0.1 times the factor.
    gradients = [*[1e-12] * (t - 1), 1.0]
    *_, before, now = [0.0, *after(optimizers.Adam(1.0, beta_1=0.9, beta_2=0.0), gradients, 0.0)]
    assert before - now == pytest.approx(0.1 * factor, rel=1e-3)


@pytest.mark.parametrize(
    ("optimizer", "weights"),
    [
        (optimizers.GradientDescent(0.1), [0.8, 0.7]),
        (optimizers.Momentum(0.1), [0.98, 0.952]),
        (optimizers.RMSprop(0.1), [1 - 0.2 / 0.4**0.5, 1 - 0.2 / 0.4**0.5 - 0.1 / 0.46**0.5]),
        (optimizers.Adagrad(0.1), [0.9, 0.9 - 0.1 / 5**0.5]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_gradients_two_and_one_take_the_steps_of_the_formulas(optimizer, weights):
    assert [*after(optimizer, [2.0, 1.0])] == pytest.approx(weights, rel=1e-6)


def test_a_hundred_steps_of_adam_bring_theta_near_the_minimum_of_its_square():
    adam = functional.adam(learning_rate=0.1)
    slope = gradient(square)
    step = compiled(lambda theta, state: adam.update(theta, slope(theta), state))
    theta = tensors(0.5)
    state = adam.init(theta)
    path = []
    for _ in range(100):
        theta, state = step(theta, state)
        path.append(float(arrays(theta)))
    oracle, w, slots = OracleAdam(0.1), 0.5, {}
    by_hand = []
    for t in range(1, 101):
        w, slots = oracle.next(w, 2 * w, slots, t)
        by_hand.append(w)
    np.testing.assert_allclose(path, by_hand, rtol=0, atol=1e-6)
    assert path[0] == pytest.approx(0.4, abs=1e-7)
    assert abs(path[-1]) < 0.003
    assert path[-1] ** 2 < 1e-5
