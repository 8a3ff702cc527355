"""Which backend Keras runs on: the one asked for, else the configured one, else the first found."""

import json
import subprocess
import sys

import keras
import pytest

from keras_optim_lab import backend
from keras_optim_lab.backend import selection

ALL = ["jax", "tensorflow", "torch"]


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with these backends, before Keras is imported."""

    def prepare(*, installed=ALL, environment=None, configured=None):
        monkeypatch.setattr(selection, "installed", lambda: list(installed))
        monkeypatch.delitem(sys.modules, "keras")
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        monkeypatch.setenv("KERAS_BACKEND", environment or "")
        if configured is not None:
            (tmp_path / "keras.json").write_text(configured)

    return prepare


def configuration(name):
    return json.dumps({"backend": name, "floatx": "float32"})


def test_the_one_asked_for_goes_before_all_others(machine):
    machine(environment="jax", configured=configuration("tensorflow"))
    assert backend.select("torch") == "torch"


def test_the_environment_goes_before_the_configuration_of_keras(machine):
    machine(environment="torch", configured=configuration("tensorflow"))
    assert backend.select() == "torch"


def test_the_configuration_of_keras_goes_before_our_order(machine):
    machine(configured=configuration("torch"))
    assert backend.select() == "torch"


@pytest.mark.parametrize(
    "configured", [None, configuration("tensorflow"), configuration("numpy"), "{}", "not json"]
)
def test_a_configuration_that_names_no_installed_backend_does_not_count(machine, configured):
    machine(installed=["jax", "torch"], configured=configured)
    assert backend.select() == "jax"


def test_the_choice_is_left_in_the_environment_for_keras(machine, monkeypatch):
    import os

    machine(installed=["torch"])
    backend.select()
    assert os.environ["KERAS_BACKEND"] == "torch"


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_an_unknown_backend_is_refused_with_the_known_ones(machine, how):
    machine(installed=["jax"], environment="theano" if how == "environment" else None)
    with pytest.raises(ValueError, match=r"'theano'.*jax, tensorflow, torch; installed: jax"):
        backend.select("theano" if how == "argument" else None)


def test_a_backend_that_is_not_installed_is_refused_with_how_to_install_it(machine):
    machine(installed=["jax"])
    with pytest.raises(ModuleNotFoundError, match=r'"keras-optim-lab\[torch\]".*Installed: jax'):
        backend.select("torch")


def test_without_any_backend_the_error_says_how_to_get_one(machine):
    machine(installed=[])
    with pytest.raises(ModuleNotFoundError, match=r'none is installed.*pip install "keras-optim'):
        backend.select()


def test_a_process_keeps_the_backend_that_keras_was_imported_with():
    active = keras.backend.backend()
    assert backend.select(active) == active
    other = next(name for name in ALL if name != active)
    with pytest.raises(RuntimeError, match=rf"runs on '{active}' already.*KERAS_BACKEND={other}"):
        backend.select(other)


def test_installed_backends_are_found_without_importing_them():
    program = (
        "import sys; from keras_optim_lab.backend import installed; print(*installed()); "
        "print(*{'jax', 'tensorflow', 'torch', 'keras'} & sys.modules.keys())"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    found, imported = run.stdout.split("\n")[:2]
    assert keras.backend.backend() in found.split()
    assert imported == ""
