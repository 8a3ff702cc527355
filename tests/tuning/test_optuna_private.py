"""What this package uses of Optuna beyond what it promises is there."""

import importlib
import re
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import keras_optim_lab
from keras_optim_lab.tuning.storages import optuna_private

pytestmark = pytest.mark.once


@pytest.mark.parametrize("path", sorted(optuna_private.NAMES))
def test_optuna_has_it(path, tmp_path):
    parts = path.split(".")
    count = next(n for n in range(len(parts), 0, -1) if _is_module(".".join(parts[:n])))
    found = importlib.import_module(".".join(parts[:count]))
    for name in parts[count:]:
        if found is JournalStorage:
            found = JournalStorage(JournalFileBackend(str(tmp_path / "s.journal")))
        if isinstance(found, type) and issubclass(found, optuna.trial.BaseTrial):
            found = optuna.create_study().ask()
        if found is optuna.trial.FrozenTrial:
            found = optuna.create_trial(state=optuna.trial.TrialState.FAIL)
        assert hasattr(found, name), f"Optuna {optuna.__version__} has no {path}"
        found = getattr(found, name)


def _is_module(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        return False
    return True


def test_no_other_file_imports_what_is_private():
    root = Path(keras_optim_lab.__file__).parent
    private = re.compile(r"^\s*(from|import) optuna[\w.]*(\._| import _)", re.MULTILINE)
    found = [
        str(file.relative_to(root))
        for file in root.rglob("*.py")
        if private.search(file.read_text())
    ]
    assert found == ["tuning/storages/optuna_private.py"]
