"""Where studies live: a journal file beside the work by default, or any Optuna storage."""

import re
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from keras_optim_lab.optimizers.fields import near_matches

STUDIES = Path("studies")
_SUFFIX = ".journal"


def open_storage(storage: str | Path | BaseStorage | None, name: str) -> BaseStorage:
    """The storage of study `name`.

    Args:
        storage: None for the journal file `studies/NAME.journal`; a path to a journal file; an
            Optuna URL such as `sqlite:///studies.db`; or an Optuna storage.
        name: of the study.

    Raises:
        OSError: the storage cannot be opened; nothing has been written.
    """
    if isinstance(storage, BaseStorage):
        return storage
    if storage is None:
        storage = journal_path(name)
    try:
        if isinstance(storage, str) and "://" in storage:
            return optuna.storages.get_storage(storage)
        path = Path(storage)
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_last_line(path)
        return JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0].rstrip(".")
        raise OSError(
            f"The storage {str(storage)!r} cannot be opened ({reason}). Give the path of a journal "
            "file in a folder that can be written, or an Optuna URL such as "
            "sqlite:///studies.db."
        ) from error


def _check_last_line(path: Path) -> None:
    """Refuses a journal whose last write was cut short: the next one would make it unreadable."""
    if path.is_file() and (content := path.read_bytes()) and not content.endswith(b"\n"):
        raise ValueError("its last line is cut off; delete that line to go on from the one before")


def journal_path(name: str) -> Path:
    """The file that holds study `name` when no storage is given.

    Raises:
        ValueError: the name cannot be the name of a file.
    """
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.+-]*", name):
        raise ValueError(
            "A study's name is made of letters, digits and . _ + - when it is kept in a file "
            f"under {STUDIES}/. Received: name={name!r}"
        )
    return STUDIES / f"{name}{_SUFFIX}"


def stored_studies() -> list[str]:
    """Names of the studies kept under `studies/`, newest last."""
    files = sorted(STUDIES.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime)
    return [path.name.removesuffix(_SUFFIX) for path in files]


def load_study(name: str, storage: str | Path | BaseStorage | None = None) -> optuna.Study:
    """An existing study.

    Raises:
        ValueError: there is none of this name; the message lists near ones. Nothing is created.
    """
    if storage is None and not journal_path(name).exists():
        known = stored_studies()
        raise ValueError(
            f"There is no study {name!r} under {STUDIES}/.{near_matches(name, known)} "
            + (f"There are: {', '.join(known)}." if known else "The folder holds no study yet.")
        )
    if (file := _file(storage)) is not None and not file.exists():
        raise ValueError(f"There is no study {name!r}: there is no storage {str(storage)!r}.")
    opened = open_storage(storage, name)
    try:
        return optuna.load_study(study_name=name, storage=opened)
    except KeyError:
        known = [study.study_name for study in optuna.get_all_study_summaries(opened)]
        raise ValueError(
            f"There is no study {name!r} in this storage.{near_matches(name, known)} "
            f"There are: {', '.join(known) or 'none'}."
        ) from None


def _file(storage: str | Path | BaseStorage | None) -> Path | None:
    """The file behind a storage that is named by one, which opening it would create."""
    if isinstance(storage, str) and "://" in storage:
        dialect, _, path = storage.partition(":///")
        return Path(path) if dialect == "sqlite" and path else None
    return Path(storage) if isinstance(storage, str | Path) else None
