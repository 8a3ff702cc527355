"""Where and by how much the weights of one run differ between backends."""

import numpy as np
import pytest

from keras_optim_lab.comparison.differences import differences, tolerance
from tests.comparison.examples import TENSORS, same_weights

pytestmark = pytest.mark.once


def found(weights, steps=4):
    return differences(weights, TENSORS, range(1, steps + 1))


def test_identical_records_agree_after_every_step():
    assert [d.relative for d in found(same_weights())] == [0.0] * 4
    assert not any(d.beyond for d in found(same_weights()))


@pytest.mark.parametrize(("place", "tensor", "index"), [(5, 0, (1, 2)), (7, 1, (1,))])
def test_a_backend_that_differs_is_found_with_its_step_tensor_and_place(place, tensor, index):
    weights = same_weights()
    weights["torch"][2:, place] += 0.01
    first = next(d for d in found(weights) if d.beyond)
    assert (first.step, first.tensor, first.index) == (3, TENSORS[tensor].name, index)
    assert first.backends in [("tensorflow", "torch"), ("jax", "torch")]
    part = TENSORS[tensor].place
    size = max(np.abs(weights[b][2, part]).max() for b in first.backends)
    assert first.relative == pytest.approx(0.01 / size, rel=1e-5)


def test_a_difference_is_relative_to_the_largest_number_of_its_own_tensor():
    weights = same_weights(("jax", "torch"), steps=1)
    weights["jax"][:] = weights["torch"][:] = [[8, 0, 0, 0, 0, 0, 0.5, 0, 0]]
    weights["torch"][0, 1] += 4e-3
    assert found(weights, 1)[0].relative == pytest.approx(5e-4)
    weights["torch"][0, 7] += 1e-3
    assert found(weights, 1)[0].relative == pytest.approx(2e-3)


def test_weights_that_are_zero_everywhere_agree():
    weights = {b: np.zeros((4, 9), "float32") for b in ("jax", "torch")}
    assert [d.relative for d in found(weights)] == [0.0] * 4


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_on_one_backend_only_is_an_infinite_difference(value):
    weights = same_weights()
    weights["jax"][1, 4] = value
    assert [d.relative for d in found(weights)] == [0.0, np.inf, 0.0, 0.0]
    assert found(weights)[1].beyond


def test_runs_that_diverge_alike_agree():
    weights = same_weights()
    for record in weights.values():
        record[1, 4], record[2, 4] = np.inf, np.nan
    assert [d.relative for d in found(weights)] == [0.0] * 4


def test_one_backend_alone_has_no_differences():
    assert found(same_weights(("jax",))) == []


def test_the_tolerance_is_1e_6_after_one_step_and_1e_4_after_a_hundred():
    assert tolerance(1) == pytest.approx(1e-6)
    assert tolerance(100) == pytest.approx(1e-4)
