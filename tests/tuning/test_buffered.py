"""What a process keeps back and writes together is what it would have written word by word."""

import logging
import math
from contextlib import nullcontext

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from keras_optim_lab.tuning.storages.buffered import BufferedStorage
from keras_optim_lab.tuning.storages.storage import open_storage

pytestmark = pytest.mark.once("torch")  # which has the least to do


def a_study(storage, sampler=None, **arguments):
    return optuna.create_study(
        study_name="s",
        storage=storage,
        sampler=sampler or optuna.samplers.RandomSampler(seed=3),
        **{"load_if_exists": True, **arguments},
    )


def buffered(storage):
    return BufferedStorage(open_storage(storage, "s"))


def stored(storage):
    """The trials as another process reads them."""
    opened = open_storage(storage, "s")
    return optuna.load_study(study_name="s", storage=opened).get_trials()


def suggest(trial):
    trial.suggest_float("rate", 1e-4, 1.0, log=True)
    trial.suggest_categorical("kind", ["a", "b", None])
    trial.suggest_int("width", 1, 8)


def told_in_many_ways(study, together):
    """Trials of every state, with values of every kind."""
    with together():
        trials = [study.ask() for _ in range(5)]
        for trial in trials:
            suggest(trial)
            trial.set_user_attr("seed", trial.number)
    for step, value in enumerate((2.0, math.nan, math.inf, -math.inf)):
        with together():
            for trial in trials[:4]:
                trial.report(value, step)
                trial.set_user_attr("seed", step)  # once more
                trial.set_user_attr("nested", {"a": [1, None, "ü"]})
            if step == 3:
                study.tell(trials[0], 1.5)
                study.tell(trials[1], math.inf)
                study.tell(trials[2], state=TrialState.PRUNED)
                study.tell(trials[3], state=TrialState.FAIL)


def facts(trials):
    return [
        (
            *(trial.number, trial.state, trial.params, trial.distributions, trial.user_attrs),
            (repr(trial.values), {s: repr(v) for s, v in trial.intermediate_values.items()}),
        )
        for trial in trials
    ]


def test_what_is_written_together_is_what_optuna_writes_one_by_one(storage):
    plain = a_study(optuna.storages.InMemoryStorage())
    told_in_many_ways(plain, nullcontext)
    kept = buffered(storage)
    study = a_study(kept)
    told_in_many_ways(study, kept.together)
    assert facts(stored(storage)) == facts(study.get_trials()) == facts(plain.get_trials())
    for trial in stored(storage):
        assert trial.datetime_start is not None
        if trial.state.is_finished():
            assert 0 <= (trial.datetime_complete - trial.datetime_start).total_seconds() < 600
    states = [trial.state.name for trial in stored(storage)]
    assert states == ["COMPLETE", "COMPLETE", "PRUNED", "FAIL", "RUNNING"]


def test_nothing_is_written_before_the_end_and_all_of_it_is_seen_here(storage):
    kept = buffered(storage)
    study = a_study(kept)
    with kept.together():
        trial = study.ask()
        suggest(trial)
        trial.report(1.0, 0)
        study.tell(trial, 1.0)
        (before,) = stored(storage)
        assert (before.state, before.params) == (TrialState.RUNNING, {})
        (seen,) = study.get_trials()
        assert (seen.state, seen.value) == (TrialState.COMPLETE, 1.0)
        assert seen.intermediate_values == {0: 1.0}
    (after,) = stored(storage)
    assert (after.state, after.params) == (TrialState.COMPLETE, trial.params)


def test_what_is_told_together_is_written_even_if_an_error_ends_it(storage):
    kept = buffered(storage)
    study = a_study(kept)

    def fail():
        with kept.together():
            study.tell(study.ask(), 1.0)
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert [trial.value for trial in stored(storage)] == [1.0]


def test_a_pruner_sees_what_has_just_been_reported(storage):
    kept = buffered(storage)
    study = a_study(kept, pruner=optuna.pruners.ThresholdPruner(upper=1.0))
    with kept.together():
        trial = study.ask()
        trial.report(0.5, 0)
        assert not trial.should_prune()
        trial.report(2.0, 1)
        assert trial.should_prune()


def test_trials_of_several_processes_have_numbers_of_their_own(storage):
    first, second = buffered(storage), buffered(storage)
    one, other = a_study(first), a_study(second)
    with first.together(), second.together():
        first.expect(3)
        mine = [one.ask(), one.ask()]
        others = [other.ask() for _ in range(2)]
        mine.append(one.ask())
        for study, trials in ((one, mine), (other, others)):
            for trial in trials:
                study.tell(trial, float(trial.number))
    numbers = sorted(trial.number for trial in [*mine, *others])
    assert numbers == list(range(5))
    assert [trial.value for trial in stored(storage)] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_what_others_began_meanwhile_is_seen_when_a_trial_is_begun(storage):
    first, second = buffered(storage), buffered(storage)
    one, other = a_study(first), a_study(second)
    with first.together():
        assert one.get_trials() == []
        other.ask()
        assert one.get_trials() == []  # as it was at first
        assert one.ask().number == 1
        assert len(one.get_trials()) == 2


def test_a_trial_that_others_gave_up_is_not_told_again(storage, caplog):
    caplog.set_level(logging.WARNING, "keras_optim_lab")
    kept = buffered(storage)
    study = a_study(kept)
    with kept.together():
        lost, well = study.ask(), study.ask()
    open_storage(storage, "s").set_trial_state_values(lost._trial_id, TrialState.FAIL)
    with kept.together():
        lost.report(1.0, 0)
        study.tell(lost, 1.0)
        study.tell(well, 2.0)
    assert [trial.state.name for trial in stored(storage)] == ["FAIL", "COMPLETE"]
    assert [trial.state.name for trial in study.get_trials()] == ["FAIL", "COMPLETE"]
    assert f"Trial {lost.number} was given up by others" in caplog.text


def test_trials_that_were_expected_and_not_begun_do_not_stay(postgres):
    kept = buffered(postgres)
    study = a_study(kept)
    with kept.together():
        kept.expect(3)
        study.tell(study.ask(), 1.0)
    told, *others = stored(postgres)
    assert told.state == TrialState.COMPLETE
    assert [trial.state for trial in others] == [TrialState.FAIL] * 2
    assert {trial.user_attrs["error"] for trial in others} == {"it was not needed"}


def test_a_queued_trial_is_begun_by_one_process_alone(storage):
    first, second = buffered(storage), buffered(storage)
    one, other = a_study(first), a_study(second)
    one.enqueue_trial({"rate": 0.5})
    with first.together(), second.together():
        assert len(other.get_trials(states=(TrialState.WAITING,))) == 1
        trial = one.ask()
        assert trial.suggest_float("rate", 0.0, 1.0) == 0.5
        assert other.ask().number == 1


def test_a_plain_optuna_study_goes_on_in_what_was_written(storage):
    kept = buffered(storage)
    told_in_many_ways(a_study(kept), kept.together)
    plain = a_study(open_storage(storage, "s"), optuna.samplers.TPESampler(seed=1))
    plain.optimize(lambda trial: trial.suggest_float("rate", 1e-4, 1.0, log=True), n_trials=2)
    assert [trial.number for trial in stored(storage)] == list(range(7))


def test_a_journal_is_not_read_again_for_every_trial_that_is_written(tmp_path, monkeypatch):
    kept = buffered(str(tmp_path / "s.journal"))
    study = a_study(kept)
    with kept.together():
        trials = [study.ask() for _ in range(8)]
    reads = []
    read_logs = JournalFileBackend.read_logs
    monkeypatch.setattr(
        JournalFileBackend, "read_logs", lambda *all: reads.append(1) or read_logs(*all)
    )
    with kept.together():
        for trial in trials:
            trial.report(1.0, 0)
    assert len(reads) <= 4


def test_trials_stand_in_order_whoever_began_them_and_when(storage):
    first, second = buffered(storage), buffered(storage)
    one, other = a_study(first), a_study(second)
    with first.together():
        assert one.get_trials() == []
        mine = one.ask()
        others = [other.ask() for _ in range(2)]
        mine = [mine, one.ask()]
        assert [trial.number for trial in one.get_trials()] == list(range(4))
    assert sorted(trial.number for trial in [*mine, *others]) == list(range(4))
