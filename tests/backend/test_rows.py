"""What a population needs of a backend: each function does on stacked rows what it does on one."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_optim_lab import backend

BACKEND = keras.backend.backend()
rows = backend.rows()
only_torch = pytest.mark.only("torch")  # the others draw noise from seeds in a row's state


def numpy(tensor):
    return np.array(ops.convert_to_numpy(tensor))


def tensors(*arrays):
    return [ops.convert_to_tensor(np.array(array, "float32")) for array in arrays]  # copies


W, X = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.0]]), np.array([2.0, -3.0])


def loss(weights, scale):
    (weight,) = weights
    value = ops.sum(weight**3) * scale
    return value, [weight * 2.0, scale]


def run(function, *arguments):
    """As a compiled program; the examples that it is made for are given up."""
    examples = keras.tree.map_structure(ops.copy, arguments)
    return rows.Program(lambda *given: function(*given), *examples)(*arguments)


# Gradients.


def test_gradient_is_that_of_the_loss_and_hands_on_the_others():
    (weight, scale) = tensors(W[0], 2.0)
    gradients, others = run(lambda w, s: rows.gradient(loss)([w], s), weight, scale)
    np.testing.assert_allclose(numpy(gradients[0]), 6 * W[0] ** 2)
    np.testing.assert_allclose(numpy(others[0]), 2 * W[0])


def test_row_gradients_are_each_rows_own():
    (weight, scale) = tensors(W, [1.0, 2.0, 3.0])
    gradients, others = run(lambda w, s: rows.row_gradients(loss)([w], s), weight, scale)
    np.testing.assert_allclose(numpy(gradients[0]), 3 * W**2 * np.array([[1.0], [2.0], [3.0]]))
    np.testing.assert_allclose(numpy(others[0]), 2 * W)


@pytest.mark.parametrize("name", ["gradient", "row_gradients"])
def test_a_weight_that_the_loss_does_not_use_has_a_gradient_of_zero(name):
    def half(weights):
        return ops.sum(weights[0] ** 2), [weights[0]]

    used, unused = tensors(W, W)
    gradients, _ = run(lambda u, v: getattr(rows, name)(half)([u, v]), used, unused)
    np.testing.assert_allclose(numpy(gradients[0]), 2 * W)
    np.testing.assert_allclose(numpy(gradients[1]), np.zeros_like(W))


CONVOLUTIONS = {
    "plain": lambda x, k: ops.conv(x, k, padding="valid"),
    "strided": lambda x, k: ops.conv(x, k, strides=2, padding="same"),
    "dilated": lambda x, k: ops.conv(x, k, dilation_rate=2, padding="same"),
    "transposed": lambda x, k: ops.conv_transpose(x, k, strides=2, padding="same"),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_gradients_of_convolutions_are_those_of_their_plain_sums(kind):
    """Against differences: on JAX convolutions are rewritten to another layout."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 5, 5, 2)).astype("float32")
    kernel = rng.normal(size=(3, 3, 2, 2)).astype("float32")

    def loss(weights, x):
        value = ops.mean(ops.square(CONVOLUTIONS[kind](x, weights[0])))
        return value, [x]

    gradients, _ = run(lambda k, x: rows.gradient(loss)([k], x), *tensors(kernel, x))
    direction = rng.normal(size=kernel.shape).astype("float32")
    ahead, behind = (
        float(numpy(loss(tensors(kernel + h * direction), tensors(x)[0])[0])) for h in (0.05, -0.05)
    )
    # The loss is a square of linear functions, so central differences are exact but for rounding.
    slope = float((numpy(gradients[0]) * direction).sum())
    assert slope == pytest.approx((ahead - behind) / 0.1, rel=1e-3, abs=1e-3)


# Rows.


def test_all_rows_at_once_and_one_after_the_other_give_the_same():
    def one(state, order):
        return {"w": state["w"] + order}, {"sum": ops.sum(state["w"]) * order}

    state, orders = {"w": tensors(W)[0]}, tensors([1.0, 2.0, 3.0])[0]
    for mapped in (rows.vmap(one), rows.map_rows(one, ["sum"])):
        state, logs = run(mapped, {"w": tensors(W)[0]}, orders)
        np.testing.assert_allclose(numpy(state["w"]), W + np.array([[1.0], [2.0], [3.0]]))
        np.testing.assert_allclose(numpy(logs["sum"]), W.sum(1) * [1, 2, 3])


@pytest.mark.parametrize("numbers", [1e3, 1e30], ids=["in blocks", "compiled"])
def test_an_update_of_rows_is_each_rows_own_however_many_numbers_it_has(numbers):
    """PyTorch takes rows in blocks, or compiles what will update many numbers."""
    rng = np.random.default_rng(1)
    weight, gradient, slot = (rng.normal(size=(3, 100_000)).astype("float32") for _ in range(3))
    rate = np.array([0.1, 0.2, 0.3], "float32")

    def update(weights, gradients, state, rate):
        (w,), (g,), (s,) = weights, gradients, state
        s = s + g
        return [w - ops.expand_dims(rate, -1) * s], [s]

    (new,), (state,) = run(
        lambda w, g, s, r: rows.update_rows(update, numbers)([w], [g], [s], r),
        *tensors(weight, gradient, slot, rate),
    )
    np.testing.assert_allclose(numpy(state), slot + gradient, rtol=1e-6)
    expected = weight - rate[:, None] * (slot + gradient)
    np.testing.assert_allclose(numpy(new), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_loop_goes_round_as_often_as_it_is_told(count):
    def body(i, carry):
        total, last = carry
        return total * 2.0 + 1.0, last + ops.cast(i, "float32")

    total, counted = run(lambda x: rows.fori_loop(count, body, (x, ops.zeros_like(x))), *tensors(X))
    expected = X
    for _ in range(count):
        expected = expected * 2 + 1
    np.testing.assert_allclose(numpy(total), expected)
    np.testing.assert_allclose(numpy(counted), np.full_like(X, sum(range(count))))


@pytest.mark.parametrize("condition", [True, False])
def test_cond_takes_one_of_two_ways(condition):
    chosen = ops.convert_to_tensor(np.array(condition))
    found = run(
        lambda x, c: rows.cond(c, lambda x: (x + 1,), lambda x: (x - 1,), x),
        tensors(X)[0],
        chosen,
    )
    np.testing.assert_allclose(numpy(found[0]), X + 1 if condition else X - 1)


def test_take_gives_samples_in_the_order_of_the_indices():
    indices = ops.convert_to_tensor(np.array([2, 0, 2], "int32"))
    found = run(lambda w, i: (rows.take(w, i),), tensors(W)[0], indices)
    np.testing.assert_allclose(numpy(found[0]), W[[2, 0, 2]])


@pytest.mark.parametrize("row", [0, 2])
def test_put_row_replaces_one_row_and_leaves_the_others(row):
    state = {"w": tensors(W)[0], "n": [ops.convert_to_tensor(np.array([1, 2, 3], "int32"))]}
    new = {"w": np.array([7.0, 8.0], "float32"), "n": [np.int32(9)]}
    changed = rows.put_row(state, row, new)
    expected = W.copy()
    expected[row] = [7.0, 8.0]
    np.testing.assert_array_equal(numpy(changed["w"]), expected)
    assert numpy(changed["n"][0]).tolist() == [9 if i == row else i + 1 for i in range(3)]


def test_a_row_is_put_into_states_of_any_shapes_and_around_what_is_empty():
    for axes in range(4):  # more shapes than a tracer keeps apart
        state = tensors(np.zeros((2, *[3] * axes), "float32"), np.zeros((2, 0), "float32"))
        new = [np.ones([3] * axes, "float32"), np.zeros(0, "float32")]
        changed, empty = rows.put_row(list(state), 1, new)
        assert [numpy(changed)[row].mean() for row in (0, 1)] == [0, 1]
        assert tuple(empty.shape) == (2, 0)


def test_a_program_is_traced_once_however_often_it_is_called():
    program = rows.Program(lambda state: (state + 1.0,), *tensors(X))
    (state,) = program(*tensors(X))
    (state,) = program(state)
    np.testing.assert_allclose(numpy(state), X + 2)
    assert program.traces == (0 if BACKEND == "torch" else 1)


def test_a_function_that_cannot_run_raises_when_its_program_is_made():
    def mismatched(x):
        return (ops.matmul(x, ops.zeros((5, 5))),)

    with pytest.raises(Exception, match=r"."):
        rows.Program(mismatched, *tensors(X))


@pytest.mark.only("tensorflow")
def test_a_program_that_xla_cannot_compile_runs_all_the_same():
    import tensorflow as tf

    def digits(x):
        return (
            x + tf.cast(tf.strings.length(tf.strings.as_string(ops.cast(x, "int32"))), x.dtype),
        )

    program = rows.Program(digits, *tensors([1.0, 22.0]))
    np.testing.assert_allclose(numpy(program(*tensors([1.0, 22.0]))[0]), [2.0, 24.0])
    assert program.traces == 1


# Noise on PyTorch, which would draw it from one stream for all rows.


def kept(seed, step, calls=1, rate=0.25, shape=(100, 100), training=True):
    """Which numbers the last of some calls of dropout keeps."""
    import torch

    with rows.noise(torch.tensor(seed), torch.tensor(step)):
        for _ in range(calls):
            dropped = torch.nn.functional.dropout(torch.ones(shape), rate, training)
    return numpy(dropped)


@only_torch
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_its_share_and_scales_what_it_keeps(rate):
    dropped = kept(3, 0, rate=rate)
    share = (dropped != 0).mean()
    assert share == pytest.approx(1 - rate, abs=4 * np.sqrt(rate * (1 - rate) / dropped.size))
    np.testing.assert_allclose(dropped[dropped != 0], 1 / (1 - rate), rtol=1e-6)


@only_torch
def test_dropout_differs_between_seeds_steps_and_calls_and_repeats_with_them():
    draws = [kept(3, 0), kept(4, 0), kept(3, 1), kept(3, 0, calls=2), kept(3, 0, rate=0.26)]
    for i, one in enumerate(draws[:4]):
        for other in draws[:i]:
            # Independent draws agree in 0.75² + 0.25² of the places.
            assert ((one != 0) == (other != 0)).mean() == pytest.approx(0.625, abs=0.03)
    np.testing.assert_array_equal(kept(3, 0), draws[0])


@only_torch
def test_dropout_drops_rows_and_columns_alike():
    dropped = kept(5, 2) != 0
    for axis in (0, 1):
        shares = dropped.mean(axis)
        assert np.abs(shares - 0.75).max() < 6 * np.sqrt(0.25 * 0.75 / 100)
    neighbours = (dropped[:, 1:] == dropped[:, :-1]).mean()
    assert neighbours == pytest.approx(0.625, abs=0.03)


@only_torch
def test_nothing_is_dropped_at_inference_or_at_a_rate_of_zero():
    assert (kept(3, 0, training=False) == 1).all()
    assert (kept(3, 0, rate=0.0) == 1).all()


@only_torch
def test_rows_of_a_vectorized_step_drop_what_each_would_drop_alone():
    import torch

    def one(x, seed, step):
        with rows.noise(seed, step):
            return torch.nn.functional.dropout(x, 0.5)

    seeds, steps = torch.tensor([3, 4, 3]), torch.tensor([0, 0, 1])
    together = rows.vmap(one)(torch.ones(3, 50, 4), seeds, steps)
    for row in range(3):
        alone = one(torch.ones(50, 4), seeds[row], steps[row])
        np.testing.assert_array_equal(numpy(together[row]), numpy(alone))


@only_torch
@pytest.mark.parametrize(
    "settings", [{"strides": 2, "padding": "same"}, {"dilation_rate": 2}, {"groups": 2}], ids=str
)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_images_of_rows_are_convolved_and_pooled_as_those_of_one(data_format, settings):
    groups = settings.get("groups", 1)
    rng = np.random.default_rng(0)
    shape = (3, 2, 7, 7, 4) if data_format == "channels_last" else (3, 2, 4, 7, 7)
    x, kernel = tensors(rng.normal(size=shape), rng.normal(size=(3, 3, 3, 4 // groups, 6)))
    options = {"data_format": data_format, **settings}
    options.pop("groups", None)

    def one(x, kernel):
        x = ops.conv(x, kernel, **options)
        return ops.max_pool(x, 2, padding="same", data_format=data_format)

    def value_and_gradients(function):
        weights = [tensor.clone().requires_grad_() for tensor in (x, kernel)]
        y = function(*weights)
        (y**2).sum().backward()
        return [y.detach(), *(weight.grad for weight in weights)]

    def one_by_one(x, kernel):
        return ops.stack([one(*row) for row in zip(x, kernel, strict=True)])

    together = value_and_gradients(rows.vmap(one))
    for found, expected in zip(together, value_and_gradients(one_by_one), strict=True):
        np.testing.assert_allclose(numpy(found), numpy(expected), rtol=1e-5, atol=1e-5)
