"""What is used of other packages that they do not publish: an update that takes it away is told."""

from importlib import import_module

import keras
import pytest

from keras_optim_lab import keras_private
from keras_optim_lab.keras_tuner import private as keras_tuner_private


def _owner(path: str):
    """A module by its name, or what its class makes without arguments, or an attribute of that."""
    if "()" not in path:
        return import_module(path)
    path, _, attribute = path.partition("()")
    module, _, made = path.rpartition(".")
    owner = getattr(import_module(module), made)()
    if isinstance(owner, keras.optimizers.Optimizer):  # one that keeps all that it can
        owner = type(owner)(use_ema=True, gradient_accumulation_steps=2)
        owner.build([keras.Variable([0.0])])
    return getattr(owner, attribute[1:]) if attribute else owner


@pytest.mark.parametrize("name", keras_private.NAMES)
def test_a_private_name_of_keras_is_still_there(name):
    owner, _, attribute = name.rpartition(".")
    assert hasattr(_owner(owner), attribute), f"{name}: {keras_private.NAMES[name]}"


@pytest.mark.once
@pytest.mark.parametrize("name", keras_tuner_private.NAMES)
def test_a_private_name_of_keras_tuner_is_still_there(name):
    owner, _, attribute = name.rpartition(".")
    assert hasattr(_owner(owner), attribute), f"{name}: {keras_tuner_private.NAMES[name]}"
