"""Where studies live: a journal file beside the work by default, or any Optuna storage."""

import re
import time
import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError

from keras_optim_lab.arguments import near_matches
from keras_optim_lab.redaction import is_url, keeps_secret, shown
from keras_optim_lab.tasks.checks import check_name
from keras_optim_lab.tuning.storages.abandoned import retry
from keras_optim_lab.tuning.storages.buffered import BufferedStorage
from keras_optim_lab.tuning.storages.journal import DamagedJournalError, LocalJournal
from keras_optim_lab.tuning.storages.urls import FORM, with_driver

STUDIES = Path("studies")
SUFFIX = ".journal"
_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)  # seconds until another process has made the tables
_SQLITE_TIMEOUT = 60  # seconds that a writer waits for another
# Seconds between a process's signs of life in a database, and after the last one of them until
# others train its trials: longer than a database is usually away.
_HEARTBEAT = 20
_GRACE = 120


def open_storage(storage: str | Path | BaseStorage | None, name: str) -> BaseStorage:
    """The storage of study `name`.

    Args:
        storage: None for the journal file `studies/NAME.journal`; a path to a journal file; an
            Optuna URL such as `sqlite:///studies.db`; or an Optuna storage.
        name: of the study.

    Raises:
        TypeError: the storage is none of these, or the name no string.
        OSError: the storage cannot be opened; nothing has been written.
    """
    storage = journal_path(name) if storage is None else storage
    _check(storage, name)
    if isinstance(storage, BaseStorage):
        return storage
    try:
        if is_url(storage):
            return _database(str(storage))
        path = Path(storage)
        path.parent.mkdir(parents=True, exist_ok=True)
        return LocalJournal(path)
    except DamagedJournalError:
        raise
    except Exception as error:
        # Also what led to it would be printed, by whoever prints it.
        tells = keeps_secret(error, storage)
        reason = f"{type(error).__name__}: {error}".partition("\n")[0].rstrip(".")
        raise OSError(
            f"The storage {shown(storage)!r} cannot be opened "
            f"({reason if tells else f'{type(error).__name__}; {FORM}'}). "
            "Give the path of a journal "
            "file in a folder that can be written, or an Optuna URL such as "
            f"{_as_url(storage)}."
        ) from (error if tells else None)


def _check(storage: Any, name: Any) -> None:
    check_name(name)
    if not isinstance(storage, str | Path | BaseStorage):
        raise TypeError(
            "`storage` must be the path of a journal file, an Optuna URL such as "
            f"sqlite:///studies.db, or an Optuna storage. Received: storage={storage!r}"
        )


def _as_url(storage: str | Path) -> str:
    """The URL that was meant where a path looks like that of a database."""
    path = Path(storage)
    meant = not is_url(storage) and path.suffix in (".db", ".sqlite", ".sqlite3")
    return f"sqlite:///{path if meant else 'studies.db'}"


def _database(url: str) -> RDBStorage:
    url = with_driver(url)
    file = _file(url)
    new = file is not None and not file.exists()
    for pause in _PAUSES:
        try:
            return _with_tables(url, new)
        except DBAPIError as error:
            # Another process may be creating the tables, and Optuna does not expect that.
            made = isinstance(error, IntegrityError) or "already exists" in str(error.orig)
            if not made and "locked" not in str(error.orig):
                raise
        time.sleep(pause)
    return _with_tables(url, new)


def _with_tables(url: str, new: bool) -> RDBStorage:
    connection = {"timeout": _SQLITE_TIMEOUT} if url.startswith("sqlite") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats
        storage = RDBStorage(
            url,
            engine_kwargs={"pool_pre_ping": True, "connect_args": connection},
            heartbeat_interval=_HEARTBEAT,
            grace_period=_GRACE,
            heartbeat_stale_trial_callback=retry,
        )
    if new:
        with storage.engine.connect() as opened:
            # Readers do not wait for a writer, and a commit is one write to the disk.
            opened.exec_driver_sql("PRAGMA journal_mode=WAL")
    return storage


def place_of(storage: BaseStorage) -> str | None:
    """What opens it again, a path or a URL as it may be shown; None where nothing does."""
    while isinstance(storage, BufferedStorage):
        storage = storage.storage
    if isinstance(storage, LocalJournal):
        return str(storage.path)
    if not isinstance(storage, RDBStorage):
        return None
    in_memory = make_url(storage.url).get_backend_name() == "sqlite" and not _file(storage.url)
    return None if in_memory else shown(storage.url)


def journal_path(name: str) -> Path:
    """The file that holds study `name` when no storage is given.

    Raises:
        ValueError: the name cannot be the name of a file.
    """
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.+-]*", name):
        raise ValueError(
            "A study's name is made of letters, digits and . _ + - when it is kept in a file "
            f"under {STUDIES}/. Received: name={_quoted(name)}"
        )
    return STUDIES / f"{name}{SUFFIX}"


def stored_studies() -> list[str]:
    """Names of the studies kept under `studies/`, newest last."""
    files = sorted(STUDIES.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime)
    return [path.name.removesuffix(SUFFIX) for path in files]


def load_study(
    name: str, storage: str | Path | BaseStorage | None = None
) -> tuple[optuna.Study, BufferedStorage]:
    """An existing study, and the storage in which it is.

    Raises:
        ValueError: there is none of this name; the message lists near ones. Nothing is created.
    """
    if storage is None and not journal_path(name).exists():
        known = stored_studies()
        raise ValueError(
            f"There is no study {name!r} under {STUDIES}/.{near_matches(name, known)} "
            + (f"There are: {', '.join(known)}." if known else "The folder holds no study yet.")
        )
    _check(journal_path(name) if storage is None else storage, name)
    if (file := _file(storage)) is not None and not file.exists():
        raise ValueError(
            f"There is no study {_quoted(name)}: there is no storage {shown(storage)!r}."
        )
    opened = BufferedStorage(open_storage(storage, name))
    try:
        return optuna.load_study(study_name=name, storage=opened), opened
    except KeyError:
        known = [study.study_name for study in optuna.get_all_study_summaries(opened)]
        raise ValueError(
            f"There is no study {_quoted(name)} in this storage.{near_matches(name, known)} "
            f"There are: {', '.join(known) or 'none'}."
        ) from None


def _file(storage: str | Path | BaseStorage | None) -> Path | None:
    """The file behind a storage that is named by one, which opening it would create."""
    if not isinstance(storage, str | Path):
        return None
    if not is_url(storage):
        return Path(storage)
    try:
        url = make_url(str(storage))
    except (ArgumentError, ValueError):
        return None
    named = url.database and url.database != ":memory:" and not url.database.startswith("file:")
    return Path(url.database or "") if named and url.get_backend_name() == "sqlite" else None


def _quoted(name: object) -> str:
    """A study's name in a message; where a URL was given for it, as that may be shown."""
    return repr(shown(name) if is_url(name) else name)
