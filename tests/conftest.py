"""What holds for the whole suite."""

import keras
import pytest

ONCE = "jax"


def pytest_collection_modifyitems(items):
    """The suite runs once for every backend; what none of them has a part in is tried on one."""
    if keras.backend.backend() == ONCE:
        return
    for item in items:
        if item.get_closest_marker("once"):
            item.add_marker(pytest.mark.skip(reason=f"the same on every backend: run on {ONCE}"))
