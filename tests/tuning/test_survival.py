"""A study goes on after its processes were killed, and after its database was away."""

import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages._rdb.models import TrialHeartbeatModel
from optuna.trial import TrialState
from sqlalchemy import select
from sqlalchemy.exc import OperationalError, ProgrammingError

from keras_optim_lab.tuner import TuningResult
from keras_optim_lab.tuning import study as study_module
from keras_optim_lab.tuning.asked import Asked
from keras_optim_lab.tuning.storages import retrying
from keras_optim_lab.tuning.storages.abandoned import retry
from keras_optim_lab.tuning.storages.buffered import BufferedStorage
from keras_optim_lab.tuning.storages.heartbeat import take_up_abandoned
from keras_optim_lab.tuning.storages.retrying import patiently
from keras_optim_lab.tuning.storages.storage import open_storage
from keras_optim_lab.tuning.storages.urls import with_driver
from tests.studies import Formula, small_task

pytestmark = pytest.mark.once("torch")  # which has the least to do

KILL_WORKERS = Path(__file__).parents[2] / "scripts" / "kill_workers.py"


def a_result(storage, **changes):
    return TuningResult.create(
        small_task(),
        "adam",
        **{"name": "s", "storage": storage, "sampler": "random", "pruner": "none", **changes},
        start="none",
    )


def test_killed_processes_lose_nothing_and_nothing_is_told_twice(storage, tmp_path):
    run = subprocess.run(
        [sys.executable, KILL_WORKERS, "--trials=30", "--kills=8", f"--storage={storage}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "30 of 30 trials finished, with 30 different seeds" in run.stdout


# Abandoned trials.


def dead(storage, asked=2):
    """Leaves a study with trials in flight, as a killed process does."""
    result = a_result(storage)
    asking = iter(Asked(result, 10, []))
    candidates = [next(asking) for _ in range(asked)]
    result.storage.storage._lock.release()
    return candidates


def test_trials_in_flight_are_trained_again_with_the_same_settings_and_seeds(tmp_path):
    storage = tmp_path / "s.journal"
    abandoned = dead(storage)
    result = a_result(storage)
    result.run(5, Formula())
    assert len(result.finished_trials) == 5
    failed = [trial for trial in result.study.trials if trial.state == TrialState.FAIL]
    assert [trial.number for trial in failed] == [each.trial.number for each in abandoned]
    for candidate, trial in zip(abandoned, result.finished_trials, strict=False):
        assert trial.params == candidate.trial.params
        assert trial.user_attrs["seed"] == candidate.runs[0].seed
        assert trial.system_attrs["retry_history"] == [candidate.trial.number]
    assert len({trial.user_attrs["seed"] for trial in result.finished_trials}) == 5


def test_a_process_killed_while_it_takes_up_a_trial_loses_it_not(tmp_path):
    storage = tmp_path / "s.journal"
    abandoned = dead(storage, asked=1)
    open_storage(storage, "s").set_trial_state_values(0, TrialState.FAIL)
    result = a_result(storage)
    result.run(2, Formula())
    assert result.finished_trials[0].params == abandoned[0].trial.params


def test_a_trial_that_others_gave_up_while_it_was_told_is_still_to_be_trained(tmp_path):
    storage = tmp_path / "s.journal"
    result = a_result(storage)
    asked = Asked(result, 3, [])
    with asked.together():
        candidate = next(asked)
    open_storage(storage, "s").set_trial_state_values(candidate.trial._trial_id, TrialState.FAIL)
    with asked.together():
        for epoch in range(2):
            candidate.report(epoch, {"loss": 1.0, "val_loss": 1.0})
        candidate.__exit__(None, None, None)
        assert asked.left == 2  # as far as this process knows
    take_up_abandoned(result.study, result.storage)
    assert asked.left == 3


def test_a_trial_that_two_processes_take_up_is_trained_once(tmp_path):
    storage = tmp_path / "s.journal"
    dead(storage, asked=1)
    result = a_result(storage)
    take_up_abandoned(result.study, result.storage)
    retry(result.study, result.study.get_trials()[0])  # as another process at the same moment
    result.run(3, Formula())
    seeds = [trial.user_attrs["seed"] for trial in result.finished_trials]
    assert len(seeds) == len(set(seeds)) == 3


def test_a_trial_that_failed_by_itself_is_not_trained_again(tmp_path):
    def broken(loss, epoch):
        raise ZeroDivisionError("no result")

    result = a_result(tmp_path / "s.journal")
    with pytest.raises(ZeroDivisionError):
        result.run(1, Formula(logs=broken))
    result.run(1, Formula())
    failed, complete = result.study.trials
    assert failed.user_attrs["error"] == "ZeroDivisionError: no result"
    assert "retry_history" not in complete.system_attrs


def test_a_process_waits_for_the_trials_of_others_and_takes_them_up(tmp_path, monkeypatch):
    monkeypatch.setattr(study_module, "_PAUSE", 0.01)
    storage = tmp_path / "s.journal"
    other = a_result(storage)
    candidate = next(iter(Asked(other, 1, [])))
    result = a_result(storage)
    running = threading.Thread(target=result.run, args=(1, Formula()), daemon=True)
    running.start()
    time.sleep(0.3)
    assert running.is_alive()
    assert len(result.study.trials) == 1
    other.storage.storage._lock.release()
    running.join(60)
    assert [trial.state.name for trial in result.study.trials] == ["FAIL", "COMPLETE"]
    assert result.finished_trials[0].params == candidate.trial.params


def test_a_process_gives_signs_of_life_for_what_it_trains_in_a_database(postgres):
    storage = optuna.storages.RDBStorage(with_driver(postgres), heartbeat_interval=1)
    signs = set()

    def wait_for_signs(loss, epoch):
        deadline = time.monotonic() + 60
        while len(signs) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
            with storage.engine.connect() as connection:
                signs.update(connection.scalars(select(TrialHeartbeatModel.heartbeat)))
        return {"loss": loss, "val_loss": loss}

    a_result(storage).run(1, Formula(logs=wait_for_signs))
    assert len(signs) == 2


def test_a_trial_without_signs_of_life_in_a_database_is_abandoned(postgres):
    url = with_driver(postgres)
    storage = optuna.storages.RDBStorage(url, heartbeat_interval=1, grace_period=1)
    next(iter(Asked(a_result(storage), 1, [])))
    other = BufferedStorage(optuna.storages.RDBStorage(url, heartbeat_interval=1, grace_period=1))
    study = optuna.load_study(study_name="s", storage=other)
    deadline = time.monotonic() + 60
    while not (failed := other.fail_abandoned(study._study_id)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(failed) == 1
    assert [trial.state for trial in study.get_trials()] == [TrialState.FAIL]


def test_a_process_that_was_taken_for_dead_ends_the_trial_and_trains_others(tmp_path):
    storage = tmp_path / "s.journal"
    reports = []

    def logs(loss, epoch):
        if not reports:
            open_storage(storage, "s").set_trial_state_values(0, TrialState.FAIL)
        reports.append(epoch)
        return {"loss": loss, "val_loss": loss}

    result = a_result(storage)
    result.run(2, Formula(logs=logs))
    given_up, *others = result.study.trials
    assert given_up.state == TrialState.FAIL
    assert given_up.value is None
    assert [trial.state for trial in others] == [TrialState.COMPLETE] * 2
    assert others[-1].params == given_up.params  # in the queue, as those of dead processes are


# A database that is away.


def test_a_study_goes_on_when_its_database_comes_back(postgres_server, postgres, monkeypatch):
    monkeypatch.setattr(retrying, "_FIRST_PAUSE", 0.05)

    def restart(study, trial):
        if trial.number == 3:
            postgres_server.stop()
            threading.Timer(1.0, postgres_server.start).start()

    result = a_result(postgres)
    result.run(8, Formula(), callbacks=[restart])
    assert [trial.number for trial in result.finished_trials] == list(range(8))


def failing(errors):
    def call(value):
        if errors:
            raise errors.pop()
        return value

    return call


def test_calls_are_tried_again_after_longer_and_longer_pauses(monkeypatch):
    pauses = []
    monkeypatch.setattr(retrying.time, "sleep", pauses.append)
    errors = [OperationalError("select", {}, Exception("server closed")) for _ in range(9)]
    assert patiently(failing(errors), 3) == 3
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_after_five_minutes_the_databases_own_error_is_the_cause_of_one_line(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(retrying.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(retrying.time, "sleep", lambda pause: now.__setitem__(0, now[0] + pause))
    error = OperationalError("select", {}, Exception("server closed"))
    with pytest.raises(OSError, match=r"any more \(server closed\)\. It keeps .*") as failed:
        patiently(failing([error] * 1000), 3)
    assert failed.value.__cause__ is error
    assert "\n" not in str(failed.value)
    assert 300 < now[0] < 320


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ProgrammingError("select", {}, Exception("no such column")), ProgrammingError),
        (OperationalError("insert", {}, Exception("database or disk is full")), OSError),
        (OperationalError("insert", {}, Exception("disk I/O error")), OSError),
        (
            OperationalError("insert", {}, Exception("attempt to write a readonly database")),
            OSError,
        ),
        (KeyError("study"), KeyError),
    ],
)
def test_what_is_no_matter_of_the_connection_is_raised_at_once(error, raised, monkeypatch):
    monkeypatch.setattr(retrying.time, "sleep", lambda pause: pytest.fail("it waited"))
    with pytest.raises(raised):
        patiently(failing([error]), 3)


def test_a_database_on_a_full_disk_is_one_line_and_the_study_goes_on_later(tmp_path):
    storage = f"sqlite:///{tmp_path}/s.db"
    result = a_result(storage)
    result.run(1, Formula())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "s.db").stat().st_size, limits[1]))
    try:
        with pytest.raises(OSError, match=r"cannot be used any more \(.*disk") as failed:
            result.run(500, Formula())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(failed.value)
    again = a_result(storage)
    kept = len(again.finished_trials)
    assert 1 <= kept < 500
    again.run(kept + 1, Formula())
    assert len(again.finished_trials) == kept + 1
