"""Optuna's own suite for storages, and its promises to processes, on what studies are kept in."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.testing.pytest_storages import StorageTestCase

from keras_optim_lab.tuning.storages.buffered import BufferedStorage
from keras_optim_lab.tuning.storages.storage import open_storage

pytestmark = pytest.mark.once("torch")  # which has the least to do


@pytest.fixture(scope="class")
def opened(request, tmp_path_factory):
    """One storage for all tests, so that each begins with the ids that the last one left."""
    folder = tmp_path_factory.mktemp("storage")
    url = f"sqlite:///{folder}/s.db" if "sqlite" in request.param else folder / "s.journal"
    storage = open_storage(url, "s")
    return storage if request.param == "journal" else BufferedStorage(storage)


KINDS = ["journal", "buffered journal", "journal together", "buffered sqlite"]


@pytest.mark.parametrize("opened", KINDS, indirect=True, scope="class")
class TestKeepsOptunasPromises(StorageTestCase):
    @pytest.fixture
    def storage(self, opened, request):
        together = "together" in request.node.callspec.params["opened"]
        with opened.together() if together else nullcontext():
            yield opened
        for study in opened.get_all_studies():
            opened.delete_study(study._study_id)


def buffered(storage):
    return BufferedStorage(open_storage(storage, "s"))


def train(storage):
    study = optuna.load_study(study_name="s", storage=storage)
    study.optimize(lambda trial: trial.suggest_float("rate", 0, 1), n_trials=4)


def test_processes_that_are_handed_a_storage_number_their_trials_together(storage):
    handed = buffered(storage)
    study = optuna.create_study(study_name="s", storage=handed)
    mine = study.ask()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        list(pool.map(train, [handed] * 2))
    study.tell(mine, 1.0)
    trials = buffered(storage).get_all_trials(study._study_id)
    assert [trial.number for trial in trials] == list(range(9))
    assert {trial.state.name for trial in trials} == {"COMPLETE"}


def test_another_distribution_than_that_of_earlier_trials_is_refused_at_once(storage):
    kept = buffered(storage)
    study = optuna.create_study(study_name="s", storage=kept)
    study.ask({"rate": FloatDistribution(0, 1)})
    other = buffered(storage)
    again = optuna.load_study(study_name="s", storage=other)
    for together in (nullcontext, other.together):
        with together():
            trial = again.ask()
            with pytest.raises(ValueError, match=r"dynamic|distribution"):
                trial.suggest_categorical("rate", ["low", "high"])
            again.tell(trial, state=optuna.trial.TrialState.FAIL)
    assert all(isinstance(each.params.get("rate", 0.0), float) for each in again.trials)


def test_a_study_has_no_trials_of_the_deleted_one_whose_id_it_has(storage):
    kept = buffered(storage)
    with kept.together():
        first = optuna.create_study(study_name="s", storage=kept)
        kept.expect(2)
        first.ask().report(0.5, 0)
        optuna.delete_study(study_name="s", storage=kept)
        second = optuna.create_study(study_name="s", storage=kept)
        assert second.trials == []
        assert second.ask().number == 0
    assert [trial.number for trial in second.trials] == [0]


def test_what_is_expected_of_one_study_is_not_begun_in_another(storage):
    kept = buffered(storage)
    first, second = (optuna.create_study(study_name=name, storage=kept) for name in "st")
    with kept.together():
        kept.expect(2)
        mine, others = first.ask(), second.ask()
        first.tell(mine, 1.0)
        second.tell(others, 2.0)
    assert [trial.value for trial in second.trials] == [2.0]
    assert first.trials[0].value == 1.0
