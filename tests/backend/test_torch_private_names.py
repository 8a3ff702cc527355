"""What PyTorch does not publish and is used all the same: an update that takes it away is told."""

from pkgutil import resolve_name

import pytest

from keras_optim_lab.backend.torch.private import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_private_name_of_pytorch_is_still_there(name):
    try:
        resolve_name(name)
    except (AttributeError, ImportError):
        pytest.fail(f"{name} is gone: {NAMES[name]}")
