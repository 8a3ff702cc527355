"""Packages that only some tasks need, imported when such a task is asked for."""

from importlib import import_module
from typing import Any


def require(module: str, *, package: str, extra: str) -> Any:
    """Imports `module`, or says which extra of this project brings its `package`."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"The data of this task need {package}, and {error.name} is not installed. "
            f'Run: pip install "keras-optim-lab[{extra}]"',
            name=error.name,
        ) from error
