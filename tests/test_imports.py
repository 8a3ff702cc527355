"""What an import brings along, and that only the backend may import a framework."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import keras_optim_lab as kol

REPOSITORY = Path(__file__).parent.parent
pytestmark = pytest.mark.once


def modules_after(statement, before="pass"):
    """The modules that a statement imports, in a fresh process in which `before` was run."""
    program = (
        f"import sys; {before}; had = set(sys.modules); {statement}; "
        "print(*sys.modules.keys() - had)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


def test_the_package_alone_imports_no_keras():
    imported = modules_after("import keras_optim_lab as kol; dir(kol); kol.__version__")
    assert "keras_optim_lab" in imported
    assert not imported & {"keras", "numpy", "optuna", "tensorflow", "jax", "torch"}


def test_optimizers_bring_neither_optuna_nor_plotly_nor_the_commands_packages_along():
    imported = modules_after("import keras_optim_lab.optimizers", before="import keras")
    assert "keras_optim_lab.optimizers" in imported
    assert not imported & {"optuna", "plotly", "typer", "rich.progress", "sklearn", "sqlalchemy"}
    assert "keras_tuner" not in imported
    # Keras brings rich itself along, but none of what a page is made of.
    assert not imported & {"keras_optim_lab.optimizer_page", "rich.padding"}
    own = {name for name in imported if name.startswith("keras_optim_lab.")}
    layers = {name.split(".")[1] for name in own}
    # The package has its classes registered with Keras, among them a layer of a built-in task.
    allowed = {"optimizers", "curvature", "functional", "schedules", "backend", "tasks"}
    below = {"forward_pass", "keras_private", "registration", "arguments"}
    assert layers <= allowed | below


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Models whose files name an optimizer in another, a schedule, a model, a layer and a loss."""
    folder = tmp_path_factory.mktemp("saved")
    layers = [keras.Input((4,)), keras.layers.Dense(1)]
    wrapped = keras.Sequential(layers)
    wrapped.compile(kol.Lookahead(kol.Adam(kol.schedules.InverseSquareRoot(1e-3, 10))), "mse")
    curved = kol.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    curved.compile(kol.LBFGS(), "mse")
    bowl = kol.tasks.get("quadratic-deep").build("adam", seed=0)
    models = {"wrapped": wrapped, "curved": curved, "bowl": bowl}
    for name, model in models.items():
        model.save(folder / f"{name}.keras")
    return {
        str(folder / f"{name}.keras"): json.dumps(model.optimizer.get_config())
        for name, model in models.items()
    }


@pytest.mark.parametrize(
    "imports",
    [
        "import keras_optim_lab; import keras",
        "import keras; import keras_optim_lab",
        "from keras_optim_lab import backend; from keras.models import load_model; import keras",
    ],
)
def test_a_saved_model_is_loaded_after_the_import_of_the_package_alone(saved, imports):
    program = (
        f"import json; {imports}; models = map(keras.models.load_model, {[*saved]}); "
        "print(*(json.dumps(model.optimizer.get_config()) for model in models), sep='\\n')"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout.splitlines() == [*saved.values()], run.stderr


def test_a_process_that_imports_keras_alone_loads_a_model_without_its_optimizer(saved):
    wrapped = next(iter(saved))
    program = (
        f"import keras; model = keras.models.load_model({wrapped!r}, compile=False); "
        "print(model.count_params())"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout.strip() == "5", run.stderr


def test_schedules_can_be_imported_before_the_optimizers():
    assert "keras_optim_lab.optimizers" in modules_after("import keras_optim_lab.schedules")


def test_a_command_may_still_choose_the_backend_when_all_commands_are_imported():
    imported = modules_after("import keras_optim_lab.cli, keras_optim_lab.experiments.experiment")
    assert not imported & {"keras", "numpy", "optuna", "tensorflow", "jax", "torch"}


@pytest.mark.parametrize("name", kol.__all__)
def test_every_public_name_is_there(name):
    assert name in dir(kol)
    assert getattr(kol, name) is not None


def test_a_public_name_that_is_a_module_is_there_before_anything_is_imported():
    assert "keras_optim_lab.landscapes.surfaces" in modules_after(
        "import keras_optim_lab as kol; kol.surfaces"
    )


def test_a_star_imports_what_is_public():
    namespace = {}
    exec("from keras_optim_lab import *", namespace)
    assert namespace.keys() - {"__builtins__"} == {*kol.__all__}
    assert {"Adam", "Lookahead", "Newton", "optimizers", "tune"} <= {*kol.__all__}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'keras_optim_lab' has no attribute 'adam'"):
        _ = kol.adam


def test_a_name_that_is_nearly_right_is_asked_for():
    with pytest.raises(AttributeError, match=r"has no attribute 'Adma'\. Did you mean .*'Adam'"):
        _ = kol.Adma


FRAMEWORKS = ["import tensorflow as tf", "import jax", "from jax import numpy", "import torch"]


def refused(path, line):
    """Whether the linter's import rule refuses `line` in a file of the package."""
    run = subprocess.run(
        [
            *(sys.executable, "-m", "ruff", "check", "--select", "TID251", "--no-cache"),
            *("--stdin-filename", f"keras_optim_lab/{path}", "-"),
        ],
        input=f"{line}\n",
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert run.returncode in (0, 1), run.stderr
    assert ("TID251" in run.stdout) == (run.returncode == 1)
    return run.returncode == 1


@pytest.mark.parametrize("path", ["x.py", "optimizers/rules/x.py", "tuning/x.py"])
def test_the_linter_refuses_frameworks_outside_of_the_backend(path):
    assert [line for line in FRAMEWORKS if not refused(path, line)] == []


def test_the_linter_allows_frameworks_in_the_backend():
    assert [line for line in FRAMEWORKS if refused("backend/x.py", line)] == []
