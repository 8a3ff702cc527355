"""A study's journal: Optuna's file of operations, made to survive what cuts a write short."""

import json
import logging
import os
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.storages import JournalStorage
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import FrozenTrial, TrialState

from keras_optim_lab.tuning.abandoned import WORKER, retry

# Between being taken from the queue and being marked, a trial of a killed process has no owner.
_UNMARKED = timedelta(minutes=1)
_BEGINNING = b'{"op_code":'
_WRITER = "writer"  # the file whose lock the process that writes holds
_INTERVAL = 60  # seconds; locks need no heartbeat, Optuna only asks for a number

_log = logging.getLogger("keras_optim_lab")


class JournalFile(JournalFileBackend):
    """Optuna's journal file, of which every write is whole or not there at all.

    A write that was cut off, by SIGKILL or by a full disk, was never acknowledged, so whoever
    writes next removes what is left of it. Writers wait for each other by a lock that the
    operating system releases when its holder dies. The locks' files are in a hidden folder beside
    the journal, which may be deleted while nobody trains.
    """

    def __init__(self, path: Path):
        super().__init__(str(path))
        self.folder = path.with_name(f".{path.name}.processes")
        self._process_lock = FileLock(self.folder / _WRITER)
        self._joined: list[dict[str, Any]] | None = None
        _check_journal(path)
        if path.stat().st_size and not _ends_with_newline(path):
            with self._writing(), path.open("r+b") as file:
                self._mend(file.fileno())

    @contextmanager
    def together(self) -> Iterator[None]:
        """Writes all that is appended within it at once, and does not read it before."""
        self._joined = []
        try:
            yield
        finally:
            logs, self._joined = self._joined, None
            if logs:
                self.append_logs(logs)

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        # Optuna reads after every write what was written.
        if self._joined is None:
            yield from super().read_logs(log_number_from)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        if self._joined is not None:
            self._joined += logs
            return
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with self._writing():
            file = os.open(self._file_path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                end = self._mend(file)
                try:
                    _write(file, lines.encode())
                    os.fsync(file)
                except BaseException:
                    os.ftruncate(file, end)
                    raise
            finally:
                os.close(file)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self.folder.mkdir(exist_ok=True)
        with self._process_lock:
            yield

    def _mend(self, file: int) -> int:
        """Removes a last line that was cut off; returns where the file then ends."""
        end = os.lseek(file, 0, os.SEEK_END)
        kept = end
        while kept and not _has_newline_before(file, kept):
            kept -= 1
        if kept < end:
            _log.warning(
                "%s: the last write was cut off before it was complete; its %d bytes are removed.",
                self._file_path,
                end - kept,
            )
            os.ftruncate(file, kept)
        return kept


class LocalJournal(JournalStorage, BaseHeartbeat):
    """A journal on this machine that knows which of its trials are abandoned.

    Every process that trains holds a lock on a file of its own beside the journal, and marks its
    trials with that file's name. The lock is released when the process ends, however it ends.
    """

    def __init__(self, path: Path):
        self._file = JournalFile(path)
        self._worker = uuid.uuid4().hex
        self._lock: FileLock | None = None
        super().__init__(self._file)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Writes all that is set within it at once; it is not read before."""
        with self._file.together():
            yield

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        if template_trial is None:
            return self.begin(study_id, 1)[0]._trial_id
        return super().create_new_trial(study_id, template_trial)

    def begin(self, study_id: int, count: int) -> list[FrozenTrial]:
        """New running trials, each marked by the write that creates it as this process's own."""
        known = len(self.get_all_trials(study_id, deepcopy=False))
        log = {
            "study_id": study_id,
            "datetime_start": datetime.now(UTC).isoformat(timespec="microseconds"),
            "state": TrialState.RUNNING,
            "system_attrs": {WORKER: self._present()},
        }
        with self._thread_lock, self._file.together():
            for _ in range(count):
                self._write_log(JournalOperation.CREATE_TRIAL, log)
        trials = self.get_all_trials(study_id, deepcopy=False)[known:]  # of others, too
        return [trial for trial in trials if trial.system_attrs.get(WORKER) == self._worker]

    def record_heartbeat(self, trial_id: int) -> None:
        """Marks a trial as this process's own."""
        worker = self._present()
        if self.get_trial(trial_id).system_attrs.get(WORKER) != worker:
            self.set_trial_system_attr(trial_id, WORKER, worker)

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        if not running:
            return []
        alive = {self._worker, *self._others_alive()}
        return [trial._trial_id for trial in running if _abandoned(trial, alive)]

    def get_heartbeat_interval(self) -> int:
        return _INTERVAL

    def get_heartbeat_stale_trial_callback(
        self,
    ) -> Callable[[optuna.Study, FrozenTrial], None]:
        return retry

    def _present(self) -> str:
        if self._lock is None:
            self._file.folder.mkdir(exist_ok=True)
            self._lock = FileLock(self._file.folder / self._worker)
            self._lock.acquire()
        return self._worker

    def _others_alive(self) -> list[str]:
        alive = []
        for path in self._file.folder.glob("*"):
            if path.name in (self._worker, _WRITER):
                continue
            try:
                with FileLock(path, timeout=0):
                    path.unlink(missing_ok=True)
            except Timeout:
                alive.append(path.name)
        return alive


def _abandoned(trial: FrozenTrial, alive: set[str]) -> bool:
    worker = trial.system_attrs.get(WORKER)
    if worker is None:
        begun = trial.datetime_start or datetime.min
        return datetime.now() - begun > _UNMARKED
    return worker not in alive


def _check_journal(path: Path) -> None:
    """Refuses files of other kinds, which are not to be mended."""
    with path.open("rb") as file:
        beginning = file.read(len(_BEGINNING))
    if not _BEGINNING.startswith(beginning):
        raise ValueError("it is not the journal of a study")


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _has_newline_before(file: int, end: int) -> bool:
    os.lseek(file, end - 1, os.SEEK_SET)
    return os.read(file, 1) == b"\n"


def _write(file: int, content: bytes) -> None:
    # A disk that fills up takes a part first, and refuses the rest at the next attempt.
    while content:
        content = content[os.write(file, content) :]
