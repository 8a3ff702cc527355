from dataclasses import replace

import pytest

from keras_optim_lab.experiments.experiment import load
from keras_optim_lab.tasks import catalogue
from keras_optim_lab.tuning.engines import default
from keras_optim_lab.tuning.executors import choosing
from tests.studies import Formula
from tests.test_cli import SMALL


class Counting(Formula):
    """A formula in place of training that keeps count of what it was asked for."""

    trained = 0
    stop_after = None

    def run(self, task, candidates):
        super().run(task, self._counted(candidates))

    def _counted(self, candidates):
        for candidate in candidates:
            if Counting.stop_after == Counting.trained:
                raise KeyboardInterrupt
            yield candidate
            Counting.trained += 1


@pytest.fixture
def engine(monkeypatch, tmp_path):
    """An empty folder with small tasks, whose losses follow from the learning rate."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("small", "smaller", "smallest"):
        monkeypatch.setitem(catalogue._DECLARED, name, replace(SMALL, name=name))
    monkeypatch.setattr(Counting, "trained", 0)
    monkeypatch.setattr(Counting, "stop_after", None)
    for module in (default, choosing):
        monkeypatch.setattr(module, "PopulationEngine", lambda *_: Counting())
    return Counting


@pytest.fixture
def experiment(engine, tmp_path):
    """Makes the experiment of a text, anew each time."""

    def make(text, name="mine", backend=None):
        folder = tmp_path / "experiments"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
        return load(f"experiments/{name}.toml", backend)

    return make
