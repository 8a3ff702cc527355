"""The cause that is named is the one that the measurements show."""

from dataclasses import replace

import numpy as np
import pytest

from keras_optim_lab.comparison.diagnosis import Gradient, diagnose, question
from keras_optim_lab.comparison.differences import Difference
from keras_optim_lab.comparison.gradients import Question
from tests.comparison.examples import TENSORS, same_weights

pytestmark = pytest.mark.once

BIAS = TENSORS[1]
FIRST = Difference(3, 1e-3, BIAS.name, (1,), ("jax", "torch"))


def diagnosed(jax, torch, steps, whole=(1.0, 1.0)):
    """A diagnosis from the gradients at bias[1] and the steps of the whole bias on both."""
    weights = {b: np.zeros((4, 9)) for b in ("jax", "torch")}
    for name, step in zip(weights, steps, strict=True):
        weights[name][3, BIAS.place] = step
    tensors = {b: np.array([0.0, 0.0, w]) for b, w in zip(weights, whole, strict=True)}
    gradients = {"jax": jax, "torch": torch}
    return diagnose(Question(3, 1, 1), FIRST, weights, BIAS, gradients, tensors)


def steady(gradient, spread=0.0):
    return Gradient(gradient, gradient, [gradient + spread])


APART = ([1.0, 1.0, 1.0], [1.0, 1.1, 1.0])


@pytest.mark.parametrize(
    ("cause", "jax", "torch", "steps"),
    [
        ("noise", Gradient(0.5, 0.1, [0.5]), steady(0.5), APART),
        ("kink", steady(0.5, 0.1), steady(0.6), APART),
        ("gradients", steady(0.5, 1e-7), steady(0.6, 1e-7), APART),
        ("scalar", steady(0.5), steady(0.5), ([1.0, 2.0, 3.0], [1.1, 2.2, 3.3])),
        ("small gradient", steady(1e-8, 2e-9), steady(1.1e-8), APART),
        ("unknown", steady(0.5, 1e-8), steady(0.5), APART),
    ],
)
def test_the_cause_follows_from_the_measurements(cause, jax, torch, steps):
    found = diagnosed(jax, torch, steps)
    assert found.cause == cause
    assert found.text.startswith("In step 3 ")


@pytest.mark.parametrize("changed", [steady(1e-8, 1e-12), steady(0.5, 1e-8)])
def test_a_gradient_is_blamed_only_if_rounding_moves_it_as_far_as_the_steps_differ(changed):
    assert diagnosed(changed, changed, APART).cause == "unknown"


def test_one_number_that_differs_however_far_is_no_common_factor():
    far = ([1.0, 1.0, 1.0], [1.0, 100.0, 1.0])
    assert diagnosed(steady(0.5, 1e-8), steady(0.5), far).cause == "unknown"
    assert diagnosed(steady(0.5), steady(0.5), ([0.0, 1.0, 0.0], [0.0, 1.1, 0.0])).factor == 1.0


def test_the_text_holds_the_numbers():
    text = diagnosed(steady(0.5, 0.1), steady(0.6), APART).text
    assert "5.0e-01 on JAX and 6.0e-01 on PyTorch" in text
    assert "1.0e-01 of the tensor's largest" in text


def with_first(weights):
    start = np.zeros((1, 9), "float32")
    return {name: np.concatenate([start, record]) for name, record in weights.items()}


def test_the_step_that_is_examined_is_the_one_where_most_of_the_difference_arose():
    weights = same_weights(("jax", "torch"))
    weights["torch"][0:, 7] += 1e-7
    weights["torch"][1:, 7] += 1e-2
    weights["torch"][2:, 7] += 1e-5
    asked = question(FIRST, with_first(weights), TENSORS, (1, 2, 3, 4))
    assert asked == Question(step=2, tensor=1, index=1)


def test_nothing_is_asked_where_the_weights_before_a_step_are_not_there_or_not_finite():
    weights = with_first(same_weights(("jax", "torch")))
    assert question(FIRST, weights, TENSORS, (1, 3, 4)) is None
    assert question(replace(FIRST, step=1), weights, TENSORS, (1, 3, 4)) is not None
    weights["jax"][2, 0] = np.nan
    assert question(FIRST, weights, TENSORS, (1, 2, 3, 4)) is None
