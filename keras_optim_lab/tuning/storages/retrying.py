"""A database that is away for a minute is waited for."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from keras_optim_lab.tuning.interruption import raise_if_interrupted

Result = TypeVar("Result")

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
_GIVE_UP = 300.0  # seconds without an answer

_log = logging.getLogger("keras_optim_lab")


def patiently(function: Callable[..., Result], *arguments, **named) -> Result:
    """Calls the function again, after longer and longer pauses, while the database is away.

    Raises:
        OSError: the database did not come back within five minutes, or cannot write any more.
        Exception: what the function raised, if it is no matter of where the database is.
    """
    begun, pause = time.monotonic(), _FIRST_PAUSE
    while True:
        try:
            result = function(*arguments, **named)
        except (DBAPIError, StorageInternalError) as error:
            failure = _failure(error)
            if failure is None:
                raise
            if _final(failure) or time.monotonic() - begun > _GIVE_UP:
                reason = str(failure.orig).partition("\n")[0]
                raise OSError(
                    f"The study's database cannot be used any more ({reason}). It keeps what was "
                    "stored before; start again when it can."
                ) from error
            if pause == _FIRST_PAUSE:
                _log.warning(
                    "The study's database does not answer (%s); trying again for %d minutes.",
                    type(error).__name__,
                    _GIVE_UP // 60,
                )
            time.sleep(pause)
            raise_if_interrupted()
            pause = min(2 * pause, _LONGEST_PAUSE)
        else:
            if pause > _FIRST_PAUSE:
                _log.warning("The study's database answers again.")
            return result


def _failure(error: BaseException) -> DBAPIError | None:
    """That of the connection, of a lock that others hold for long, or of the disk behind it."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if isinstance(cause, OperationalError | InterfaceError):
        return cause
    return cause if isinstance(cause, DBAPIError) and cause.connection_invalidated else None


_FINAL = ("no such table", "readonly", "read-only", "disk is full", "disk i/o error")


def _final(error: DBAPIError) -> bool:
    """Whether the database did answer: with a table that is missing, or a file it cannot write."""
    text = str(error.orig).lower()
    return not error.connection_invalidated and any(part in text for part in _FINAL)
