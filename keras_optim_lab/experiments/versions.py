"""What a result was made with."""

import platform
from importlib.metadata import version

import keras_optim_lab


def versions(backend: str) -> dict[str, str]:
    """Versions by name of package, `backend` among them."""
    packages = ("keras", backend, "optuna", "numpy")
    return {
        "keras-optim-lab": keras_optim_lab.__version__,
        **{name: version(name) for name in packages},
        "python": platform.python_version(),
    }
