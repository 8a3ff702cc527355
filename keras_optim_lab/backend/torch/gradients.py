"""Gradients of rows; `backend.interface` says what each does."""

import logging
from collections import Counter
from typing import Any

import keras
import torch

from keras_optim_lab.backend.torch.layers import OneRow, Rows
from keras_optim_lab.backend.torch.private import unchanged_functions
from keras_optim_lab.backend.torch.recording import Recording
from keras_optim_lab.keras_private import get_device

# Numbers in the results of a row's larger operations from which on rows follow each other: those
# of several would not be found in the cache by the next operation.
_LARGE = 2**18
# Steps after which one is recorded. It costs as much as 30 to 100 of them and saves half of each at
# most, nothing where arithmetic is what takes the time: nobody waits much longer than without it.
_OFTEN = 128

_log = logging.getLogger("keras_optim_lab")


def gradient(loss):
    def gradients(weights, *rest):
        weights = [weight.detach().requires_grad_() for weight in weights]
        with torch.enable_grad(), OneRow():
            value, others = loss(weights, *rest)
        return _gradients(value, weights), _detached(others)

    return gradients


def repeated(function):
    return _Repeated(function)


def row_gradients(loss, repeats=False):
    # The rows' losses are independent, so the gradient of their sum holds the gradient of each.
    # The backward pass so stays outside vmap, whose every operation costs.
    mapped = vmap(loss)

    def together(weights, *rest):
        weights = [weight.detach().requires_grad_() for weight in weights]
        with torch.enable_grad():
            values, others = mapped(weights, *rest)
            total = values.sum()
        return _gradients(total, weights), _detached(others)

    return _by_size(loss, gradient(loss), together, repeats)


def row_values(function, repeats=False, shared=0):
    return _by_size(function, in_one_row(function), vmap(function, shared), repeats, shared)


def _by_size(function, alone, together, repeats, shared=0):
    """What does all rows together or, where they are large, one after the other."""
    ways: list = []

    def rows(*arguments):
        if not ways:
            first = _row(arguments, 0, shared)
            large = get_device() == "cpu" and _typical_size(function, first) > _LARGE
            way = alone if large else together
            way = _Repeated(way) if repeats else way
            ways.append(one_by_one(way, shared) if large else way)
        return ways[0](*arguments)

    return rows


class _Repeated:
    """A pure function of tensors, recorded once it has been called often with the same shapes.

    A recording has to give what the function does the next time as well, to the bit, or is not
    used: a row that goes on elsewhere, before or after, is the same.
    """

    def __init__(self, function):
        self._function = function
        self._calls: Counter = Counter()
        self._recordings: dict[Any, Recording | None] = {}
        self._forms: dict[Any, Any] = {}

    def __call__(self, *arguments):
        leaves = keras.tree.flatten(arguments)
        shapes = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        recording, calls = self._recordings.get(shapes), self._calls[shapes]
        if recording is not None and calls > _OFTEN:
            with unchanged_functions():
                found = recording(*leaves)
            return keras.tree.pack_sequence_as(self._forms[shapes], found)
        result = self._function(*arguments)
        self._calls[shapes] += 1
        if calls == _OFTEN - 1:
            self._forms[shapes] = keras.tree.map_structure(lambda leaf: None, result)
            self._recordings[shapes] = self._recorded(arguments, leaves)
        elif recording is not None and not _gives(recording, leaves, result):
            self._recordings[shapes] = None
        return result

    def _recorded(self, arguments, leaves) -> Recording | None:
        form = keras.tree.map_structure(lambda leaf: None, arguments)

        def flat(*leaves):
            given = keras.tree.pack_sequence_as(form, leaves)
            return keras.tree.flatten(self._function(*given))

        try:
            return Recording(flat, *leaves, exact=True)
        except Exception as error:  # a layer may do what it likes
            _log.info(
                "the step of a model is not recorded (%s)",
                str(error).partition("\n")[0] or type(error).__name__,
            )
            return None


def _gives(recording, leaves, expected) -> bool:
    """Whether it gives what is expected, and says so if not."""
    try:
        pairs = zip(recording(*leaves), keras.tree.flatten(expected), strict=True)
        if all(torch.allclose(*pair, rtol=0, atol=0, equal_nan=True) for pair in pairs):
            return True
        why = "it differs from one call to the next"
    except Exception as error:
        why = str(error).partition("\n")[0] or type(error).__name__
    _log.info("the step of a model is not recorded (%s)", why)
    return False


def vmap(function, shared=0):
    def together(*arguments):
        rows, same = _parted(arguments, shared)

        def on_rows(*rows):
            with Rows():
                return function(*rows, *same)

        return torch.func.vmap(on_rows, randomness="different")(*rows)

    return together


def in_one_row(function):
    def alone(*row):
        with OneRow():
            return function(*row)

    return alone


def one_by_one(function, shared=0):
    """A function of stacked arguments that does one row after the other."""

    def mapped(*arguments):
        count = len(keras.tree.flatten(arguments)[0])
        results = [function(*_row(arguments, i, shared)) for i in range(count)]
        return keras.tree.map_structure(lambda *values: torch.stack(values), *results)

    return mapped


def _row(arguments, i, shared=0):
    rows, same = _parted(arguments, shared)
    return *keras.tree.map_structure(lambda x: x[i], rows), *same


def _parted(arguments, shared):
    """What each row has its own of, and the last arguments, which all share."""
    return arguments[: len(arguments) - shared], arguments[len(arguments) - shared :]


def _typical_size(function, arguments):
    """Numbers in the result of which a number that is computed is part, on average."""
    with torch.no_grad(), _Sizes() as sizes:
        function(*arguments)
    return sizes.squares / max(1, sizes.sum)


class _Sizes(torch.overrides.TorchFunctionMode):
    """Adds up how many numbers results have."""

    def __init__(self):
        super().__init__()
        self.sum = self.squares = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.is_floating_point():
            self.sum += result.numel()
            self.squares += result.numel() ** 2
        return result


def _gradients(value, weights):
    return list(torch.autograd.grad(value, weights, allow_unused=True, materialize_grads=True))


def _detached(tree):
    return keras.tree.map_structure(torch.Tensor.detach, tree)
