import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as numpy_arrays

from keras_optim_lab import optimizers
from keras_optim_lab.functional import Functional
from tests.frameworks import arrays, tensors
from tests.optimizers.table import CASES

# Of rules, whose numbers are the same on every backend; where an eager step costs least.
pytestmark = pytest.mark.once("torch")

# Few and always the same examples, each of many numbers: an eager step takes milliseconds.
some = settings(max_examples=10, deadline=None, derandomize=True)
few = settings(some, max_examples=3)

STEPS = 3
# A fixed choice, since an eager operation is compiled anew for every shape on JAX.
SHAPES = ((), (5,), (0, 3), (2, 1, 2, 2))

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
each_elementwise_case = pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.cls.elementwise and not case.surveys],
    ids=lambda case: case.id,
)


def cases(*ids):
    chosen = [case for case in CASES if case.id in ids]
    assert len(chosen) == len(ids)
    return pytest.mark.parametrize("case", chosen, ids=lambda case: case.id)


def numbers(low, high):
    return st.floats(low, high, width=32, allow_subnormal=False)


@st.composite
def gradients(draw, largest=1e6, smallest=0.0, steps=STEPS, shapes=SHAPES):
    """Gradients of some steps: zeros or numbers of any size between the bounds."""
    shape = draw(st.sampled_from(shapes))
    elements = numbers(-largest, largest).filter(lambda x: abs(x) >= smallest)
    return draw(numpy_arrays("float32", (steps, *shape), elements=elements))


nonzero = gradients(smallest=2.0**-10, largest=2.0**10)


def descend(optimizer, gradients, start=None):
    """Weights and slots, both before the first and after each step."""
    functional = Functional(optimizer)
    w = tensors(np.zeros(gradients.shape[1:]) if start is None else start)
    state = functional.init(w)
    path, slots = [arrays(w)], [arrays(state.slots)]
    for g in gradients:
        w, state = functional.update(w, tensors(g), state)
        path.append(arrays(w))
        slots.append(arrays(state.slots))
    return np.stack(path), {name: np.stack([each[name] for each in slots]) for name in slots[0]}


def steps(optimizer, gradients):
    """What each step added to the weight."""
    return np.diff(descend(optimizer, gradients)[0], axis=0)


@each_case
@few
@given(g=gradients())
def test_finite_gradients_give_finite_weights_and_slots(case, g):
    path, slots = descend(case.make(), g)
    assert np.all(np.isfinite(path))
    assert all(np.all(np.isfinite(slot)) for slot in slots.values())


@each_case
@few
@given(start=numpy_arrays("float32", (5,), elements=numbers(-1e6, 1e6)))
def test_zero_gradients_leave_weights_still_from_a_fresh_state(case, start):
    path, _ = descend(case.make(weight_decay=0.0), np.zeros((STEPS, 5)), start)
    np.testing.assert_array_equal(path, np.broadcast_to(start, path.shape))


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if not (case.cls.rule_decays or case.surveys)],
    ids=lambda case: case.id,
)
@few
@given(start=numpy_arrays("float32", (5,), elements=numbers(-1e3, 1e3)))
def test_under_zero_gradients_weight_decay_shrinks_weights_by_the_same_factor(case, start):
    optimizer = case.make(learning_rate=0.5, weight_decay=0.25)
    path, _ = descend(optimizer, np.zeros((STEPS, 5)), start)
    shrunk = start * 0.875 ** np.arange(STEPS + 1)[:, None]
    np.testing.assert_allclose(path, shrunk, rtol=1e-6, atol=1e-30)


@each_elementwise_case
@few
@given(g=gradients(largest=1e3), seed=st.integers(0, 99))
def test_every_number_is_treated_alone(case, g, seed):
    flat = g.reshape(STEPS, -1)
    order = np.random.default_rng(seed).permutation(flat.shape[1])
    together, _ = descend(case.make(), g)
    permuted, _ = descend(case.make(), flat[:, order])
    together = together.reshape(STEPS + 1, -1)
    np.testing.assert_allclose(permuted, together[:, order], rtol=1e-6, atol=1e-12)


@each_case
@few
@given(g=gradients(largest=1e3))
def test_opposite_gradients_take_opposite_steps(case, g):
    there, _ = descend(case.make(), g)
    back, _ = descend(case.make(), -g)
    np.testing.assert_array_equal(there, -back)


@each_elementwise_case
@few
@given(g=gradients(largest=1e3), start=st.floats(-10, 10, width=32))
def test_without_decay_a_step_does_not_depend_on_the_weight(case, g, start):
    still = np.full(g.shape[1:], start, "float32")
    path, _ = descend(case.make(weight_decay=0.0), g, still)
    from_zero, _ = descend(case.make(weight_decay=0.0), g)
    largest = np.abs(path).max(initial=0.0)
    np.testing.assert_allclose(path - still, from_zero, rtol=1e-5, atol=1e-6 * largest)


@pytest.mark.parametrize(
    ("make", "length"),
    [
        (lambda eta: optimizers.Adam(eta), 1.0),
        (lambda eta: optimizers.Adam(eta, amsgrad=True), 1.0),
        (lambda eta: optimizers.Adam(eta, beta_1=0.5, beta_2=0.99999), 1.0),
        (lambda eta: optimizers.Adagrad(eta), 1.0),
        (lambda eta: optimizers.RMSprop(eta, rho=0.75), 2.0),
        (lambda eta: optimizers.RMSprop(eta, rho=0.5, centered=True), 2.0),
        (lambda eta: optimizers.RMSprop(eta, rho=0.75, momentum=0.9), 2.0),
    ],
    ids=["adam", "amsgrad", "adam, other betas", "adagrad", "rmsprop", "centered", "momentum"],
)
@some
@given(g=nonzero, eta=numbers(2.0**-20, 16.0))
def test_the_first_step_has_a_length_that_the_gradient_does_not_change(make, length, g, eta):
    first = steps(make(eta), g)[0]
    # The largest ε beside the smallest gradient of 1e-3.
    np.testing.assert_allclose(first, -length * eta * np.sign(g[0]), rtol=3e-5)


@cases(
    *("adam", "amsgrad", "nadam", "rmsprop", "rmsprop-momentum", "rmsprop-centered", "adagrad"),
    *("adan", "ademamix", "nadamw"),
)
@some
@given(g=nonzero, power=st.integers(-16, 16))
def test_without_epsilon_the_scale_of_gradients_does_not_matter(case, g, power):
    once = steps(case.make(epsilon=0.0), g)
    scaled = steps(case.make(epsilon=0.0), np.float32(2.0**power) * g)
    np.testing.assert_allclose(scaled, once, rtol=1e-5, atol=1e-9)


@cases("gradient_descent", "momentum", "momentum-nesterov", "heavy-ball", "heavy-ball-nesterov")
@some
@given(g=nonzero, power=st.integers(-16, 16))
def test_steps_without_a_scale_of_their_own_grow_with_the_gradients(case, g, power):
    scale = np.float32(2.0**power)
    once, _ = descend(case.make(), g)
    scaled, _ = descend(case.make(), scale * g)
    np.testing.assert_array_equal(scaled, scale * once)


@cases("momentum", "rmsprop-centered", "adam", "amsgrad", "nadam", "radam", "adabound", "amsbound")
@some
@given(g=gradients(largest=1e6))
def test_moving_averages_stay_between_the_numbers_that_they_average(case, g):
    _, slots = descend(case.make(), g)
    squares = np.square(g.astype("float64"))
    seen = {
        "momentum": g,
        "average": g,
        "velocity": squares,
        "velocity_max": squares,
    }
    for name, slot in slots.items():
        low, high = (f(seen[name], axis=0, initial=0.0) for f in (np.min, np.max))
        slack = 1e-6 * np.maximum(high, -low)
        assert np.all(slot >= low - slack)
        assert np.all(slot <= high + slack)


@cases("amsgrad", "amsbound")
@some
@given(g=gradients(largest=1e3))
def test_the_largest_velocity_is_the_largest_of_all_so_far(case, g):
    _, slots = descend(case.make(), g)
    so_far = np.maximum.accumulate(slots["velocity"])
    np.testing.assert_array_equal(slots["velocity_max"], so_far)


@pytest.mark.parametrize("nesterov", [False, True])
@some
@given(g=gradients(largest=1e3), eta=numbers(0, 16.0), beta=numbers(0, 0.96875))
def test_a_moving_average_is_a_heavy_ball_with_a_smaller_rate(nesterov, g, eta, beta):
    average, _ = descend(optimizers.Momentum(eta, beta, nesterov=nesterov), g)
    ball, _ = descend(optimizers.Momentum(eta * (1 - beta), beta, nesterov, heavy_ball=True), g)
    largest = np.abs(g).max(initial=0.0)
    np.testing.assert_allclose(average, ball, rtol=1e-5, atol=1e-6 * eta * largest)


@some
@given(g=gradients(largest=1e3), beta=st.sampled_from([0.5, 0.9, 0.99]))
def test_a_heavy_ball_steps_at_most_one_over_one_minus_beta_times_longer(g, beta):
    _, slots = descend(optimizers.Momentum(1.0, beta, heavy_ball=True), g)
    largest = np.abs(g).max(axis=0)
    assert np.all(np.abs(slots["momentum"]) <= largest / (1 - beta) * (1 + 1e-6))


@pytest.mark.parametrize(
    ("limit", "method"),
    [
        (optimizers.Momentum(0.5, beta=0.0), optimizers.GradientDescent(0.5)),
        (optimizers.Momentum(0.5, beta=0.0, nesterov=True), optimizers.GradientDescent(0.5)),
        (optimizers.Momentum(0.5, 0.0, heavy_ball=True), optimizers.GradientDescent(0.5)),
        (optimizers.Nadam(0.5, beta_1=0.0), optimizers.Adam(0.5, beta_1=0.0)),
        (optimizers.RAdam(0.5, beta_1=0.0, threshold=1e6), optimizers.GradientDescent(0.5)),
        (optimizers.AdaBound(final_learning_rate=0.5, gamma=1e8), optimizers.Momentum(0.5, 0.9)),
    ],
    ids=lambda optimizer: type(optimizer).__name__,
)
@few
@given(g=gradients(largest=1e3))
def test_at_the_edge_of_its_hyperparameters_a_method_becomes_a_simpler_one(limit, method, g):
    simple = steps(method, g)
    np.testing.assert_allclose(steps(limit, g), simple, rtol=1e-5, atol=1e-6)
