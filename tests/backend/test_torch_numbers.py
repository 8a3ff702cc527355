"""The scalars of a step on PyTorch are what PyTorch would have made of them."""

import math

import keras
import pytest
import torch
from keras import ops

import keras_optim_lab as kol
from keras_optim_lab.backend.torch import recording
from keras_optim_lab.backend.torch.numbers import Numbers

COUNT, SHARE = torch.tensor(7), torch.tensor(0.3)

FUNCTIONS = {
    "arithmetic": lambda n, x: [(2 - x) * x / 3 + (-x) ** 2, ops.power(x, 0.5), 1 / x],
    "counts": lambda n, x: [n % 3, n + 1, ops.cast(n, "float32") * x],
    "functions": lambda n, x: [ops.expm1(n * ops.log1p(-x)), ops.sqrt(x), ops.tanh(x)],
    "choices": lambda n, x: [
        ops.where(ops.logical_and(n > 5, x < 0.2), x, -x),
        ops.maximum(x, 1.0) - ops.minimum(x, 0.1),
        ops.logical_not(n >= 7),
    ],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numbers_are_those_of_tensors(name):
    found, expected = Numbers(FUNCTIONS[name], COUNT, SHARE), FUNCTIONS[name](COUNT, SHARE)
    assert found(COUNT, SHARE) == pytest.approx([float(x) for x in expected], rel=1e-6)
    assert found.dtypes == [x.dtype for x in expected]


def test_infinity_comes_where_pytorch_has_it():
    found = Numbers(lambda x: [1 / x, torch.log1p(-x)], SHARE)
    assert found(torch.tensor(0.0))[0] == math.inf
    assert found(torch.tensor(1.0))[1] == -math.inf


def test_what_is_not_known_is_refused():
    with pytest.raises(LookupError):
        Numbers(lambda x: [torch.erf(x)], SHARE)


@pytest.mark.parametrize("name", ["radam", "nadam", "adabound", "schedule_free_adamw"])
def test_the_scalars_of_rules_are_computed_as_numbers(name, monkeypatch):
    monkeypatch.setattr(recording, "recordings", {})
    weight = keras.Variable([1.0, 2.0])
    kol.optimizers.get(name).apply([torch.ones(2)], [weight])
    kinds = {key[0]: type(found) for key, found in recording.recordings.items()}
    assert kinds["numbers"] is Numbers
    assert "scalars" not in kinds
