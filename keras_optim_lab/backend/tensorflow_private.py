"""What is used of TensorFlow that TensorFlow does not publish: each name once, and what for.

After an update of TensorFlow the tests of `NAMES` say which of them is gone.
"""

import tensorflow as tf

NAMES = {
    "tensorflow.__internal__.distribute.interim.maybe_merge_call": "as Keras updates weights:"
    " replicas wait for each other only where their strategy asks for it",
    "tensorflow.function()._omit_frequent_tracing_warning": "no option of a function does that",
}

maybe_merge_call = tf.__internal__.distribute.interim.maybe_merge_call


def without_tracing_warning(program):
    """The function, which TensorFlow does not count among others of its code that were traced."""
    program._omit_frequent_tracing_warning = True
    return program
