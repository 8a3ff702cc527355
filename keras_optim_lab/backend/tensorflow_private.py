"""What is used of TensorFlow that TensorFlow does not publish: each name once, and what for.

After an update of TensorFlow the tests of `NAMES` say which of them is gone.
"""

import contextlib
import random

import tensorflow as tf
from tensorflow.python.eager.context import context

NAMES = {
    "tensorflow.__internal__.distribute.interim.maybe_merge_call": "as Keras updates weights:"
    " replicas wait for each other only where their strategy asks for it",
    "tensorflow.function()._omit_frequent_tracing_warning": "no option of a function does that",
    "tensorflow.python.eager.context.context()._seed": "the seed of what draws eagerly:"
    " `tf.random.set_seed` forgets every prepared function too",
    "tensorflow.python.eager.context.context()._rng": "tells whether anything has drawn from it",
}

maybe_merge_call = tf.__internal__.distribute.interim.maybe_merge_call


def without_tracing_warning(program):
    """The function, which TensorFlow does not count among others of its code that were traced."""
    program._omit_frequent_tracing_warning = True
    return program


@contextlib.contextmanager
def prepared_functions_kept():
    """Within it `tf.random.set_seed` does not have every function prepared anew for its next call.

    That takes up to a second, and is needed only if something has drawn from the former seed.
    """
    set_seed = tf.random.set_seed

    def set_and_keep(seed):
        now = context()
        rng = getattr(now, "_rng", None)  # there is none before the first seed of a process
        if rng is None or rng.getstate() != random.Random(now._seed).getstate():
            set_seed(seed)
        else:
            now._seed, now._rng = seed, random.Random(seed)

    tf.random.set_seed = set_and_keep
    try:
        yield
    finally:
        tf.random.set_seed = set_seed
