"""Ctrl-C is never lost, ends a study where nothing is half done, and the second one ends it."""

import os
import signal
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest
from optuna.trial import TrialState

from keras_optim_lab.tuning.engines.fit_engine import FitEngine
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from keras_optim_lab.tuning.engines.sequential_engine import SequentialEngine
from keras_optim_lab.tuning.interruption import interruptible, raise_if_interrupted
from keras_optim_lab.tuning.repetitions import Training, train
from keras_optim_lab.tuning.spaces.configuration import Configuration
from tests.studies import Formula, small_model, small_task
from tests.tuning.populations import search

pytestmark = pytest.mark.once("torch")


@pytest.fixture(autouse=True)
def ctrl_c():
    """As in a terminal: a shell that starts the tests in the background has Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def interrupt(*_):
    signal.raise_signal(signal.SIGINT)


def interrupt_where_python_forgets_it():
    """Within a weak reference's callback, whose errors are printed and forgotten."""

    class Forgotten:
        pass

    thing = Forgotten()
    reference = weakref.ref(thing, interrupt)
    del thing
    assert reference() is None


@pytest.mark.parametrize("engine", [FitEngine, SequentialEngine, lambda: PopulationEngine(2)])
def test_ctrl_c_within_anothers_callback_ends_a_study_that_goes_on(engine, capfd):
    built = []

    def interrupted_once():
        built.append(None)
        if len(built) == 3:  # a population builds no more
            interrupt_where_python_forgets_it()
        return small_model()

    result = search(None, small_task(model=interrupted_once))
    with pytest.raises(KeyboardInterrupt, match=r"the study 'study' keeps its \d finished trials"):
        result.run(9, engine())
    assert capfd.readouterr().err.count("Ctrl-C again ends it at once") == 1
    assert len(result.finished_trials) < 9
    assert not [t for t in result.study.trials if t.state == TrialState.RUNNING]
    result.run(5, engine())
    assert len(result.finished_trials) == 5


@pytest.mark.parametrize("engine", [FitEngine, lambda: PopulationEngine(1)])
def test_ctrl_c_ends_fresh_trainings_and_keeps_those_that_have_ended(engine):
    done = []

    def end(training, curves):
        done.append(training.seed)
        interrupt_where_python_forgets_it()

    trainings = [Training("adam", Configuration("adam", {}), seed) for seed in range(3)]
    with pytest.raises(KeyboardInterrupt):
        train(small_task(epochs=1), trainings, engine=engine(), on_done=end)
    assert done == [0]


def test_what_has_ended_in_the_same_epoch_is_kept():
    def interrupted(loss, epoch):
        if epoch == 1:
            interrupt()
        return {"loss": loss, "val_loss": loss}

    result = search(None)
    with pytest.raises(KeyboardInterrupt):
        result.run(9, Formula(logs=interrupted))
    assert [trial.state for trial in result.study.trials] == [TrialState.COMPLETE]


def test_ctrl_c_after_the_last_look_is_not_lost():
    with pytest.raises(KeyboardInterrupt), interruptible():
        interrupt()


def test_the_second_ctrl_c_ends_the_process_at_once():
    child = os.fork()
    if child == 0:
        try:
            with interruptible():
                interrupt()
                interrupt_where_python_forgets_it()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGINT


def test_other_threads_and_handlers_of_ones_own_are_left_alone():
    received = []
    signal.signal(signal.SIGINT, lambda *_: received.append(None))
    with interruptible():
        interrupt()
        raise_if_interrupted()
    assert len(received) == 1
    signal.signal(signal.SIGINT, signal.default_int_handler)
    found = []

    def elsewhere():
        with interruptible():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]


# At its end PyTorch imports tabulate where it is, which evaluates text, and that makes Python
# forget that it was interrupted, with or without this package.
SCRIPT = """
import signal
import sys

sys.modules["tabulate"] = None

import keras_optim_lab as kol
from keras_optim_lab.tuning.executors import choosing
from tests.studies import Formula, small_task

signal.signal(signal.SIGINT, signal.default_int_handler)


def logs(loss, epoch):
    signal.raise_signal(signal.SIGINT)
    return {"loss": loss, "val_loss": loss}


choosing.PopulationEngine = lambda *_: Formula(logs=logs)
kol.tune(small_task(epochs=1), trials=1000, name="mine", folds=None)
"""


def test_an_interrupted_script_ends_in_one_line(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode in (-signal.SIGINT, 130)
    assert "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1] == (
        "Stopped; the study 'mine' keeps its 1 finished trials. "
        "Continue with the same call and name='mine'."
    )
