"""Workers train what one process trains, lose nothing when they die, and end with their parent."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import keras
import optuna
import pytest
from optuna.trial import TrialState

import keras_optim_lab as kol
from keras_optim_lab import backend
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from keras_optim_lab.tuning.executors import Processes, processes
from keras_optim_lab.tuning.executors.executor import LostWorkerError
from keras_optim_lab.tuning.executors.processes import Process
from tests.studies import Formula, small_model, small_task

TRIALS = 10


@pytest.fixture(scope="module")
def two():
    """Two workers for all tests of this file: a process takes seconds to start."""
    with Processes(1) as executor:
        executor.count = 2  # also where there is one core
        yield executor


def study(executor=None, task=None, optimizer="adam", **options):
    options = {"trials": TRIALS, "sampler": "random", "start": "none", "confirm": 0} | options
    task = task or small_task()
    storage = optuna.storages.InMemoryStorage()
    return kol.tune(task, optimizer, folds=None, storage=storage, executor=executor, **options)


def curves(result):
    return {t.number: (t.params, t.intermediate_values, t.state) for t in result.study.trials}


def test_a_study_is_the_same_to_the_last_bit(two):
    told = []
    result = study(two, callbacks=[lambda _, trial: told.append(trial.number)])
    assert {t.user_attrs["worker"] for t in result.study.trials} <= {0, 1}
    assert sorted(told) == list(range(TRIALS))
    assert curves(result) == curves(study())
    assert result.study.user_attrs["engine"]["workers"] == 2


def test_an_optimizer_that_is_given_is_one_program_and_a_race_is_run_by_workers(two):
    options = {"optimizer": kol.Adam(clipnorm=1.0), "confirm": 2, "trials": 4}
    result, alone = study(two, **options), study(**options)
    assert result.confirmation == alone.confirmation
    assert result.study.user_attrs["engine"]["programs"] <= 2


def test_what_a_pruner_parks_goes_on_where_it_was(two):
    options = {"pruner": "freeze-thaw", "task": small_task(epochs=8), "trials": 6}
    result = study(two, **options)
    ended = {TrialState.COMPLETE, TrialState.PRUNED}
    assert {t.state for t in result.study.trials} <= ended
    assert TrialState.COMPLETE in {t.state for t in result.study.trials}
    without = curves(study(**{**options, "pruner": None}))
    for number, (params, values, _) in curves(result).items():
        assert params == without[number][0]
        assert values.items() <= without[number][1].items()


@pytest.mark.once
def test_workers_follow_the_settings_of_keras(two):
    alone = study()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        rounded, rounded_alone = study(two), study()
    finally:
        keras.config.set_dtype_policy("float32")
    assert curves(rounded) == curves(rounded_alone) != curves(alone)
    assert curves(study(two)) == curves(alone)


def of_trial(trial):
    units = trial.suggest_int("units", 1, 4)
    assert trial.params["units"] == units
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(units), keras.layers.Dense(1)])


@pytest.mark.once
def test_a_model_that_asks_its_trial_asks_the_study(two, caplog):
    result = study(two, task=small_task(model=of_trial), trials=3)
    assert all("units" in t.params for t in result.finished_trials)
    lines = [r.message for r in caplog.records if "built from the trial" in r.message]
    assert len(lines) == 1  # whoever says it


@pytest.mark.once
def test_what_a_killed_worker_was_training_is_trained_again_and_told_once(two):
    killed = []

    def kill(_, trial):
        if len(killed) < 2:
            killed.append(trial.number)
            two._workers[len(killed) % 2].link._process.send_signal(signal.SIGKILL)

    told = []
    task = small_task(epochs=30)
    result = study(two, task=task, callbacks=[kill, lambda _, t: told.append(t.number)])
    assert len(killed) == 2
    assert sorted(told) == list(range(TRIALS))
    assert curves(result) == curves(study(task=task))


@pytest.mark.once
def test_workers_that_only_die_end_the_study_with_what_they_said(two):
    two.close()
    two.engine, before = Formula(loss=lambda _: os._exit(3)), two.engine
    try:
        with pytest.raises(RuntimeError, match=r"4 workers died(.|\n)*exit status 3"):
            study(two)
        assert not two._workers
    finally:
        two.engine = before


@pytest.mark.once
def test_an_error_in_a_worker_is_raised_here_and_its_trials_fail(two):
    two.close()
    two.engine, before = Formula(loss=lambda _: 1 / 0), two.engine
    try:
        storage = optuna.storages.InMemoryStorage()
        with pytest.raises(ZeroDivisionError) as caught:
            kol.tune(small_task(), name="s", storage=storage, folds=None, executor=two)
        assert "In a worker" in caught.value.__notes__[0]
        trials = optuna.load_study(study_name="s", storage=storage).trials
        assert {t.state for t in trials} <= {TrialState.FAIL, TrialState.WAITING}
        assert "ZeroDivisionError" in trials[0].user_attrs["error"]
    finally:
        two.engine = before


@pytest.mark.once
def test_wrong_arguments_are_said_before_anything_is_stored():
    storage = optuna.storages.InMemoryStorage()

    def refused(match, error=ValueError, task=None, **options):
        with pytest.raises(error, match=match):
            kol.tune(task or small_task(), storage=storage, folds=None, **options)

    refused(r"workers=1000 are more than the \d+ cores", workers=1000)
    refused("workers must be", workers="many")
    refused("workers", workers=0)
    refused("one of keras_optim_lab.executors", TypeError, executor="ray")
    with Processes(1) as one:
        refused("give one of the two", workers=1, executor=one)
        refused("give it to the executor", population=4, executor=one)
        lock = threading.Lock()
        unsendable = small_task(model=lambda: lock and small_model())
        refused("lock, a _thread.lock in model", TypeError, task=unsendable, executor=one)
    assert not optuna.get_all_study_names(storage)


@pytest.mark.once
@pytest.mark.parametrize(("named", "seen"), [(None, "012"), ("4,2,GPU-7", ["4", "2", "GPU-7"])])
def test_each_process_sees_an_accelerator_of_its_own(named, seen, monkeypatch):
    given = []
    monkeypatch.setattr(backend.rows(), "accelerators", lambda: 3)
    monkeypatch.setattr(processes, "Process", lambda *arguments: given.append(arguments[1:]))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    every = Processes()
    assert every.count == 3
    for number in range(3):
        every._start(number)
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment, _ in given] == list(seen)
    assert not any(share for _, share in given)  # of the cores
    with pytest.raises(ValueError, match="more than the 3 accelerators"):
        Processes(4)


SCRIPT = """
import signal

import keras_optim_lab as kol
from keras_optim_lab.tuning.executors import Processes
from tests.studies import small_task


class Telling(Processes):
    def _start(self, number):
        link = super()._start(number)
        print(link._process.pid, flush=True)
        return link


signal.signal(signal.SIGINT, signal.default_int_handler)
task = small_task(epochs=100_000)
kol.tune(task, executor=Telling(1), trials=2, folds=None, storage={storage!r})
"""


@pytest.mark.once
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_process_that_started_them(number, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(storage=str(tmp_path / "s.journal")))
    process = subprocess.Popen(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    worker = Path(f"/proc/{int(process.stdout.readline())}")
    time.sleep(1.0)
    assert worker.exists()
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == -number
    if number == signal.SIGINT:
        assert re.search(r"keeps its \d finished trials", said)
    wait_for(lambda: not worker.exists())


def wait_for(condition, seconds=60):
    ends = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends
        time.sleep(0.1)
    return found


@pytest.mark.once
def test_a_process_that_cannot_start_says_why():
    environment = {**os.environ, "KERAS_BACKEND": "none such"}
    process = Process(PopulationEngine(), environment)
    with pytest.raises(LostWorkerError, match="none such"):
        process.receive()
    process.close()
