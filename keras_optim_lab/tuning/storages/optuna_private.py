"""Every private name of Optuna's that this package uses, and why no public one will do."""

import optuna
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import FrozenTrial

__all__ = ["NAMES", "JournalOperation", "id_of", "models", "stale_trials", "trials_of"]

_TABLES = [
    *("StudyModel", "StudyUserAttributeModel", "TrialModel", "TrialHeartbeatModel"),
    *("TrialParamModel", "TrialIntermediateValueModel", "TrialValueModel"),
    *("TrialUserAttributeModel", "TrialSystemAttributeModel"),
]
_ONE_FOR_ALL = "Optuna takes a transaction for every value of a trial, and we one for all"

# By its path, what each is for. A test says which are missing in another version of Optuna.
NAMES = {
    **{f"optuna.storages._rdb.models.{table}": _ONE_FOR_ALL for table in _TABLES},
    "optuna.storages.RDBStorage._get_trials": "trials that are new by one query; public are all",
    "optuna.storages.RDBStorage._get_stale_trial_ids": "trials without a sign of life, which "
    "public functions also fail, those of this process too",
    "optuna.trial.FrozenTrial._trial_id": "the only name by which a storage knows a trial",
    "optuna.trial.Trial._trial_id": "the same",
    "optuna.storages.journal._storage.JournalOperation": "what a line of a journal says",
    "optuna.storages.JournalStorage._write_log": "where a process first writes, and takes a lock",
    "optuna.storages.JournalStorage._sync_with_backend": "where lines are read: who began which "
    "trial, and which line is damaged",
    "optuna.storages.JournalStorage._thread_lock": "several lines are one write among threads, too",
    "optuna.storages.JournalStorage._worker_id_prefix": "a worker's name in its lines is that of "
    "the lock that says whether it is alive",
    "optuna.storages.JournalStorage._replay_result": "what has been read, within the lock",
    "optuna.storages.JournalStorage._replay_result._worker_id_prefix": "the worker's name again",
    "optuna.storages.JournalStorage._replay_result._trials": "what a line has just begun",
}


def id_of(trial: FrozenTrial | optuna.Trial) -> int:
    """By which its storage knows it."""
    return trial._trial_id


def trials_of(
    storage: RDBStorage, study_id: int, among: set[int], newer_than: int
) -> list[FrozenTrial]:
    """The trials of a study with these ids, and all with a higher one than `newer_than`."""
    return storage._get_trials(study_id, None, among, newer_than)


def stale_trials(storage: RDBStorage, study_id: int) -> list[int]:
    """The ids of running trials whose process has given no sign of life for long."""
    return storage._get_stale_trial_ids(study_id)
