"""Which backend Keras runs on; to be settled before Keras is imported."""

import importlib.util
import json
import os
import sys
from pathlib import Path

# In the order in which a backend is chosen where nobody chose: by speed of small models on a CPU.
BACKENDS = ("jax", "tensorflow", "torch")


def installed() -> list[str]:
    """Backends that can be imported, found without importing them."""
    return [name for name in BACKENDS if importlib.util.find_spec(name) is not None]


def select(name: str | None = None) -> str:
    """Makes Keras run on a backend and returns its name.

    Args:
        name: of the backend; None for the one that `KERAS_BACKEND` or Keras's configuration
            file names, or else for the first that is installed.

    Raises:
        ValueError: there is no such backend.
        ModuleNotFoundError: it is not installed.
        RuntimeError: Keras has been imported with another one.
    """
    found = installed()
    wanted = name or os.environ.get("KERAS_BACKEND") or _configured()
    if wanted is None:
        if not found:
            raise ModuleNotFoundError(
                "Keras needs a backend and none is installed. Install one: "
                'pip install "keras-optim-lab[jax]" (or [tensorflow], [torch]).'
            )
        wanted = found[0]
    if wanted not in BACKENDS:
        raise ValueError(
            f"There is no backend {wanted!r}. There are: {', '.join(BACKENDS)}; "
            f"installed: {', '.join(found) or 'none'}."
        )
    if wanted not in found:
        raise ModuleNotFoundError(
            f'The backend {wanted!r} is not installed: pip install "keras-optim-lab[{wanted}]". '
            f"Installed: {', '.join(found) or 'none'}."
        )
    keras = sys.modules.get("keras")
    if keras is not None and keras.backend.backend() != wanted:
        raise RuntimeError(
            f"Keras runs on {keras.backend.backend()!r} already; a process has one backend. "
            f"Set KERAS_BACKEND={wanted} before Python starts."
        )
    os.environ["KERAS_BACKEND"] = wanted
    return wanted


def _configured() -> str | None:
    """The backend that Keras's configuration file names, if it is there and installed."""
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    try:
        named = json.loads((home / "keras.json").read_text()).get("backend")
    except (OSError, ValueError):
        return None
    # Keras writes this file at its first import, with "tensorflow" whether it is there or not.
    return named if named in installed() else None
