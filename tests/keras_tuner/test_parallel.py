"""Several tuners on one search."""

import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import keras_tuner
import optuna
import pytest
from keras_tuner.src.distribute import oracle_chief

import keras_optim_lab as kol
from keras_optim_lab.tuning.storages.storage import load_study
from tests.keras_tuner.searches import EpochTuner, search

pytestmark = pytest.mark.once

SECONDS = 60  # after which a test has hung


class Thread(threading.Thread):
    """A thread whose error is raised in the test."""

    def run(self):
        self.error = None
        try:
            super().run()
        except BaseException as error:
            self.error = error

    def finish(self):
        self.join(SECONDS)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error


def loss(hp):
    kind = hp.Choice("kind", ["a", "b"])
    with hp.conditional_scope("kind", ["b"]):
        late = hp.Int("late", 1, 9)
    return hp.Float("x", 0, 1) + (late if kind == "b" else 0)


def test_oracles_with_projects_of_their_own_share_a_storage():
    file = Path("shared.journal")
    hp = keras_tuner.HyperParameters()
    loss(hp)

    def work(seed):
        arguments = {"storage": file, "study_name": "shared", "hyperparameters": hp.copy()}
        search(loss, project=f"worker-{seed}", seed=seed, max_trials=5, **arguments)

    threads = [Thread(target=work, args=(seed,), daemon=True) for seed in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.finish()
    trials = load_study("shared", file)[0].trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 10
    assert len({trial.user_attrs["keras_tuner_oracle"] for trial in trials}) == 2
    for trial in trials:
        assert trial.value == trial.params["x"] + trial.params.get("late", 0)


class EverySecondInSecondEpoch(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        return trial.number % 2 == 1 and trial.last_step >= 1


@pytest.fixture
def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_workers_ask_a_chief_over_the_network_and_their_trials_are_pruned(monkeypatch, free_port):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(free_port))
    # A chief looks every 20 s whether its workers have left.
    hurried = SimpleNamespace(sleep=lambda seconds: time.sleep(0.02))
    monkeypatch.setattr(oracle_chief, "time", hurried)
    runs = []

    def losses(hp):
        runs.append(loss(hp))
        if len(runs) == 3:
            raise RuntimeError("fails once")
        return [runs[-1] + 2, runs[-1] + 1, runs[-1]]

    def tuner(tuner_id):
        """What the script makes that every process runs."""
        monkeypatch.setenv("KERASTUNER_TUNER_ID", tuner_id)
        oracle = kol.keras_tuner.OptunaOracle(
            "val_loss",
            max_trials=8,
            seed=0,
            pruner=EverySecondInSecondEpoch(),
            max_retries_per_trial=1,
        )
        return EpochTuner(oracle, losses, directory="kt", project_name="chief")

    chief = tuner("chief")
    chief.save()
    threads = [Thread(target=oracle_chief.start_server, args=(chief.oracle,), daemon=True)]
    for name in ("worker-1", "worker-2"):
        threads.append(Thread(target=tuner(name).search, kwargs={"verbose": 0}, daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.finish()

    stored = chief.oracle.study.trials
    states = [trial.state.name for trial in stored]
    assert len(stored) == len(runs) == 9
    assert states.count("FAIL") == 1
    failed = stored[states.index("FAIL")]
    assert [trial.params for trial in stored].count(failed.params) == 2
    for trial in stored:
        if trial.state.name != "FAIL":
            assert trial.state.name == ("PRUNED" if trial.number % 2 else "COMPLETE")
            assert len(trial.intermediate_values) == (2 if trial.number % 2 else 3)
        assert ("late" in trial.params) == (trial.params["kind"] == "b")
    assert [trial.status for trial in chief.oracle.trials.values()] == ["COMPLETED"] * 8
