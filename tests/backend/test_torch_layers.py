"""Layers of rows on PyTorch have the values and gradients that they have in one row."""

import weakref

import keras
import numpy as np
import pytest
from keras import ops

from keras_optim_lab import backend

pytestmark = pytest.mark.only("torch")
rows = backend.rows()


def attended(x, mask=None):
    return ops.dot_product_attention(x, x * 2.0, x**2, mask=mask)


def masked(x):
    mask = ops.reshape(ops.arange(25) % 3 > 0, (1, 1, 5, 5))
    return attended(x, ops.broadcast_to(mask, (2, 4, 5, 5)))


def masked_by_itself(x):
    return attended(x, ops.transpose(x[:, :, :, :1] > -1.0, (0, 2, 3, 1)))


def in_steps(x):
    return x[0] * x[1] + x[-1] + sum(step**2 for step in ops.unstack(x[1]))


def images(x):
    x = ops.max_pool(ops.conv(x, ops.ones((2, 2, 3, 3)) * x[0, :2, :1, :, None]), 2, padding="same")
    return ops.reshape(x, (2, -1))


CASES = {
    "attention": (attended, (2, 5, 4, 3)),
    "attention with a mask of all": (masked, (2, 5, 4, 3)),
    "attention with a mask of each": (masked_by_itself, (2, 5, 4, 3)),
    "steps of a sequence": (in_steps, (4, 3, 2)),
    "images": (images, (2, 6, 6, 3)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("form", ["together", "one after the other"])
def test_layers_of_rows_have_the_values_and_gradients_of_one(case, form):
    function, shape = CASES[case]
    x = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(3, *shape)).astype("float32"))

    def loss(weights):
        y = function(weights[0])  # of which every number is to have its place
        return ops.sum(ops.sin(y) * ops.reshape(ops.arange(y.numel()), y.shape)), []

    def alone(x):
        x = x.clone().requires_grad_()
        loss([x])[0].backward()
        return x.grad

    if form == "together":
        found = rows.row_gradients(loss)([x])[0][0]
    else:
        found = ops.stack([rows.gradient(loss)([row])[0][0] for row in x])
    expected = ops.stack([alone(row) for row in x])
    np.testing.assert_allclose(*map(ops.convert_to_numpy, (found, expected)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("samples", "together"), [(4, True), (4096, False)])
def test_rows_follow_each_other_where_one_fills_the_cache(samples, together):
    from keras_optim_lab.backend.torch.private import is_of_rows

    seen = []

    def loss(weights):
        seen.append(is_of_rows(weights[0]))
        return ops.sum(ops.ones((samples, 128)) * weights[0]), [weights[0] * 2.0]

    weights = ops.reshape(ops.arange(3.0), (3, 1))
    gradients = rows.row_gradients(loss)
    gradients([weights])
    seen.clear()
    (gradient,), (doubled,) = gradients([weights])
    assert seen == ([True] if together else [False] * 3)
    np.testing.assert_allclose(ops.convert_to_numpy(gradient), samples * 128 * np.ones((3, 1)))
    np.testing.assert_allclose(ops.convert_to_numpy(doubled), 2 * np.arange(3.0)[:, None])


def test_images_are_not_copied_between_layers_of_one_row():
    import torch

    shapes = []

    class Strides(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            if function in (torch.nn.functional.max_pool2d, torch.conv2d):
                shapes.append(args[0].is_contiguous(memory_format=torch.channels_last))
            return function(*args, **(kwargs or {}))

    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(4, 3),
        ]
    )

    def loss(weights):
        with keras.StatelessScope(list(zip(model.trainable_variables, weights, strict=True))):
            return ops.sum(model(ops.ones((2, 8, 8, 1)))), []

    with Strides():
        rows.gradient(loss)([variable.value for variable in model.trainable_variables])
    assert shapes == [True] * 3


def test_a_row_does_not_hold_the_sequences_that_it_has_gone_through():
    seen: list = []

    def gone_through(x):
        for _ in range(20):
            sequence = x * 2.0
            assert [float(ops.sum(sequence[i])) for i in range(3)] == [4.0] * 3
            seen.append(weakref.ref(sequence))
        del sequence
        assert sum(each() is not None for each in seen) < 10
        return x

    rows.map_rows(gone_through, [])(ops.ones((1, 3, 2)))
    assert len(seen) == 20
