"""A study is begun once, whatever happens between its creation and its plan."""

import multiprocessing
import os
import signal

import optuna
import pytest

from keras_optim_lab.tuner import TuningResult
from keras_optim_lab.tuning import study as study_module
from keras_optim_lab.tuning.storages.buffered import BufferedStorage
from keras_optim_lab.tuning.storages.storage import open_storage
from tests.studies import small_task

pytestmark = pytest.mark.once

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def no_model(monkeypatch):
    """A process that was forked off must not compute, since JAX's threads are not there."""
    monkeypatch.setattr(study_module, "check_model", lambda *arguments: None)


def begin(storage, **changes):
    return TuningResult.create(small_task(), "adam", **{"name": "s", "storage": storage, **changes})


def plan(storage):
    return TuningResult.load("s", storage, task=small_task()).study.user_attrs


def test_a_study_whose_process_was_killed_before_it_had_a_plan_is_begun_by_the_next(
    storage, monkeypatch
):
    def killed(*arguments):
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patched:
        patched.setattr(BufferedStorage, "claim", killed)
        process = FORK.Process(target=begin, args=(storage,))
        process.start()
        process.join(60)
    assert process.exitcode == -signal.SIGKILL
    with pytest.raises(ValueError, match=r"'s' is empty, and nothing says yet .* Begin it first"):
        plan(storage)
    begin(storage, seed=3, sampler="random")
    attributes = plan(storage)
    assert attributes["keras_optim_lab"]["seed"] == 3
    assert attributes["choices"]["sampler"] == "random"


def begun_at_once(storage, spaces):
    """What came of several processes that begin one study at the same moment."""
    barrier, answers = FORK.Barrier(len(spaces)), FORK.Queue()

    def process(space):
        barrier.wait()
        try:
            begin(storage, space=space)
            answers.put("begun")
        except Exception as error:
            answers.put(str(error))

    processes = [FORK.Process(target=process, args=(space,)) for space in spaces]
    for each in processes:
        each.start()
    found = [answers.get(timeout=60) for _ in processes]
    for each in processes:
        each.join(60)
    return found


def test_processes_that_begin_a_study_at_once_in_a_new_storage_share_it(storage):
    assert begun_at_once(storage, [{"beta_1": 0.8}] * 3) == ["begun"] * 3
    assert plan(storage)["keras_optim_lab"]["space"]["fixed"] == {"adam": {"beta_1": 0.8}}


def test_of_different_plans_at_once_one_is_begun_and_the_other_refused(storage):
    optuna.create_study(study_name="s", storage=open_storage(storage, "s"))
    answers = begun_at_once(storage, [{"beta_1": 0.8}, {"beta_1": 0.7}])
    (refusal,) = (answer for answer in answers if answer != "begun")
    assert "exists with another space: beta_1 is fixed at" in refusal


@pytest.mark.parametrize("use", [lambda study: study.ask(), lambda s: s.set_user_attr("a", 1)])
def test_what_somebody_else_uses_is_still_a_strangers(use, tmp_path):
    storage = tmp_path / "s.journal"
    use(optuna.create_study(study_name="s", storage=open_storage(storage, "s")))
    with pytest.raises(ValueError, match="not made by keras_optim_lab"):
        begin(storage)


def test_an_empty_study_of_another_direction_is_left_alone(tmp_path):
    storage = tmp_path / "s.journal"
    optuna.create_study(study_name="s", storage=open_storage(storage, "s"), direction="maximize")
    with pytest.raises(ValueError, match="not made by keras_optim_lab"):
        begin(storage)
