import pytest

from keras_optim_lab import results
from keras_optim_lab.results import TuningResult
from tests.fit_without_xla import fit_without_xla  # noqa: F401
from tests.studies import Formula, small_task


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    """Studies are kept below the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def task():
    return small_task()


@pytest.fixture
def by_formula(monkeypatch):
    """Lets `tune` compute losses instead of training; a test may pass its own formula."""

    def use(**formula):
        monkeypatch.setattr(results, "PopulationEngine", lambda *_: Formula(**formula))

    use()
    return use


@pytest.fixture
def make_study(task):
    """A study of Adam, or of what the test asks for, that has not begun."""
    return lambda **changes: TuningResult.create(
        **{"task": task, "optimizer": "adam", "name": "study", **changes}
    )
