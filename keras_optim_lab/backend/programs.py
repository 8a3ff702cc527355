"""Compiled programs on disk: those of one process serve the next."""

import hashlib
import logging
import os
import platform
from contextlib import suppress
from pathlib import Path

from keras_optim_lab.keras_private import keras_home

VARIABLE = "KERAS_OPTIM_LAB_PROGRAMS"
MOST = 2**30  # bytes
_PREFIX, _SUFFIX = "jax-", "-cache"  # of our folders, and of JAX's files

_log = logging.getLogger("keras_optim_lab")


def folder() -> Path | None:
    """Where programs are kept; None if the variable is set to nothing, so that none are."""
    given = os.environ.get(VARIABLE)
    if given is None:
        return Path(keras_home()).expanduser() / "keras_optim_lab" / "programs"
    return Path(given).expanduser() if given else None


def prepared() -> Path | None:
    """The part of the folder for processors like this one, or None if nothing can be kept.

    A program holds instructions that another processor may not have, and homes are shared. Where
    the folder holds more than `MOST`, those written first are removed.
    """
    place = folder()
    if place is None:
        return None
    own = place / f"{_PREFIX}{_processor()}"
    try:
        own.mkdir(parents=True, exist_ok=True)
        if not os.access(own, os.W_OK):
            raise PermissionError(f"{own} is not writable")
        _shrink(place)
    except OSError as error:
        _log.info("Compiled programs are not kept: %s. %s names another folder.", error, VARIABLE)
        return None
    return own


def kept() -> list[Path]:
    """The files of all programs, the one written first at the beginning."""
    place = folder()
    found = []
    # Nothing else of a folder that also holds other things.
    for path in place.glob(f"{_PREFIX}*/*{_SUFFIX}") if place else ():
        with suppress(OSError):  # another process removes some, too
            if path.is_file():
                found.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(found)]


def clear() -> None:
    """Removes all of them, and nothing else."""
    for path in kept():
        with suppress(OSError):
            path.unlink()


def _shrink(place: Path) -> None:
    files = kept()
    total = sum(size(path) for path in files)
    for path in files:
        if total <= MOST:
            break
        total -= size(path)
        with suppress(OSError):
            path.unlink()


def size(path: Path) -> int:
    """Bytes; 0 of a file that is gone."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _processor() -> str:
    told = platform.machine()
    with suppress(OSError):  # not Linux
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        told += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(told.encode()).hexdigest()[:16]
