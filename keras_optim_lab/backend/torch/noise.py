"""Noise from seeds and steps; `backend.interface` says what each does."""

import math

import torch

from keras_optim_lab.backend.murmur import mixed
from keras_optim_lab.keras_private import get_device


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
        key = torch.as_tensor(self._key * 0x9E3779B1 + self._calls & 0xFFFFFFFF).int()
        numbers = torch.arange(math.prod(x.shape), dtype=torch.int32, device=x.device)
        drawn = mixed(mixed(key) + numbers.reshape(x.shape)).long() & 0xFFFFFFFF
        kept = drawn >= int(p * 2**32)
        return torch.where(kept, x / (1.0 - p), torch.zeros_like(x))


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
