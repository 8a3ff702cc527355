"""What holds for the whole suite."""

import os

# XLA compiles most programs of the tests for a few steps: optimizing them takes four times as long
# as all the rest. XLA_FLAGS="" tries them as a user's are compiled.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false",
)

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
