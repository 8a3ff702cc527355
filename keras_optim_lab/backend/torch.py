"""What only PyTorch can do."""

import contextlib
import functools
import logging
import math

import keras
import torch
from keras.src.backend.torch.core import get_device
from torch.nn.attention import SDPBackend, sdpa_kernel

from keras_optim_lab.backend import active
from keras_optim_lab.backend.float64 import kept_in_keras
from keras_optim_lab.backend.torch_updates import (
    JOINED,
    InPlace,
    beside,
    dense,
    eagerly,
    nearer,
    on_every_device,
    run,
    value,
    within,
)

__all__ = [
    "JOINED",
    "InPlace",
    "beside",
    "dense",
    "eagerly",
    "nearer",
    "on_every_device",
    "run",
    "value",
    "within",
]

# Programs that train many rows at once; `backend.interface` says what each does.

# Its Python would wait for the other's; the operations themselves use all cores.
WORKERS = 1
JOINS_WEIGHTS = True
COMPILES = False
_BLOCK = 2**17  # numbers
# Numbers to update after which compiling has paid for itself. It saves about 9 ns for each, and
# takes 6 s, but 27 s the first time on a machine.
_WORTH_COMPILING = 1e9

_log = logging.getLogger("keras_optim_lab")


def on_host() -> bool:
    return get_device() == "cpu"


def free_memory() -> int | None:
    return torch.cuda.mem_get_info()[0] if get_device().startswith("cuda") else None


def prefers_vectorized() -> bool:
    return True


def take(array, indices):
    return array[indices]


def gradient(loss):
    def gradients(weights, *rest):
        weights = [weight.detach().requires_grad_() for weight in weights]
        with torch.enable_grad():
            value, others = loss(weights, *rest)
        return _gradients(value, weights), _detached(others)

    return gradients


def row_gradients(loss):
    # The rows' losses are independent, so the gradient of their sum holds the gradient of each.
    # The backward pass so stays outside vmap, whose every operation costs.
    mapped = for_all_rows(loss)

    def gradients(weights, *rest):
        weights = [weight.detach().requires_grad_() for weight in weights]
        with torch.enable_grad():
            values, others = mapped(weights, *rest)
            total = values.sum()
        return _gradients(total, weights), _detached(others)

    return gradients


def _gradients(value, weights):
    return list(torch.autograd.grad(value, weights, allow_unused=True, materialize_grads=True))


def _detached(tree):
    return keras.tree.map_structure(torch.Tensor.detach, tree)


def for_all_rows(function):
    def on_images(*rows):
        with _RowImages():
            return function(*rows)

    return torch.func.vmap(on_images, randomness="different")


class _RowImages(torch.overrides.TorchFunctionMode):
    """Layers on images under vmap, with the channels of all rows side by side and last in memory.

    There a convolution of every row with its own kernel is a grouped one, and pooling is six times
    as fast as over one row's images after the other; nothing is copied between the two.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is torch.Tensor.is_contiguous and "memory_format" in kwargs:
            return True  # vmap cannot tell, and need not
        if function is torch.conv2d and len(args) == 2 and all(map(_is_of_rows, args)):
            return _convolved(*args, **kwargs)
        if function is torch.nn.functional.max_pool2d and _is_of_rows(args[0]):
            return _side_by_side(lambda x: function(x, *args[1:], **kwargs), args[0])
        return function(*args, **kwargs)


# Not part of PyTorch's public interface, which has no way to see all rows from within one.
_functorch = torch._C._functorch
_is_of_rows = _functorch.is_batchedtensor


def _convolved(x, kernel, *, groups=1, **settings):
    kernels = _all_rows(kernel, 0)
    together, groups = kernels.flatten(0, 1), groups * len(kernels)
    return _side_by_side(lambda x: torch.conv2d(x, together, groups=groups, **settings), x)


def _side_by_side(function, x):
    """A function of images, (samples, channels, height, width), that keeps channels in groups."""
    images = _all_rows(x, 1)
    result = function(images.flatten(1, 2).contiguous(memory_format=torch.channels_last))
    parts = result.unflatten(1, (images.shape[1], -1))
    return _functorch._add_batch_dim(parts, 1, _functorch.maybe_get_level(x))


def _all_rows(x, axis):
    """What all rows have for a tensor of one of them, with the rows along this axis."""
    return _functorch.get_unwrapped(x).movedim(_functorch.maybe_get_bdim(x), axis)


def update_rows(function, numbers):
    if on_host() and numbers > _WORTH_COMPILING:
        return _Compiled(function)
    return _in_blocks(function)


class _Compiled:
    """An update as one kernel, six times as fast; without a C++ compiler it is as it was."""

    def __init__(self, function):
        self._function = function
        torch.compiler.assume_constant_result(active)
        self._call = torch.compile(function, dynamic=True)

    def __call__(self, *arguments):
        try:
            return self._call(*arguments)
        except torch._dynamo.exc.TorchDynamoException as error:
            _log.info("the update is not compiled (%s)", str(error).partition("\n")[0])
            self._call = _in_blocks(self._function)
            return self._call(*arguments)


def _in_blocks(function):
    # Blocks stay in the cache: larger temporaries cost a page fault for every 4 KiB.
    def updated(weights, gradients, state, *rest):
        old = (weights, state)
        arguments = (weights, gradients, state, *rest)
        count = len(weights[0])
        numbers = sum(weight[0].numel() for weight in weights)
        size = max(1, _BLOCK // max(1, numbers)) if on_host() else count
        for first in range(0, count, size):
            block = slice(first, first + size)
            new = function(*keras.tree.map_structure(lambda x, block=block: x[block], arguments))
            keras.tree.map_structure(lambda x, y, block=block: x[block].copy_(y), old, new)
        return old

    return updated


def for_each_row(function, logs):
    def mapped(*rows):
        count = len(keras.tree.flatten(rows)[0])
        results = [
            function(*keras.tree.map_structure(lambda x, i=i: x[i], rows)) for i in range(count)
        ]
        return keras.tree.map_structure(lambda *values: torch.stack(values), *results)

    return mapped


def repeat(count, body, carry):
    for i in range(count):
        carry = body(i, carry)
    return carry


def choose(condition, yes, no, state):
    rows = _of_all_rows(condition)
    if rows is None:
        return yes(state) if bool(condition) else no(state)
    if not bool(rows.any()):
        return no(state)
    return keras.tree.map_structure(
        lambda one, other: torch.where(condition, one, other), yes(state), no(state)
    )


def _of_all_rows(condition):
    """The conditions of the rows that vmap does at once, or None outside of it."""
    if not _is_of_rows(condition):
        return None
    while _is_of_rows(condition):
        condition = _functorch.get_unwrapped(condition)
    return condition


def noise(seed, step):
    return _RowNoise(seed, step)


class _RowNoise(torch.overrides.TorchFunctionMode):
    """Draws a row's dropout from its seed and step, so that no row sees its neighbours'.

    PyTorch would draw from one stream for all rows.
    """

    def __init__(self, seed, step):
        super().__init__()
        self._key = seed * 1_000_003 + step
        self._calls = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is not torch.nn.functional.dropout:
            return function(*args, **(kwargs or {}))
        return self._dropout(*args, **(kwargs or {}))

    def _dropout(self, x, p=0.5, training=True, inplace=False):
        if not training or p == 0:
            return x
        self._calls += 1
        numbers = torch.arange(math.prod(x.shape), device=x.device).reshape(x.shape)
        drawn = _mixed(_mixed(self._key * 0x9E3779B1 + self._calls) + numbers)
        kept = drawn >= int(p * 2**32)
        return torch.where(kept, x / (1.0 - p), torch.zeros_like(x))


def _mixed(bits):
    """The finalizer of MurmurHash3: every bit of the result depends on every bit given."""
    bits = bits & 0xFFFFFFFF
    bits = ((bits ^ (bits >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    bits = ((bits ^ (bits >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return bits ^ (bits >> 16)


class Program:
    """A function of (state, …); PyTorch runs it as it is, and only then tells whether it can."""

    def __init__(self, function, *examples):
        self.traces = 0
        self._function = function
        self(*examples)

    def __call__(self, *arguments):
        with torch.no_grad():
            return self._function(*arguments)


def put_row(state, row, values):
    def put(rows, value):
        # By Keras, which knows NumPy's arrays of bfloat16.
        rows[row] = keras.ops.convert_to_tensor(value).to(rows.device)
        return rows

    return keras.tree.map_structure(put, state, values)


# Derivatives; `backend.interface` says what each does.


def compiled(function):
    return torch.no_grad()(function)


def precision(dtype):
    return kept_in_keras() if dtype == "float64" else contextlib.nullcontext()


def _differentiable(function):
    """Runs a function so that it can be differentiated twice: flash attention cannot."""

    @functools.wraps(function)
    def recorded(x):
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            return function(x)

    return recorded


def value_and_gradient(function):
    def differentiated(x):
        x = x.detach().requires_grad_()
        value = _differentiable(function)(x)
        return value.detach(), _product(value, x, None)

    return differentiated


def linearized(function, x):
    x = x.detach().requires_grad_()
    y = _differentiable(function)(x)
    # The product with the transpose is linear in u; its own derivative is the product itself.
    u = torch.zeros_like(y, requires_grad=True)
    transposed = _product(y, x, u, create_graph=True)
    return (
        y.detach(),
        lambda v: _product(transposed, u, v, retain_graph=True),
        lambda u: _product(y, x, u, retain_graph=True),
    )


def hessian_products(function, x):
    x = x.detach().requires_grad_()
    gradient = _product(_differentiable(function)(x), x, None, create_graph=True)
    return lambda v: _product(gradient, x, v, retain_graph=True)


def _product(y, x, u, **options):
    """uᵀ ∂y/∂x, zeros where y does not depend on x."""
    if not y.requires_grad:
        return torch.zeros_like(x)
    with torch.enable_grad():
        (product,) = torch.autograd.grad(
            y, x, u, allow_unused=True, materialize_grads=True, **options
        )
    return product


def along(function, x, v):
    if _functorch.peek_interpreter_stack() is not None:  # inside of vmap or its like
        return torch.func.jvp(function, (x,), (v,))[1]
    recorded = torch.is_grad_enabled()
    with torch.enable_grad():
        x = x if x.requires_grad else x.detach().requires_grad_()
        y = function(x)
        one_each = y.numel() == len(x)  # so that the gradient of their sum has all derivatives
        u = torch.ones_like(y, requires_grad=not one_each)
        product = _product(y, x, u, create_graph=True)
        if one_each:
            result = (product * v).flatten(1).sum(1).reshape(y.shape)
        else:  # the product is linear in u
            result = _product(product, u, v, create_graph=True)
    return result if recorded else result.detach()


def for_each(function, rows):
    return torch.stack([function(row) for row in rows])


def normal(shape, dtype, seed, step):
    return torch.randn(shape, generator=_generator(seed, step), dtype=_dtype(dtype)).to(
        get_device()
    )


def signs(shape, dtype, seed, step):
    drawn = torch.randint(0, 2, shape, generator=_generator(seed, step), dtype=_dtype(dtype))
    return (2 * drawn - 1).to(get_device())


def _dtype(name):
    return getattr(torch, name)


def _generator(seed, step):
    return torch.Generator().manual_seed(seed * 1_000_003 + int(step))


def noise_key():
    return int(torch.randint(2**31, ()))


def with_variables(model, step, data):
    with torch.no_grad():
        return step(data)
