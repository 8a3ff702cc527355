"""A journal holds what was acknowledged, whatever cuts a write short, and knows who is alive."""

import datetime
import logging
import multiprocessing
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from keras_optim_lab.tuning.storages import journal as journal_module
from keras_optim_lab.tuning.storages.journal import LocalJournal
from keras_optim_lab.tuning.storages.storage import load_study
from keras_optim_lab.tuning.storages.store import Changes

pytestmark = pytest.mark.once("torch")  # which has the least to do


@pytest.fixture
def path(tmp_path):
    return tmp_path / "s.journal"


@pytest.fixture
def begun(path):
    """A journal of two trials, of which one is complete."""
    study = a_study(path)
    study.ask()
    study.tell(study.ask(), 1.0)
    return path


def a_study(path):
    return optuna.create_study(study_name="s", storage=LocalJournal(path), load_if_exists=True)


def states(path):
    return [trial.state.name for trial in a_study(path).get_trials()]


def test_a_write_that_was_cut_off_is_removed_and_the_study_goes_on(begun, caplog):
    caplog.set_level(logging.WARNING, "keras_optim_lab")
    whole = begun.read_bytes()
    begun.write_bytes(whole + b'{"op_code":4,"study_')
    LocalJournal(begun)
    assert begun.read_bytes() == whole
    study = a_study(begun)
    assert "its 20 bytes are removed" in caplog.text
    study.tell(study.ask(), 2.0)
    assert states(begun) == ["RUNNING", "COMPLETE", "COMPLETE"]


def test_a_write_that_another_process_left_cut_off_is_removed_by_the_next_one(begun):
    study = a_study(begun)
    with begun.open("ab") as file:
        file.write(b'{"op_code":4,"study_')
    assert [trial.state.name for trial in study.get_trials()] == ["RUNNING", "COMPLETE"]
    study.tell(study.ask(), 2.0)
    assert states(begun) == ["RUNNING", "COMPLETE", "COMPLETE"]


def test_a_journal_of_which_only_a_part_of_the_first_write_is_left_is_begun_anew(path):
    path.write_bytes(b'{"op_')
    a_study(path).ask()
    assert states(path) == ["RUNNING"]


@pytest.mark.parametrize("content", [b"name,value\n1,2", b"\n", b"{}"])
def test_a_file_of_another_kind_is_refused_and_left_alone(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not the journal of a study"):
        LocalJournal(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda line: b"", r"line 3 was written at byte \d+ and stands at byte"),
        (lambda line: line * 2, r"line 4 was written at byte \d+ and stands at byte"),
        (lambda line: line[:-9] + b"\n", "line 3 cannot be read"),
        (lambda line: b"\xff" * 40 + b"\n", "line 3 cannot be read"),
        (lambda line: b"[1]\n", "line 3 is no operation"),
        (lambda line: b'{"op_code":99}\n', "line 3 is no operation"),
    ],
    ids=["missing", "twice", "cut", "binary", "a list", "unknown"],
)
def test_a_damaged_journal_is_refused_with_its_line_and_left_as_it_is(path, damage, said):
    study = a_study(path)
    for _ in range(4):
        study.ask()
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = damage(lines[2])
    path.write_bytes(b"".join(lines))
    before = path.read_bytes()
    with pytest.raises(OSError, match=f"s.journal' is damaged: {said}.*delete this line"):
        load_study("s", path)
    assert path.read_bytes() == before


def test_a_journal_without_its_first_line_is_refused_though_it_names_no_study(begun):
    begun.write_bytes(begun.read_bytes().partition(b"\n")[2])
    with pytest.raises(OSError, match="line 1 was written at byte"):
        a_study(begun)


def test_a_damaged_last_line_is_found_before_another_is_written(begun):
    with begun.open("ab") as file:
        file.write(b'{"op_code":4,\n')
    number = begun.read_bytes().count(b"\n")
    with pytest.raises(OSError, match=rf"line {number} cannot be read.*delete this line"):
        LocalJournal(begun)


def test_a_full_disk_is_an_error_that_leaves_whole_lines_and_no_more(begun):
    study = a_study(begun)
    trial = study.ask()
    whole = begun.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 30, limits[1]))
    try:
        with pytest.raises(OSError, match=r"(File too large|No space left).*s\.journal"):
            trial.set_user_attr("large", "x" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert begun.read_bytes() == whole
    trial.set_user_attr("large", "x" * 100)
    assert a_study(begun).get_trials()[-1].user_attrs == {"large": "x" * 100}


def test_what_is_written_together_is_one_write(begun, monkeypatch):
    storage = LocalJournal(begun)
    writes = []
    monkeypatch.setattr(journal_module, "_write", lambda file, content: writes.append(content))
    storage.write([Changes(0, intermediate_values=dict.fromkeys(range(5), 0.5))])
    assert [content.count(b"\n") for content in writes] == [5]


# Who is alive.


def stale(storage):
    return storage.stale(0)


def test_the_trials_of_a_living_process_are_not_abandoned_and_those_of_a_dead_one_are(path):
    storage = LocalJournal(path)
    study = optuna.create_study(study_name="s", storage=storage)
    study.enqueue_trial({"x": 1.0})
    queued, new = study.ask(), study.ask()
    other = LocalJournal(path)
    assert stale(other) == stale(storage) == []
    storage._lock.release()  # as the operating system does when a process ends
    assert stale(other) == [queued._trial_id, new._trial_id]
    assert stale(storage) == []


def test_a_trial_that_a_plain_optuna_process_began_is_given_a_minute(path, monkeypatch):
    plain = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    optuna.create_study(study_name="s", storage=plain).ask()
    storage = LocalJournal(path)
    assert stale(storage) == []
    monkeypatch.setattr(journal_module, "_UNKNOWN", datetime.timedelta(0))
    assert stale(storage) == [0]


def test_a_finished_trial_is_not_abandoned(begun):
    (running,) = stale(LocalJournal(begun))
    assert a_study(begun).get_trials()[running].state == TrialState.RUNNING


def test_reading_a_study_writes_nothing_beside_it(begun):
    folder = Path(begun).with_name(f".{begun.name}.processes")
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    assert len(LocalJournal(begun).get_all_trials(0)) == 2
    assert not folder.exists()


def test_a_process_that_was_forked_off_is_another_one(begun):
    storage = LocalJournal(begun)
    study = optuna.load_study(study_name="s", storage=storage)
    mine = study.ask()
    child = multiprocessing.get_context("fork").Process(target=study.ask)
    child.start()
    child.join(60)
    running = [trial.number for trial in study.trials if trial.state == TrialState.RUNNING]
    assert running == [0, mine.number, mine.number + 1]
    assert stale(storage) == [0, mine.number + 1]


def test_threads_of_one_process_begin_different_trials(begun):
    storage = LocalJournal(begun)
    study = optuna.load_study(study_name="s", storage=storage)
    with ThreadPoolExecutor(4) as pool:
        trials = list(pool.map(lambda _: storage.begin(study._study_id, 3), range(8)))
    assert sorted(trial.number for each in trials for trial in each) == list(range(2, 26))
