"""A journal on a file system whose locks do not hold is refused before anything is trained."""

import errno
import fcntl

import pytest

import keras_optim_lab as kol
from keras_optim_lab.tuning.storages import locks
from tests.studies import small_task

pytestmark = pytest.mark.once("torch")  # which has the least to do


def refused(*_):
    raise OSError(errno.ENOLCK, "No locks available")


def tuned(folder):
    return kol.tune(small_task(), trials=1, folds=None, confirm=0, storage=folder / "s.journal")


@pytest.mark.parametrize(
    ("flock", "reason"), [(refused, "No locks available"), (lambda *_: None, "two may be held")]
)
def test_a_journal_needs_locks_that_hold(tmp_path, monkeypatch, flock, reason):
    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match=f"locks on files do not work in .*{reason}.* a database"):
        tuned(tmp_path)
    assert (tmp_path / "s.journal").read_bytes() == b""


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("nfs4", "rw,vers=4.2,local_lock=none", False),
        ("nfs", "rw,vers=3,nolock,local_lock=all", True),
        ("lustre", "rw,localflock", True),
        ("lustre", "rw,flock", False),
        ("ext4", "rw,nolock", False),
    ],
)
def test_locks_that_end_at_the_machine_are_said(tmp_path, monkeypatch, caplog, kind, options, said):
    folder = tmp_path / "home of all"
    folder.mkdir()
    escaped = str(folder).replace(" ", "\\040")
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - nfs root rw,nolock\n"
        f"40 22 0:35 / {escaped} rw,relatime shared:2 - {kind} server:/home {options}\n"
        f"41 22 0:36 / {escaped}-other rw - nfs server:/other rw,nolock\n"
    )
    monkeypatch.setattr(locks, "_MOUNTS", mounts)
    tuned(folder)
    assert ("is mounted with" in caplog.text) == said
