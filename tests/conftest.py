"""What holds for the whole suite."""

import gc
import os
from functools import cache

# Most programs of the tests run for a few steps: optimizing them takes four times as long as all
# the rest, and compiling their parts side by side as long again. XLA_FLAGS="" tries them as a
# user's are compiled.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)

import keras
import pytest

from tests.agreement import WRITES, Agreement
from tests.browsers import browser

__all__ = ["browser"]  # once for all folders: a process can run one browser


@pytest.fixture(scope="session")
def agreement():
    """Called with an optimizer, what it is compared with and how far the two are apart."""
    found = Agreement()
    yield found
    if WRITES:
        found.write()


ONCE = "jax"

# What Keras and the shell do around a rule depends on how they run it, not on what it computes.
# PyTorch, which compiles nothing here, tries that with every optimizer; elsewhere one of each kind
# does: joined, with state shared by all weights; with slots of other shapes; with decay within the
# rule; by matrix; across all weights; showing an average.
EVERY_FORM = "torch"
KINDS = {"nadam", "adafactor", "lamb", "muon", "prodigy", "schedule_free_adamw"}


if keras.backend.backend() == "tensorflow" and os.environ["XLA_FLAGS"]:
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def pytest_collection_finish():
    gc.freeze()  # see tests/__init__.py
    gc.enable()


def pytest_collection_modifyitems(items):
    """The suite runs once for every backend; what none of them has a part in is tried on one."""
    backend = keras.backend.backend()
    for item in items:
        once = item.get_closest_marker("once")
        (there,) = once.args or (ONCE,) if once else (backend,)
        if backend != there:
            item.add_marker(pytest.mark.skip(reason=f"the same on every backend: run on {there}"))
        skips = item.get_closest_marker("shell") and not item.config.option.keyword
        if skips and backend != EVERY_FORM and not _is_a_kind(item):
            reason = f"the same for every optimizer: all of them on {EVERY_FORM}, here one a kind"
            item.add_marker(pytest.mark.skip(reason=reason))


def _is_a_kind(item) -> bool:
    """Whether a test has no optimizer among its parameters, or one that stands for its kind."""
    params = item.callspec.params.values() if hasattr(item, "callspec") else ()
    names = [getattr(value, "id", None) or getattr(value, "__name__", value) for value in params]
    known = {_plain(name) for name in _forms()}
    forms = {_plain(name) for name in names if isinstance(name, str)} & known
    return not forms or bool(forms & {_plain(kind) for kind in KINDS})


@cache
def _forms() -> frozenset[str]:
    from tests.optimizers.table import CASES

    return frozenset({case.id for case in CASES} | {case.name for case in CASES})


def _plain(name: str) -> str:
    return name.lower().replace("_", "")
