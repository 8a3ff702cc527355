"""Training as users do it: any dtype, gradients of all kinds, every kind of loop."""

from contextlib import nullcontext

import keras
import numpy as np
import pytest
from keras import ops

from keras_optim_lab import optimizers
from keras_optim_lab.optimizers import (
    Adam,
    Momentum,
    RAdam,
)
from tests.optimizers.conftest import HALF, rounded

# Dtypes.


@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.shell), *HALF])
def test_every_optimizer_trains_weights_of_any_dtype(case, dtype, walk, start):
    def loss(weights):
        return sum(float(np.sum(np.square(w))) for w in weights)

    optimizer = case.make(learning_rate=case.fast)
    weights = rounded(start, dtype)
    for _ in range(6):
        gradients = [ops.cast(w, dtype) for w in weights]  # of half the sum of squares
        weights = walk(optimizer, weights, [gradients], dtype=dtype)[-1]
    assert loss(weights) < 0.7 * loss(start)
    for name, own in optimizer._slot_variables.items():
        held = dtype if name == "compensation" else "float32"
        assert all(slot is None or slot.dtype == held for slot in own)


@pytest.mark.parametrize("dtype", HALF)
def test_a_half_precision_step_is_the_float32_step_rounded_once(
    case, dtype, walk, start, gradients
):
    half, full = case.make(weight_decay=0.01, compensated=False), case.make(weight_decay=0.01)
    weights = rounded(start, dtype)
    for step in gradients[:2]:
        step = rounded(step, dtype)
        after = walk(half, weights, [[ops.cast(g, dtype) for g in step]], dtype=dtype)[-1]
        expected = rounded(walk(full, weights, [step])[-1], dtype)
        for weight, other in zip(after, expected, strict=True):
            np.testing.assert_array_equal(weight, other)
        weights = after


@pytest.fixture
def double_precision(backend):
    """JAX has float64 only on request."""
    if backend != "jax":
        return nullcontext
    import jax

    return lambda: jax.enable_x64(True)


@pytest.mark.shell
def test_float64_weights_are_trained_in_float64(
    case, walk, start, gradients, double_precision, assert_same_path
):
    single = walk(case.make(learning_rate=0.125, weight_decay=0.0), start, gradients[:2])
    start = [w.astype("float64") for w in start]
    gradients = [[g.astype("float64") for g in step] for step in gradients[:2]]
    with double_precision():
        optimizer = case.make(learning_rate=0.125, weight_decay=0.0)
        path = walk(optimizer, start, gradients, dtype="float64")
    assert path[0][0].dtype == "float64"
    assert all(v.dtype == "float64" for v in optimizer.variables if v.ndim > 0)
    assert_same_path(path, single, rtol=1e-4, atol=1e-5)
    assert any(np.any(w != w.astype("float32")) for w in path[-1])


@pytest.fixture
def dtype_policy():
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", *HALF])
def test_a_model_of_a_half_precision_policy_trains(policy, make_model, data, dtype_policy):
    dtype_policy(policy)
    model = make_model(Adam(0.05))
    losses = model.fit(*data, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    optimizer = model.optimizer
    if policy == "mixed_float16":  # Keras wraps the optimizer by itself
        assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        optimizer = optimizer.inner_optimizer
    assert type(optimizer) is Adam
    assert int(optimizer.iterations) == 8
    held = {name: {v.dtype for v in own} for name, own in optimizer._slot_variables.items()}
    assert held.pop("compensation", {policy}) == {policy}
    assert held == {"momentum": {"float32"}, "velocity": {"float32"}}


# Gradients that are missing, infinite or scaled.


@pytest.mark.shell
def test_a_weight_without_gradient_stays_as_it_is(case, walk, start, gradients):
    optimizer = case.make(weight_decay=0.1)
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        path = walk(optimizer, start, [[None, gradients[0][1]]])
    np.testing.assert_array_equal(path[0][0], start[0])
    alone = walk(case.make(weight_decay=0.1), start[1:], [gradients[0][1:]])
    np.testing.assert_allclose(path[0][1], alone[0][0], rtol=1e-6)
    for slot in optimizer._slots[0].values():
        first = ops.convert_to_numpy(slot)
        assert np.ptp(first) == 0, "its slots are as they were created"


def test_no_gradient_at_all_is_an_error(walk, start):
    with pytest.raises(ValueError, match="No gradients provided"):
        walk(Adam(), start, [[None, None]])


@pytest.mark.shell
def test_a_step_with_an_infinite_gradient_is_skipped(case, walk, start, gradients):
    optimizer = keras.optimizers.LossScaleOptimizer(case.make(), initial_scale=8.0)
    infinite = [np.full_like(g, np.inf) for g in gradients[0]]
    scaled = [8.0 * g for g in gradients[0]]
    path = walk(optimizer, start, [scaled, infinite])
    expected = walk(case.make(), start, gradients[:1])
    for after in path:
        np.testing.assert_allclose(after[0], expected[0][0], rtol=1e-6)
    assert int(optimizer.inner_optimizer.iterations) == 1
    assert float(optimizer.dynamic_scale) == 4.0


@pytest.mark.shell
def test_a_scaled_loss_gives_the_same_steps(case, walk, start, gradients, assert_same_path):
    optimizer = case.make(loss_scale_factor=1024.0)
    assert float(optimizer.scale_loss(2.0)) == 2048.0
    scaled = [[1024.0 * g for g in step] for step in gradients[:2]]
    path = walk(optimizer, start, scaled)
    assert_same_path(path, walk(case.make(), start, gradients[:2]), rtol=1e-6)


# Every kind of loop.


def test_train_on_batch_and_a_loop_of_ones_own_equal_fit(make_model, data, backend):
    x, y = data
    fitted = make_model(RAdam(0.1, weight_decay=0.01))
    fitted.fit(x, y, batch_size=8, epochs=3, verbose=0)
    stepped = make_model(RAdam(0.1, weight_decay=0.01))
    for _ in range(3):
        stepped.train_on_batch(x, y)
    own, optimizer = make_model(), RAdam(0.1, weight_decay=0.01)
    for _ in range(3):
        gradients = gradients_of(own, x, y, backend)
        optimizer.apply(gradients, own.trainable_variables)
    for weight, *others in zip(
        fitted.get_weights(), stepped.get_weights(), own.get_weights(), strict=True
    ):
        for other in others:
            np.testing.assert_allclose(other, weight, rtol=1e-4, atol=1e-6)


def gradients_of(model, x, y, backend):
    variables = model.trainable_variables
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = ops.mean(ops.square(model(x) - y))
        return tape.gradient(loss, [v.value for v in variables])
    if backend == "jax":
        import jax

        def loss_of(values):
            outputs, _ = model.stateless_call(values, [], x)
            return ops.mean(ops.square(outputs - y))

        return jax.grad(loss_of)([v.value for v in variables])
    model.zero_grad()
    ops.mean(ops.square(model(x) - ops.convert_to_tensor(y))).backward()
    return [v.value.grad for v in variables]


def test_two_optimizers_share_a_model(make_model, data):
    groups = keras.optimizers.OptimizerMap(Adam(0.1))
    groups["network/head/.*"] = Momentum(0.0)
    model = make_model(keras.optimizers.MultiOptimizer(groups))
    before = model.get_weights()
    model.fit(*data, epochs=2, verbose=0)
    after = model.get_weights()
    assert np.all(after[0] != before[0])
    np.testing.assert_array_equal(after[2], before[2])
    adam = next(o for o in model.optimizer.optimizers if isinstance(o, Adam))
    assert int(adam.iterations) == 2
    assert len(adam._trainable_variables) == 2


def test_two_optimizers_that_share_a_model_equal_one(make_model, data):
    groups = keras.optimizers.OptimizerMap(Adam(0.1))
    groups["network/head/.*"] = Adam(0.1)
    models = [make_model(keras.optimizers.MultiOptimizer(groups)), make_model(Adam(0.1))]
    for model in models:
        model.fit(*data, epochs=2, verbose=0)
    for weight, other in zip(*[model.get_weights() for model in models], strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-5, atol=1e-6)


def test_keras_finds_our_optimizers_by_configuration():
    found = keras.optimizers.deserialize(keras.optimizers.serialize(optimizers.get("radam")))
    assert type(found) is RAdam
