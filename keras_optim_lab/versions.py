"""What a result was made with."""

import platform
from collections.abc import Mapping
from importlib.metadata import version

import keras_optim_lab

OWN = "keras-optim-lab"


def versions(*packages: str) -> dict[str, str]:
    """Versions by name of package, and Python's."""
    own = {OWN: keras_optim_lab.__version__}  # also where it runs without being installed
    found = {name: own.get(name) or version(name) for name in packages}
    return {**found, "python": platform.python_version()}


def versions_of_study(backend: str) -> dict[str, str]:
    """Those of all that the trials of a study may depend on."""
    return versions(OWN, "keras", backend, "optuna", "numpy")


def in_a_line(versions: Mapping[str, str]) -> str:
    """`keras 3.15.1, jax 0.10.2, python 3.12.3`."""
    return ", ".join(f"{name} {number}" for name, number in versions.items())
