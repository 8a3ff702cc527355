"""Whether locks on files hold in a folder, on which a journal depends."""

import logging
import os
import re
import uuid
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, whose locks hold on all of its file systems
    fcntl = None  # type: ignore[assignment]

_MOUNTS = Path("/proc/self/mountinfo")
# By the beginning of a file system's name, the options with which its locks end at the machine.
_LOCAL = {"nfs": {"nolock", "local_lock=flock", "local_lock=all"}, "lustre": {"localflock"}}

_log = logging.getLogger("keras_optim_lab")


def check_locks(folder: Path) -> None:
    """Tries the locks of a folder; says if they hold for the processes of one machine only.

    Raises:
        OSError: they do not hold.
    """
    if fcntl is None:
        return
    path = folder / uuid.uuid4().hex
    files = [os.open(path, os.O_RDWR | os.O_CREAT, 0o666) for _ in range(2)]
    try:
        fcntl.flock(files[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(files[1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        reason = "two may be held at once"
    except BlockingIOError:
        reason = ""  # as it should be
    except OSError as error:
        reason = f"{error.strerror}"
    finally:
        for file in files:
            os.close(file)
        path.unlink(missing_ok=True)
    if reason:
        raise OSError(
            f"locks on files do not work in {str(folder.parent)!r} ({reason}), and without them a "
            "journal is damaged as soon as two processes write. Keep it on another file system, or "
            "the study in a database: storage='postgresql://…' or 'sqlite:///…' on a local disk"
        )
    if option := _local_option(folder):
        _log.warning(
            "%s is mounted with %s: locks hold among the processes of this machine, and those on "
            "others do not know of them. Train the study on this machine only, or keep it in a "
            "database.",
            folder.parent,
            option,
        )


def _local_option(folder: Path) -> str | None:
    """The option of its mount by which locks end at this machine, if there is one."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no Linux
        return None
    place = str(folder.resolve())
    found = "", "", ""
    for line in lines:
        before, _, after = line.partition(" - ")
        mount = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), before.split(" ")[4])
        kind, _, options = [*after.split(" "), "", ""][:3]
        if len(mount) >= len(found[0]) and os.path.commonpath([mount, place]) == mount:
            found = mount, kind, options
    _, kind, options = found
    local = {option for name in _LOCAL if kind.startswith(name) for option in _LOCAL[name]}
    return next((option for option in options.split(",") if option in local), None)
