"""A study of so many minutes ends in time, keeps what it has, and goes on with what was cut off."""

import math
from types import SimpleNamespace

import pytest
from optuna.trial import TrialState

import keras_optim_lab as kol
from keras_optim_lab.tuner import TuningResult
from keras_optim_lab.tuning import asked, budget
from keras_optim_lab.tuning.budget import Budget
from keras_optim_lab.tuning.executors import choosing
from tests.studies import Formula, small_task

pytestmark = pytest.mark.once


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only when a test says so."""
    clock = SimpleNamespace(now=1000.0)
    clock.monotonic = clock.perf_counter = lambda: clock.now
    for module in (budget, asked):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def epochs_of(monkeypatch, clock):
    """Lets each epoch of `tune` take the next of these seconds, and the last one again."""

    def use(*seconds):
        left = list(seconds)

        def logs(loss, epoch):
            clock.now += left.pop(0) if len(left) > 1 else left[0]
            return {"loss": loss, "val_loss": loss}

        monkeypatch.setattr(choosing, "PopulationEngine", lambda *_: Formula(logs=logs))

    return use


def test_no_trial_begins_that_would_not_end_in_time(epochs_of, clock):
    epochs_of(35, 10)  # the first one compiles
    study = kol.tune(small_task(epochs=2), trials=64, minutes=2, confirm=0, folds=None).study
    # 45 seconds, 20 each for three more, and then there are 15.
    assert [trial.state for trial in study.trials[:4]] == [TrialState.COMPLETE] * 4
    assert all(trial.state == TrialState.WAITING for trial in study.trials[4:])
    assert clock.now == 1105.0


def test_a_trial_that_is_cut_off_is_trained_again_by_the_same_call(epochs_of, clock):
    task = small_task(epochs=3)
    epochs_of(5, 5, 5, 40)
    result = kol.tune(task, trials=3, minutes=1, name="s", pruner="none", confirm=0, folds=None)
    complete, cut = result.study.trials[:2]
    assert (complete.state, cut.state) == (TrialState.COMPLETE, TrialState.FAIL)
    assert cut.user_attrs["epochs"] == 2
    assert "error" not in cut.user_attrs
    assert clock.now == 1095.0
    again = kol.tune(task, trials=3, minutes=30, name="s", pruner="none", confirm=0, folds=None)
    assert len(again.finished_trials) == 3
    (taken_up,) = [t for t in again.study.trials if t.system_attrs.get("retry_history") == [1]]
    assert taken_up.state == TrialState.COMPLETE
    assert taken_up.params == cut.params
    assert taken_up.user_attrs["seed"] == cut.user_attrs["seed"]


def test_the_trials_may_be_over_first(epochs_of, clock):
    epochs_of(1)
    assert (
        len(kol.tune(small_task(), trials=4, minutes=60, confirm=0, folds=None).finished_trials)
        == 4
    )
    assert clock.now < 1060.0


def test_minutes_that_are_too_few_for_one_training_are_said(epochs_of):
    epochs_of(50)
    task = small_task(epochs=9)
    with pytest.raises(ValueError, match=r"minutes=1 are too few .*: 2 of 9 epochs .*name='s'"):
        kol.tune(task, trials=3, minutes=1, name="s", confirm=0, folds=None)
    with pytest.raises(ValueError, match=r"minutes=1 are too few .*: 2 of 7 epochs"):
        kol.tune(task, trials=3, minutes=1, space={"epochs": 7}, confirm=0, folds=None)
    epochs_of(1)
    assert len(kol.tune(task, trials=3, name="s", confirm=0, folds=None).finished_trials) == 3


def test_a_share_is_kept_back_for_what_comes_after_the_trials(clock):
    both = Budget(10, kept_back=0.2)
    assert (both.left, both.left_for_trials) == (600.0, 480.0)
    clock.now += 500
    assert (both.left, both.left_for_trials) == (100.0, 0.0)
    assert not both.has_time_for_another
    clock.now += 500
    assert both.left == 0.0
    assert Budget().left == Budget().left_for_trials == math.inf
    assert Budget().has_time_for_another


def test_a_worker_has_minutes_of_its_own(epochs_of, clock):
    task = small_task(epochs=1)
    TuningResult.create(task, name="s", optimizer="adam")
    epochs_of(20)
    result = TuningResult.load("s", task=task)
    result.run(9, choosing.PopulationEngine(), minutes=1)
    assert len(result.finished_trials) == 2


@pytest.mark.parametrize(
    ("minutes", "error"),
    [
        *((each, ValueError) for each in (0, -1, math.inf, math.nan)),
        ("5", TypeError),
        (True, TypeError),
    ],
)
def test_minutes_are_a_number_above_0(minutes, error, in_empty_folder):
    with pytest.raises(error, match=r"`minutes` must be a number > 0.*Received: minutes="):
        kol.tune(small_task(), trials=1, minutes=minutes)
    assert list(in_empty_folder.iterdir()) == []
