"""What TensorFlow does not publish and is used all the same: an update that takes it is told."""

from pkgutil import resolve_name

import pytest
import tensorflow as tf

from keras_optim_lab.backend.tensorflow_private import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_private_name_of_tensorflow_is_still_there(name):
    tf.random.set_seed(0)  # a process has no generator before its first seed
    try:
        owner, called, attribute = name.partition("().")
        found = resolve_name(owner)
        given = [lambda: tf.constant(0)] if found is tf.function else []
        assert not called or hasattr(found(*given), attribute)
    except (AssertionError, AttributeError, ImportError):
        pytest.fail(f"{name} is gone: {NAMES[name]}")
