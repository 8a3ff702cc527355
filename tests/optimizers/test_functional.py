import inspect
from collections import namedtuple

import keras
import numpy as np
import pytest
from keras import ops

import keras_optim_lab as kol
from keras_optim_lab import functional, optimizers
from keras_optim_lab.functional import Functional
from tests.frameworks import arrays, compiled, gradient, mapped, tensors
from tests.optimizers.table import CASES
from tests.oracles.case import Corrected

Layer = namedtuple("Layer", "kernel bias")
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


def network(seed):
    """Arrays of zero to four dimensions in every kind of container."""
    rng = np.random.default_rng(seed)

    def array(*shape):
        return rng.normal(size=shape).astype("float32")

    return {
        "dense": [Layer(array(2, 3), array(3)), Layer(array(3, 1), array())],
        "convolution": (array(2, 1, 2, 2), {"scale": array(2)}),
    }


def vector(seed):
    return {"w": np.random.default_rng(seed).normal(size=5).astype("float32")}


def descend(optimizer, params, gradients, update=None):
    """Parameters and state after the gradients."""
    state = optimizer.init(params)
    for g in gradients:
        params, state = (update or optimizer.update)(params, g, state)
    return params, state


def assert_close(actual, expected, tolerance=1e-6):
    keras.tree.assert_same_structure(actual, expected)
    for a, b in zip(keras.tree.flatten(actual), keras.tree.flatten(expected), strict=True):
        largest = np.abs(b).max(initial=0.0)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * largest)


def shapes(tree):
    return [tuple(leaf.shape) for leaf in keras.tree.flatten(tree)]


@pytest.mark.shell
@each_case
def test_parameters_and_slots_keep_their_containers_and_shapes(case):
    params = tensors(network(0))
    optimizer = Functional(case.make())
    first = optimizer.init(params)
    new_params, state = optimizer.update(params, tensors(network(1)), first)
    keras.tree.assert_same_structure(state, first)
    assert shapes(state.slots) == shapes(first.slots)
    alike = [slot.name for slot in optimizer.optimizer.active_slots if slot.shape is None]
    assert all(shapes(state.slots[name]) == shapes(params) for name in alike)
    for tree in (new_params, *first.slots.values(), *state.slots.values()):
        keras.tree.assert_same_structure(tree, params)
        assert isinstance(tree["dense"][1], Layer)
        assert isinstance(tree["convolution"], tuple)


def test_every_array_of_a_container_gets_the_numbers_that_it_would_get_alone():
    gradients = [network(seed) for seed in (1, 2, 3)]
    optimizer = functional.nadam()
    together, _ = descend(optimizer, tensors(network(0)), [tensors(g) for g in gradients])
    for i, array in enumerate(keras.tree.flatten(together)):
        start, *path = (tensors(keras.tree.flatten(each)[i]) for each in (network(0), *gradients))
        alone, _ = descend(optimizer, start, path)
        np.testing.assert_allclose(arrays(array), arrays(alone), rtol=1e-6)


def test_the_distance_of_prodigy_is_that_of_all_weights_however_they_are_cut():
    rng = np.random.default_rng(5)
    start, *gradients = rng.normal(size=(5, 9)).astype("float32")
    optimizer = functional.prodigy(initial_distance=0.01)

    def cut(vector):
        return tensors([vector[:6].reshape(2, 3), vector[6:]])

    parts, state = descend(optimizer, cut(start), [cut(g) for g in gradients])
    whole, other = descend(optimizer, tensors(start), [tensors(g) for g in gradients])
    joined = np.concatenate([part.ravel() for part in arrays(parts)])
    np.testing.assert_allclose(joined, arrays(whole), rtol=1e-5)
    distance = float(arrays(state.shared["distance"]))
    assert distance == pytest.approx(float(arrays(other.shared["distance"])), rel=1e-5)
    assert distance > 0.01


def test_a_single_array_is_a_container_too():
    theta = tensors(1.0)
    theta, state = descend(functional.momentum(0.1), theta, [tensors(2.0)])
    assert float(arrays(theta)) == pytest.approx(0.98)
    assert float(arrays(state.slots["momentum"])) == pytest.approx(0.2)


CHANGES = {
    "as it is": dict,
    "weight decay": lambda: {"weight_decay": 0.5, "learning_rate": 0.1},
    "schedule": lambda: {"learning_rate": Corrected(0.1, 0.9), "weight_decay": Corrected(0.1)},
    "callable": lambda: {"learning_rate": lambda: 0.03},
}


@each_case
@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_functions_take_the_steps_of_the_class(case, changes):
    """Bit for bit where the class too runs the rule as it is written, operation by operation."""
    gradients = [tensors(vector(seed)) for seed in range(1, 4)]
    optimizer, params = Functional(case.make(**changes())), tensors(vector(0))
    built = case.make(**changes(), execution="per_tensor")
    weight = keras.Variable(vector(0)["w"])
    state = optimizer.init(params)
    for g in gradients:
        params, state = optimizer.update(params, g, state)
        built.apply([g["w"]], [weight])
        np.testing.assert_array_equal(arrays(params["w"]), arrays(weight.value))


@pytest.mark.parametrize("field", ["beta_1", "beta_2", "epsilon", "momentum_decay"])
def test_functions_take_a_schedule_for_any_hyperparameter_as_the_class_does(field):
    schedule = keras.optimizers.schedules.PolynomialDecay(0.9, 5, 0.5)
    gradients = [tensors(vector(seed)) for seed in range(1, 6)]
    params, _ = descend(functional.nadam(**{field: schedule}), tensors(vector(0)), gradients)
    built, weight = optimizers.Nadam(**{field: schedule}), keras.Variable(vector(0)["w"])
    for g in gradients:
        built.apply([g["w"]], [weight])
    np.testing.assert_array_equal(arrays(params["w"]), arrays(weight.value))
    constant, _ = descend(functional.nadam(**{field: 0.9}), tensors(vector(0)), gradients)
    assert np.all(arrays(constant["w"]) != arrays(params["w"]))


@pytest.mark.shell
@each_case
def test_a_compiled_update_gives_the_same_numbers(case):
    optimizer = Functional(case.make(weight_decay=0.1))
    params, gradients = tensors(vector(0)), [tensors(vector(seed)) for seed in range(1, 6)]
    eager = descend(optimizer, params, gradients)
    fast = descend(optimizer, params, gradients, compiled(optimizer.update))
    assert_close(arrays(fast), arrays(eager))


def test_a_whole_training_loop_compiles_with_the_gradient():
    optimizer = functional.adam(learning_rate=0.1)
    slope = gradient(lambda w: ops.sum(ops.square(w - 3.0)))
    step = compiled(lambda w, state: optimizer.update(w, slope(w), state))
    w = tensors(np.zeros(3))
    state = optimizer.init(w)
    for _ in range(100):
        w, state = step(w, state)
    np.testing.assert_allclose(arrays(w), 3.0, atol=0.1)
    assert int(arrays(state.step)) == 100


@pytest.mark.only("tensorflow")
def test_an_update_compiles_with_the_default_options_of_tf_function():
    import tensorflow as tf

    optimizer = functional.nadam()
    params, gradients = tensors(network(0)), [tensors(network(1)), tensors(network(2))]
    eager = descend(optimizer, params, gradients)
    for options in ({}, {"jit_compile": True}):
        fast = descend(optimizer, params, gradients, tf.function(optimizer.update, **options))
        assert_close(arrays(fast), arrays(eager))


@each_case
def test_mapped_over_learning_rates_an_update_gives_each_its_own_numbers(case):
    optimizer = Functional(case.make(weight_decay=0.1))
    params, state = descend(optimizer, tensors(vector(0)), [tensors(vector(1))])
    gradients = tensors(vector(2))
    rates = np.array([0.0, 1e-3, 0.1, 10.0], "float32")

    def update(eta):
        return optimizer.update(params, gradients, state, learning_rate=eta)[0]

    at_once = arrays(mapped(update)(tensors(rates)))
    one_by_one = np.stack([arrays(update(float(eta))["w"]) for eta in rates])
    np.testing.assert_allclose(at_once["w"], one_by_one, rtol=1e-6, atol=1e-9)
    assert np.unique(one_by_one[:, 0]).size == len(rates)


def test_mapped_over_populations_each_row_has_its_own_state_and_hyperparameters():
    optimizer = functional.nadam()
    rng = np.random.default_rng(4)
    params, g1, g2 = (rng.normal(size=(3, 5)).astype("float32") for _ in range(3))
    beta = np.array([0.5, 0.9, 0.99], "float32")

    def two_steps(row):
        w, g1, g2, beta_2 = row
        w, state = optimizer.update(w, g1, optimizer.init(w), beta_2=beta_2)
        return optimizer.update(w, g2, state, beta_2=beta_2)[0]

    rows = tensors((params, g1, g2, beta))
    alone = [arrays(two_steps(tensors(row))) for row in zip(params, g1, g2, beta, strict=True)]
    np.testing.assert_allclose(arrays(mapped(two_steps)(rows)), np.stack(alone), rtol=1e-5)


@pytest.mark.parametrize("name", ["learning_rate", "beta_1", "epsilon", "weight_decay"])
def test_an_override_counts_for_one_step_as_if_the_optimizer_had_it(name):
    gradients = tensors(vector(1))
    params = tensors(vector(0))
    plain, changed = functional.adam(), functional.adam(**{name: 0.5})
    overridden, state = plain.update(params, gradients, plain.init(params), **{name: 0.5})
    expected, _ = changed.update(params, gradients, changed.init(params))
    np.testing.assert_array_equal(arrays(overridden["w"]), arrays(expected["w"]))
    after, _ = plain.update(params, gradients, state)
    again, _ = plain.update(params, gradients, state)
    np.testing.assert_array_equal(arrays(after["w"]), arrays(again["w"]))


@pytest.mark.shell
@each_case
def test_neither_inputs_nor_the_optimizer_change(case):
    inner = case.make()
    optimizer = Functional(inner)
    config, iterations = inner.get_config(), int(arrays(inner.iterations.value))
    params, gradients = tensors(vector(0)), tensors(vector(1))
    _, state = descend(optimizer, params, [gradients])
    before = arrays((params, gradients, state))
    optimizer.update(params, gradients, state, learning_rate=0.5)
    assert_close(arrays((params, gradients, state)), before, tolerance=0.0)
    assert inner.get_config() == config
    assert int(arrays(inner.iterations.value)) == iterations


@each_case
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_parameters_keep_their_dtype_and_float32_slots(case, dtype):
    params = tensors(vector(0), dtype)
    optimizer = Functional(case.make(learning_rate=case.fast))
    new_params, state = descend(optimizer, params, [tensors(vector(1), dtype)] * 2)
    assert keras.backend.standardize_dtype(new_params["w"].dtype) == dtype
    for name, slot in state.slots.items():
        held = keras.backend.standardize_dtype(slot["w"].dtype)
        assert held == (dtype if name == "compensation" else "float32")
    new, old = (np.asarray(ops.cast(tree["w"], "float32")) for tree in (new_params, params))
    assert np.any(new != old)


def test_functions_are_found_by_the_name_of_their_optimizer():
    assert set(optimizers.names()) <= set(dir(functional))
    for name in optimizers.names():
        make = getattr(functional, name)
        cls = type(optimizers.get(name))
        assert make.__name__ == name
        assert inspect.signature(make) == inspect.signature(cls)
        assert make.__doc__ == cls.__doc__
        assert type(make().optimizer) is cls
    assert kol.functional is functional


def test_an_unknown_name_lists_near_ones():
    with pytest.raises(AttributeError, match=r"adamm.*Did you mean 'adam'"):
        functional.adamm  # noqa: B018


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clipnorm", 1.0),
        ("clipvalue", 1.0),
        ("global_clipnorm", 1.0),
        ("use_ema", True),
        ("loss_scale_factor", 2.0),
        ("gradient_accumulation_steps", 2),
    ],
)
def test_an_argument_that_only_keras_applies_is_refused_with_its_name_and_value(name, value):
    with pytest.raises(ValueError, match=f"`{name}`.*{name}={value}"):
        functional.adam(**{name: value})


def test_an_unknown_hyperparameter_is_refused_and_the_known_ones_listed():
    params = tensors(vector(0))
    adam = functional.adam()
    with pytest.raises(TypeError, match=r"'gamma'.*'beta_1'"):
        adam.update(params, tensors(vector(1)), adam.init(params), gamma=0.1)
    with pytest.raises(TypeError, match=r"beta1.*Did you mean 'beta_1'"):
        functional.adam(beta1=0.9)


@pytest.mark.parametrize(
    "gradients",
    [{}, {"v": np.ones(5)}, [np.ones(5)], {"w": np.ones(5), "b": np.ones(5)}, {"w": (np.ones(5),)}],
    ids=["missing", "renamed", "another container", "one too many", "one level deeper"],
)
def test_gradients_of_another_structure_are_refused(gradients):
    params = tensors(vector(0))
    adam = functional.adam()
    with pytest.raises((ValueError, TypeError)):
        adam.update(params, tensors(gradients), adam.init(params))


@pytest.mark.parametrize("shape", [(), (1,), (2, 5), (4,)])
def test_gradients_of_another_shape_are_refused(shape):
    params = tensors(vector(0))
    adam = functional.adam()
    with pytest.raises(ValueError, match="shape"):
        adam.update(params, tensors({"w": np.ones(shape)}), adam.init(params))
