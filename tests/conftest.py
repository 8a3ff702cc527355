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


BACKEND = keras.backend.backend()
ONCE = "jax"

# What Keras and the shell do around a rule depends on how they run it, not on what it computes.
# PyTorch, which compiles nothing here, tries that with every optimizer; elsewhere one of each kind.
EVERY_FORM = "torch"


if BACKEND == "tensorflow" and os.environ["XLA_FLAGS"]:
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def pytest_collection_finish():
    gc.freeze()  # see tests/__init__.py
    gc.enable()


def pytest_ignore_collect(collection_path):
    return _is_of_another(collection_path) or None


def pytest_collection_modifyitems(config, items):
    """The suite runs once for every backend; what one has no part in is not collected there."""
    applies = [_applies(item) for item in items]
    left_out = [item for item, here in zip(items, applies, strict=True) if not here]
    items[:] = [item for item, here in zip(items, applies, strict=True) if here]
    config.hook.pytest_deselected(items=left_out)


def _is_of_another(path) -> bool:
    """Whether a file is named after a backend that this one is not."""
    others = {"tensorflow", "jax", "torch"} - {BACKEND}
    return path.name.startswith(tuple(f"test_{other}_" for other in others))


def _applies(item) -> bool:
    if _is_of_another(item.path):  # a file that was asked for by name is read in any case
        return False
    once, only, shell = map(item.get_closest_marker, ("once", "only", "shell"))
    if once and (once.args or (ONCE,)) != (BACKEND,):
        return False
    if only and BACKEND not in only.args:
        return False
    everywhere = not shell or BACKEND == EVERY_FORM or item.config.option.keyword
    return bool(everywhere or _is_a_kind(item))


def _is_a_kind(item) -> bool:
    """Whether a test has no optimizer among its parameters, or one that stands for its kind."""
    params = item.callspec.params.values() if hasattr(item, "callspec") else ()
    names = [getattr(value, "id", None) or getattr(value, "__name__", value) for value in params]
    known, kinds = _forms()
    forms = {_plain(name) for name in names if isinstance(name, str)} & known
    return not forms or bool(forms & kinds)


@cache
def _forms() -> tuple[set[str], set[str]]:
    """All forms of optimizers, and those that stand for their kind."""
    from tests.optimizers.table import CASES, KINDS

    known = {_plain(name) for case in CASES for name in (case.id, case.name)}
    return known, {_plain(kind) for kind in KINDS}


def _plain(name: str) -> str:
    return name.lower().replace("_", "")
