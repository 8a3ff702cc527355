"""Searches that were cut off, and go on as if they had not been."""

import keras_tuner
import optuna
import pytest
from optuna.trial import TrialState

import keras_optim_lab as kol
from keras_optim_lab.keras_tuner.runs import Runs
from tests.keras_tuner.searches import EpochTuner, FunctionTuner, search, states

pytestmark = pytest.mark.once


class CutOff(BaseException):
    """The end of the process: nothing that KerasTuner catches."""


def cut_off_in_run(number, seen):
    """A function that notes its hyperparameters and is cut off in one of its runs."""

    def loss(hp):
        seen.append(hp.Float("x", 0, 1))
        if len(seen) == number:
            raise CutOff
        return seen[-1]

    return loss


def space():
    hp = keras_tuner.HyperParameters()
    hp.Float("x", 0, 1)
    return hp


@pytest.mark.parametrize("number", [1, 3])
def test_a_trial_in_flight_is_told_as_failed_and_run_again_with_the_same_parameters(number):
    """Also the first one, after which KerasTuner itself would begin anew."""
    seen = []
    arguments = {"max_trials": 4, "hyperparameters": space(), "seed": 0}
    with pytest.raises(CutOff):
        search(cut_off_in_run(number, seen), **arguments)
    oracle = search(cut_off_in_run(-1, seen), **arguments)
    assert len(seen) == 5
    assert seen[number - 1] == seen[number]
    assert len(set(seen)) == 4  # what the sampler draws goes on too
    expected = ["COMPLETE"] * 5
    expected[number - 1] = "FAIL"
    assert states(oracle) == expected
    assert [trial.params["x"] for trial in oracle.study.trials] == seen
    assert [trial.status for trial in oracle.trials.values()] == ["COMPLETED"] * 4
    assert oracle.study.best_value == oracle.get_best_trials()[0].score


def test_a_search_that_was_interrupted_goes_on_in_the_same_process():
    seen = []

    def loss(hp):
        seen.append(hp.get("x"))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return seen[-1]

    oracle = kol.keras_tuner.OptunaOracle(max_trials=3, hyperparameters=space())
    tuner = FunctionTuner(oracle, loss)
    with pytest.raises(KeyboardInterrupt):
        tuner.search(verbose=0)
    tuner.search(verbose=0)
    assert states(oracle) == ["COMPLETE"] * 3
    assert seen[1] == seen[2]
    assert [trial.params["x"] for trial in oracle.study.trials] == [seen[0], *seen[2:]]


def test_a_search_that_has_ended_is_not_run_again_and_a_longer_one_goes_on():
    seen = []
    search(cut_off_in_run(-1, seen), max_trials=3, hyperparameters=space())
    search(cut_off_in_run(-1, seen), max_trials=3, hyperparameters=space())
    assert len(seen) == 3
    oracle = search(cut_off_in_run(-1, seen), max_trials=5, hyperparameters=space())
    assert len(seen) == len(oracle.study.trials) == 5


def test_overwriting_a_project_begins_again():
    search(lambda hp: hp.get("x"), max_trials=3, hyperparameters=space())
    arguments = {"max_trials": 2, "hyperparameters": space(), "overwrite": True}
    oracle = search(lambda hp: hp.get("x"), **arguments)
    assert len(oracle.study.trials) == 2


def test_a_result_that_was_kept_but_not_told_is_told_once(monkeypatch):
    def die(self, trial):
        raise CutOff

    def loss(hp):
        return [hp.get("x")]

    arguments = {"max_trials": 2, "hyperparameters": space(), "objective": "val_loss"}
    with monkeypatch.context() as patch:
        patch.setattr(Runs, "tell", die)
        with pytest.raises(CutOff):
            search(loss, tuner=EpochTuner, **arguments)
    oracle = search(loss, tuner=EpochTuner, **arguments)
    assert states(oracle) == ["COMPLETE", "COMPLETE"]
    for ours, theirs in zip(oracle.trials.values(), oracle.study.trials, strict=True):
        assert ours.score == theirs.value == theirs.params["x"]


def test_a_trial_that_was_asked_for_but_not_kept_is_told_as_failed(monkeypatch):
    def die(self, trial):
        raise CutOff

    seen = []
    arguments = {"max_trials": 3, "hyperparameters": space()}
    search(cut_off_in_run(-1, seen), **{**arguments, "max_trials": 1})
    with monkeypatch.context() as patch:
        patch.setattr(kol.keras_tuner.OptunaOracle, "_save_trial", die)
        with pytest.raises(CutOff):
            search(cut_off_in_run(-1, seen), **arguments)
    oracle = search(cut_off_in_run(-1, seen), **arguments)
    assert states(oracle) == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


def test_a_retry_that_was_not_yet_begun_is_run_once(monkeypatch):
    def die(self, trial):
        raise CutOff

    runs = []

    def loss(hp):
        runs.append(hp.get("x"))
        if len(runs) == 1:
            raise RuntimeError("fails once")
        return runs[-1]

    arguments = {"max_trials": 2, "max_retries_per_trial": 1, "hyperparameters": space()}
    with monkeypatch.context() as patch:
        patch.setattr(Runs, "tell", die)
        with pytest.raises(CutOff):
            search(loss, **arguments)
    oracle = search(loss, **arguments)
    assert states(oracle) == ["FAIL", "COMPLETE", "COMPLETE"]
    assert runs[0] == runs[1] != runs[2]


def test_a_retry_that_was_cut_off_is_run_again():
    runs = []

    def loss(hp):
        runs.append(hp.get("x"))
        if len(runs) == 1:
            raise RuntimeError("fails once")
        if len(runs) == 2:
            raise CutOff
        return runs[-1]

    arguments = {"max_trials": 2, "max_retries_per_trial": 1, "hyperparameters": space()}
    with pytest.raises(CutOff):
        search(loss, **arguments)
    oracle = search(loss, **arguments)
    assert states(oracle) == ["FAIL", "FAIL", "COMPLETE", "COMPLETE"]
    assert runs[0] == runs[1] == runs[2] != runs[3]


def test_epochs_of_a_run_that_was_cut_off_are_not_mixed_with_those_of_the_next():
    runs = []

    def losses(hp):
        runs.append(hp.get("x"))
        yield 1.0 if len(runs) == 1 else 3.0
        if len(runs) == 1:
            raise CutOff
        yield 2.0

    arguments = {"max_trials": 1, "hyperparameters": space(), "objective": "val_loss"}
    with pytest.raises(CutOff):
        search(losses, tuner=EpochTuner, **arguments)
    oracle = search(losses, tuner=EpochTuner, **arguments)
    assert [trial.intermediate_values for trial in oracle.study.trials] == [
        {0: 1.0},
        {0: 3.0, 1: 2.0},
    ]
    assert oracle.trials["0"].score == oracle.study.best_value == 2.0


def test_a_trial_that_was_told_by_hand_is_not_told_again():
    def loss(hp):
        oracle.study.tell(oracle.study.trials[-1].number, 7.0)
        return hp.Float("x", 0, 1)

    oracle = kol.keras_tuner.OptunaOracle(max_trials=2)
    FunctionTuner(oracle, loss).search(verbose=0)
    assert [trial.value for trial in oracle.study.trials] == [7.0, 7.0]


def test_what_others_run_on_the_same_storage_is_left_alone():
    storage = optuna.storages.InMemoryStorage()
    arguments = {
        "storage": storage,
        "study_name": "shared",
        "max_trials": 2,
        "hyperparameters": space(),
    }
    with pytest.raises(CutOff):
        search(cut_off_in_run(2, []), **arguments)
    study = optuna.load_study(study_name="shared", storage=storage)
    other = study.ask()
    oracle = search(lambda hp: hp.get("x"), **arguments)
    assert states(oracle) == ["COMPLETE", "FAIL", "RUNNING", "COMPLETE"]
    assert study.trials[other.number].state == TrialState.RUNNING


def test_a_project_whose_study_is_lost_says_what_to_give():
    def again():
        storage = optuna.storages.InMemoryStorage()
        return search(lambda hp: 1.0, max_trials=2, storage=storage)

    again()
    with pytest.raises(ValueError, match=r"trial 0 that the study 'search' does not hold.*Give"):
        again()


def test_a_project_of_another_oracle_is_refused():
    oracle = keras_tuner.oracles.RandomSearchOracle(max_trials=1, hyperparameters=space())
    FunctionTuner(oracle, lambda hp: hp.get("x"), directory="kt", project_name="search").search(
        verbose=0
    )
    with pytest.raises(RuntimeError, match=r"change the `project_name` or pass `overwrite=True`"):
        search(lambda hp: 1.0)
