"""Many processes number the trials of one database."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from optuna.storages import RDBStorage
from optuna.study import StudyDirection

from keras_optim_lab.tuning.storages.database import Database

pytestmark = pytest.mark.once("torch")  # which has the least to do


def test_a_trial_of_sqlite_is_numbered_once_all_that_is_being_written_is_there(tmp_path):
    path = tmp_path / "s.db"
    storage = RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 30}})
    study = storage.create_new_study([StudyDirection.MINIMIZE], "s")
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        ThreadPoolExecutor() as pool,
    ):
        other.execute("BEGIN IMMEDIATE")
        other.execute(
            "INSERT INTO trials (study_id, number, state) VALUES (?, 0, 'RUNNING')", [study]
        )
        asked = pool.submit(Database(storage).begin, study, 1)
        with pytest.raises(TimeoutError):
            asked.result(timeout=0.5)
        other.execute("COMMIT")
        assert [trial.number for trial in asked.result()] == [1]
