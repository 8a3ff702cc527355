"""What is used of Keras that it does not publish: an update that takes it away is told by name."""

from importlib import import_module

import keras
import pytest

from keras_optim_lab.keras_private import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_private_name_of_keras_that_is_used_is_there(name):
    owner, _, attribute = name.rpartition(".")
    holder = keras.Model() if owner == "keras.Model()" else import_module(owner)
    assert hasattr(holder, attribute), f"{name} is gone. It was used because {NAMES[name]}."
