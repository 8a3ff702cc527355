"""A study's journal: Optuna's file of operations, made to survive what cuts a write short."""

import json
import logging
import os
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from optuna.distributions import distribution_to_json
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial, TrialState

from keras_optim_lab.tuning.storages.locks import check_locks
from keras_optim_lab.tuning.storages.optuna_private import JournalOperation, id_of
from keras_optim_lab.tuning.storages.store import Changes, Store

# What Optuna's own journals begin holds no lock here, and may be anything from alive to gone.
_UNKNOWN = timedelta(minutes=1)
_BEGINNING = b'{"op_code":'
_WRITER = "writer"  # the file whose lock the process that writes holds
_LOOK = 0.002  # seconds between two looks whether it is free; a write takes about as long

_PLACE = "at"  # in the first line of a write, the bytes before it
_SHIFTED = "lines before it are missing, or were added"

_log = logging.getLogger("keras_optim_lab")


class DamagedJournalError(OSError):
    """A line of a journal is not what was written, or where it was written."""


class JournalFile(BaseJournalBackend):
    """The lines of a journal, of which every write is whole or not there at all.

    A write that was cut off, by SIGKILL or by a full disk, was never acknowledged, so whoever
    writes next removes what is left of it. Writers wait for each other by a lock that the
    operating system releases when its holder dies. The locks' files are in a hidden folder beside
    the journal, which may be deleted while nobody trains.
    """

    def __init__(self, path: Path):
        self.path = path
        self.folder = path.with_name(f".{path.name}.processes")
        self._places = [0]  # of the lines that were read, and of the next
        self._joined: list[dict[str, Any]] | None = None
        self._writer: int | None = None  # the thread that is alone
        self._prepared = False
        if not path.exists():
            path.open("ab").close()
        with path.open("rb") as file:
            beginning = file.read(len(_BEGINNING))
            whole = _ends_a_line(file.fileno(), file.seek(0, os.SEEK_END))
        if not _BEGINNING.startswith(beginning):  # a file of another kind is not to be mended
            raise ValueError("it is not the journal of a study")
        if not whole:
            with self.alone(), path.open("r+b") as file:
                self._mend(file.fileno())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_joined": None, "_writer": None}

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

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        # Optuna reads after every write what was written.
        if self._joined is not None:
            return
        with self.path.open("rb") as file:
            place = file.seek(self._places[log_number_from])
            for number, line in enumerate(file, log_number_from):
                if not line.endswith(b"\n"):  # it is being written, or was cut off
                    return
                try:
                    log = json.loads(line)
                except ValueError as error:
                    raise self.damaged(number, "cannot be read") from error
                if not isinstance(log, dict):
                    raise self.damaged(number, "is no operation")
                if (written := log.pop(_PLACE, place)) != place:
                    what = f"was written at byte {written} and stands at byte {place}"
                    raise self.damaged(number, f"{what}: {_SHIFTED}")
                place += len(line)
                if number + 1 == len(self._places):
                    self._places.append(place)
                yield log

    def damaged(self, number: int, what: str) -> DamagedJournalError:
        """That one of its lines, counted from 0, is not what was written."""
        return DamagedJournalError(
            f"The journal {str(self.path)!r} is damaged: line {number + 1} {what}. Restore the "
            "file from a copy, or delete this line and all after it; the study then goes on from "
            "there."
        )

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        if self._joined is not None:
            self._joined += logs
            return
        with self.alone():
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                end = self._mend(file)
                logs = [{**logs[0], _PLACE: end}, *logs[1:]]
                lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
                try:
                    _write(file, lines.encode())
                    os.fsync(file)
                except BaseException:
                    os.ftruncate(file, end)
                    raise
            except OSError as error:
                error.filename = str(self.path)  # the system knows it by its number only
                raise
            finally:
                os.close(file)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lets nobody else write to the journal within it."""
        thread = threading.get_ident()
        if self._writer == thread:
            yield
            return
        self.prepare()
        # A new one, since none outlives a fork.
        with FileLock(self.folder / _WRITER, poll_interval=_LOOK):
            self._writer = thread
            try:
                yield
            finally:
                self._writer = None

    def prepare(self) -> None:
        """Makes the folder for locks, and tries whether they hold in it."""
        if not self._prepared or not self.folder.exists():
            self.folder.mkdir(exist_ok=True)
            check_locks(self.folder)
            self._prepared = True

    def _mend(self, file: int) -> int:
        """Removes a last line that was cut off; returns where the file then ends."""
        end = os.lseek(file, 0, os.SEEK_END)
        kept = end
        while not _ends_a_line(file, kept):
            kept -= 1
        if kept < end:
            _log.warning(
                "%s: the last write was cut off before it was complete; its %d bytes are removed.",
                self.path,
                end - kept,
            )
            os.ftruncate(file, kept)
        return kept


class LocalJournal(JournalStorage, Store):
    """A journal on this machine that knows which of its trials are abandoned.

    Every process that writes holds a lock on a file beside the journal that has the name of the
    worker in its lines. The lock is released when the process ends, however it ends.
    """

    finds_abandoned = True

    def __init__(self, path: Path):
        self._file = JournalFile(path)
        self._lock: FileLock | None = None
        self._workers: dict[int, str] = {}  # by trial, who has begun it
        super().__init__(self._file)

    @property
    def storage(self) -> BaseStorage:
        return self

    def __getstate__(self) -> dict[Any, Any]:
        return {**super().__getstate__(), "_lock": None, "_workers": {}}

    def write(self, changes: Sequence[Changes]) -> set[int]:
        self.get_trial(changes[0].trial_id)  # reads up to the end once, not for each
        with self._file.together():
            return super().write(changes)

    def claim(
        self, study_id: int, attributes: Mapping[str, object], queue: Sequence[FrozenTrial] = ()
    ) -> bool:
        with self._thread_lock, self._file.alone():
            self._sync_with_backend()
            if attributes.keys() & self._replay_result.get_study(study_id).user_attrs:
                return False
            with self._file.together():
                for key, value in attributes.items():
                    log = {"study_id": study_id, "user_attr": {key: value}}
                    self._write_log(JournalOperation.SET_STUDY_USER_ATTR, log)
                for trial in queue:
                    self._write_log(JournalOperation.CREATE_TRIAL, _waiting(study_id, trial))
            self._sync_with_backend()
            return True

    def begin(self, study_id: int, count: int) -> list[FrozenTrial]:
        begun = datetime.now(UTC).isoformat(timespec="microseconds")
        log = {"study_id": study_id, "datetime_start": begun}
        with self._thread_lock:
            self._sync_with_backend()
            known = len(self._replay_result.get_all_trials(study_id, None))
            with self._file.together():
                for _ in range(count):
                    self._write_log(JournalOperation.CREATE_TRIAL, log)
            self._sync_with_backend()
            trials = self._replay_result.get_all_trials(study_id, None)[known:]  # of others, too
            return [trial for trial in trials if self._workers[id_of(trial)] == self._worker]

    def stale(self, study_id: int) -> list[int]:
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        if not running:
            return []
        alive = {self._worker, *self._others_alive()}
        return [id_of(trial) for trial in running if self._is_abandoned(trial, alive)]

    @property
    def path(self) -> Path:
        """Of its file."""
        return self._file.path

    @property
    def _worker(self) -> str:
        return _worker(self._replay_result.worker_id)

    def _write_log(self, op_code: int, extra_fields: dict[str, Any]) -> None:
        # Not before, since who only reads leaves nothing beside the journal; and again in a process
        # that was forked off, which is another worker.
        if self._lock is None or not self._lock.is_locked:
            self._join()
        super()._write_log(op_code, extra_fields)

    def _join(self) -> None:
        name = uuid.uuid4().hex
        self._file.prepare()
        self._lock = FileLock(self._file.folder / name, thread_local=False)
        self._lock.acquire()
        self._worker_id_prefix = self._replay_result._worker_id_prefix = f"{name}-"

    def _sync_with_backend(self) -> None:
        replayed = self._replay_result
        for number, log in enumerate(
            self._file.read_logs(replayed.log_number_read), replayed.log_number_read
        ):
            try:
                replayed.apply_logs([log])
                begun = log.get("trial_id", len(replayed._trials) - 1)
                if (trial := replayed._trials.get(begun)) and trial.state == TrialState.RUNNING:
                    self._workers.setdefault(begun, _worker(log["worker_id"]))
            except Exception as error:
                if log.get("worker_id") == replayed.worker_id:
                    raise  # what this process has just asked for
                raise self._file.damaged(number, "is no operation") from error

    def _is_abandoned(self, trial: FrozenTrial, alive: set[str]) -> bool:
        worker = self._workers[id_of(trial)]
        if "-" in worker:  # Optuna's own
            return datetime.now() - (trial.datetime_start or datetime.min) > _UNKNOWN
        return worker not in alive

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


def _waiting(study_id: int, trial: FrozenTrial) -> dict[str, Any]:
    """What a line says of a trial that is put into the queue."""
    distributions = trial.distributions
    return {
        "study_id": study_id,
        "state": TrialState.WAITING,
        "datetime_start": None,
        "distributions": {n: distribution_to_json(each) for n, each in distributions.items()},
        "params": {n: distributions[n].to_internal_repr(v) for n, v in trial.params.items()},
        "user_attrs": trial.user_attrs,
    }


def _worker(worker_id: str) -> str:
    """The worker in the lines of all its threads."""
    return worker_id.rpartition("-")[0]


def _ends_a_line(file: int, end: int) -> bool:
    """Whether nothing stands before this byte, or a whole line."""
    if end == 0:
        return True
    os.lseek(file, end - 1, os.SEEK_SET)
    return os.read(file, 1) == b"\n"


def _write(file: int, content: bytes) -> None:
    # A disk that fills up takes a part first, and refuses the rest at the next attempt.
    while content:
        content = content[os.write(file, content) :]
