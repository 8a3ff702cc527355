"""Random numbers of Keras's on JAX, drawn by a few programs instead of one for each shape."""

import contextlib
import functools
import math

import jax
import keras
import numpy as np

from keras_optim_lab.keras_private import jax_random

_LEAST, _MOST = 2**14, 2**22  # numbers of a program
_DRAW = ("uniform", "normal", "truncated_normal")


@contextlib.contextmanager
def by_few_programs():
    """Within it, what Keras draws from a whole number is the beginning of a longer vector.

    The numbers are the same, since number i depends on the seed and on i alone. To compile them for
    one shape takes from a quarter of a second to a whole one.
    """
    kept = {name: getattr(jax_random, name) for name in _DRAW}
    if not jax.config.values["jax_threefry_partitionable"]:  # the shape matters then
        kept = {}
    for name, draw in kept.items():
        setattr(jax_random, name, _beginning_of_longer(draw))
    try:
        yield
    finally:
        for name, draw in kept.items():
            setattr(jax_random, name, draw)


def _beginning_of_longer(draw):
    @functools.wraps(draw)
    def drawn(shape, *numbers, seed=None, **named):
        of_one = all(np.ndim(each) == 0 for each in (*numbers, *named.values()))
        count = math.prod(shape)
        if not isinstance(seed, int) or not of_one or not 0 < count <= _MOST:
            return draw(shape, *numbers, seed=seed, **named)
        longer = max(_LEAST, 1 << (count - 1).bit_length())
        vector = draw((longer,), *numbers, seed=seed, **named)
        if isinstance(vector, jax.core.Tracer):
            return vector[:count].reshape(shape)
        return keras.ops.convert_to_tensor(np.asarray(vector)[:count].reshape(shape))

    return drawn
