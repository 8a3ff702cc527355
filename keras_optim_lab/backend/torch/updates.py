"""Steps of an optimizer; `backend.interface` says what each does."""

import contextlib
import functools

import torch

from keras_optim_lab.backend.torch.private import tree

JOINED = 2**16  # numbers: a call of a program takes as long as updating about so many


def dense(gradient):
    """A dense gradient in at least float32."""
    if gradient.dtype in (torch.float16, torch.bfloat16):
        return gradient.float()
    return gradient


def value(variable):
    return getattr(variable, "value", variable)


def lerp(average, x, share):
    # `keras.ops` multiplies matrices of float64 in float32.
    return torch.lerp(average, x.to(average.dtype), share)


def clip(x, bound):
    return torch.clamp(x, -bound, bound)


def eagerly(variable):
    return contextlib.nullcontext()


def beside(variable):
    return contextlib.nullcontext()


@functools.cache
def register(record):
    tree.register_pytree_node(
        record,
        lambda values: ([*values.values()], [*values]),
        lambda values, names: record(dict(zip(names, values, strict=True))),
    )
