"""Recordings on PyTorch do the same arithmetic in fewer operations."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from keras_optim_lab.backend.torch.recording import Recording

A, B, C = (torch.tensor(v) for v in np.random.default_rng(0).normal(size=(3, 7)).astype("f4"))
X, Y, Z = (torch.tensor(v) for v in np.random.default_rng(0).normal(size=(3, 2, 4, 4)).astype("f4"))
NUMBER = torch.tensor(0.25)


def operations(function, *arguments):
    """How often each of PyTorch's operations runs, once the results are known to be right."""

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            seen[operation.overloadpacket.__name__] += 1
            return operation(*args, **(kwargs or {}))

    recording, seen = Recording(function, *arguments), Counter()
    with Counting():
        found = recording(*arguments)
    torch.testing.assert_close(found, function(*arguments), rtol=1e-6, atol=1e-7)
    return dict(seen)


def average(a, x, c):
    return (a - c * a) + c * x


FUSED = {
    "average": (average, (A, B, NUMBER), {"lerp": 1}),
    "average in another order": (lambda a, x, c: x * c + (a - a * c), (A, B, NUMBER), {"lerp": 1}),
    "average of squares": (
        lambda a, x, c: average(a, x * x, c),
        (A, B, NUMBER),
        {"mul": 1, "lerp": 1},
    ),
    "sum": (lambda a, b, c: a + b * c, (A, B, C), {"addcmul": 1}),
    "sum in another order": (lambda a, b, c: b * c + a, (A, B, C), {"addcmul": 1}),
    "difference": (lambda a, b, c: a - c * b, (A, B, NUMBER), {"addcmul": 1}),
    "matrices": (lambda x, y, z: 3.5 * x + y @ z, (X, Y, Z), {"baddbmm": 1}),
    "difference of matrices": (lambda x, y, z: x - 2.0 * (y @ z), (X, Y, Z), {"baddbmm": 1}),
    "their difference the other way": (
        lambda x, y, z: 2.0 * (y @ z) - 4.5 * x,
        (X, Y, Z),
        {"baddbmm": 1},
    ),
    "one square, twice": (lambda a, b: a + b * b, (A, B), {"addcmul": 1}),
}


@pytest.mark.parametrize(("function", "arguments", "expected"), FUSED.values(), ids=FUSED)
def test_averages_and_sums_with_products_are_one_operation(function, arguments, expected):
    assert operations(function, *arguments) == expected


def read_again(a, b, c):
    product = b * c
    return a + product, product


def matrices_read_again(x, y, z):
    product = y @ z
    return x + product, product


UNLIKE = {
    "a product that is read again": (read_again, (A, B, C)),
    "a product of matrices that is read again": (matrices_read_again, (X, Y, Z)),
    "a smaller matrix": (lambda x, y, z: x + y @ z, (X[:, :1], Y, Z)),
    "a smaller sum": (lambda a, b, c: a * b + c, (A, B, NUMBER)),
    "whole numbers": (lambda a, b, c: a + b * c, (A.int(), B.int(), C.int())),
    "other dtypes": (lambda a, b, c: a + b * c, (A, B.half(), C.half())),
    "scaled terms": (lambda a, b, c: torch.add(a, b * c, alpha=2), (A, B, C)),
    "a number that Python knows": (lambda a, b, c: a + b * 0.5 - c, (A, B, C)),
    "the difference the other way": (lambda a, b, c: b * c - a, (A, B, C)),
}


@pytest.mark.parametrize(("function", "arguments"), UNLIKE.values(), ids=UNLIKE)
def test_what_is_no_such_sum_stays_as_it_is(function, arguments):
    assert not {"lerp", "addcmul", "baddbmm"} & set(operations(function, *arguments))


def test_a_rate_for_every_number_is_no_lerp():
    assert "lerp" not in operations(average, A, B, C)
