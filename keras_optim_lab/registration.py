"""Has Keras know the classes of this package as soon as both are imported, in either order.

Keras finds a class of a saved model by the name that the class's module has registered, and never
imports that module for it. The package imports its modules when they are first used, so that
`keras.models.load_model` would know none of them.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

# What registers classes and functions.
_REGISTERING = (
    "keras_optim_lab.optimizers",
    "keras_optim_lab.schedules",
    "keras_optim_lab.curvature",
    "keras_optim_lab.tasks.built_in.quadratic",
)


# All of them need this one: where it is what imports Keras, they have to wait for its end.
_FIRST = "keras_optim_lab.keras_private"
_waiting = False


def register_with_keras() -> None:
    """Registers what saved models may name: at once if Keras is imported, else once it is."""
    if "keras" in sys.modules:
        _register()
    elif not any(isinstance(finder, _OnceKerasIsImported) for finder in sys.meta_path):
        sys.meta_path.insert(0, _OnceKerasIsImported())


def register_what_waits() -> None:
    """Registers what could not be imported before the module that calls this."""
    if _waiting:
        _register()


def _register() -> None:
    global _waiting
    _waiting = not _waiting and _FIRST in sys.modules
    if _waiting:
        return
    for module in _REGISTERING:
        import_module(module)


class _OnceKerasIsImported(MetaPathFinder):
    """Finds Keras as all others do, and has it followed by what registers with it."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname != "keras":
            return None
        sys.meta_path.remove(self)
        try:
            spec = find_spec(fullname)
        finally:
            sys.meta_path.insert(0, self)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def followed(module: ModuleType) -> None:
                execute(module)
                _register()

            spec.loader.exec_module = followed  # type: ignore[method-assign]
        return spec
