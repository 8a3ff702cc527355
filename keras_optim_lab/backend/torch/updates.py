"""Steps of an optimizer; `backend.interface` says what each does."""

import contextlib

import torch

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


def eagerly(optimizer):
    return contextlib.nullcontext()


def beside(optimizer, variable):
    return contextlib.nullcontext()


def on_every_device(optimizer, update, gradients, indices):
    with torch.no_grad():
        update(gradients, indices)


def run(execution, write, gradients, h):
    write(gradients, h)
