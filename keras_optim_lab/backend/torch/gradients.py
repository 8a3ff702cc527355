"""Gradients of rows; `backend.interface` says what each does."""

import keras
import torch

from keras_optim_lab.backend.torch.layers import OneRow, Rows
from keras_optim_lab.keras_private import get_device

# Numbers in the results of a row's larger operations from which on rows follow each other: those
# of several would not be found in the cache by the next operation.
_LARGE = 2**18


def gradient(loss):
    def gradients(weights, *rest):
        weights = [weight.detach().requires_grad_() for weight in weights]
        with torch.enable_grad(), OneRow():
            value, others = loss(weights, *rest)
        return _gradients(value, weights), _detached(others)

    return gradients


def row_gradients(loss):
    # The rows' losses are independent, so the gradient of their sum holds the gradient of each.
    # The backward pass so stays outside vmap, whose every operation costs.
    mapped = vmap(loss)
    ways: list = []

    def together(weights, *rest):
        weights = [weight.detach().requires_grad_() for weight in weights]
        with torch.enable_grad():
            values, others = mapped(weights, *rest)
            total = values.sum()
        return _gradients(total, weights), _detached(others)

    def gradients(*rows):
        if not ways:
            large = get_device() == "cpu" and _typical_size(loss, _row(rows, 0)) > _LARGE
            ways.append(one_by_one(gradient(loss)) if large else together)
        return ways[0](*rows)

    return gradients


def vmap(function):
    def on_rows(*rows):
        with Rows():
            return function(*rows)

    return torch.func.vmap(on_rows, randomness="different")


def one_by_one(function):
    """A function of stacked arguments that does one row after the other."""

    def mapped(*rows):
        count = len(keras.tree.flatten(rows)[0])
        results = [function(*_row(rows, i)) for i in range(count)]
        return keras.tree.map_structure(lambda *values: torch.stack(values), *results)

    return mapped


def _row(rows, i):
    return keras.tree.map_structure(lambda x: x[i], rows)


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
