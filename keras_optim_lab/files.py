"""Files that others may be reading, or writing at the same time: pages, documents, pictures."""

import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LONGEST = 180  # bytes of a name, which is to have room for endings: file systems take 255


def write_whole(path: Path, content: str | bytes) -> Path:
    """Writes a file of which everyone sees all, or what stood there before; returns `path`.

    It is written beside, under a name that nobody has, and renamed when it is on the disk: a full
    disk costs no earlier file, of several writers the last one's is there, and no link is
    followed. A folder that is missing is made. A device or a pipe is written to as it is.

    Raises:
        OSError: it cannot be written; what stood there is as it was.
    """
    content = content.encode(errors="replace") if isinstance(content, str) else content
    with named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if _is_stream(path):
            path.write_bytes(content)
        else:
            _replace(path, content)
    return path


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Lets an OSError name the file that is read or written; that of a full disk names none."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{uuid.uuid4().hex}.part")
    file = draft.open("xb")
    try:
        with file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, draft)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _is_stream(path: Path) -> bool:
    """Whether it is a device, a pipe or what this process prints to: no place for a new file."""
    if not path.exists():
        return False
    link_of_the_system = path.is_symlink() and path.parent.resolve().parts[1:2] in (
        ("dev",),
        ("proc",),
    )
    return link_of_the_system or not path.is_file()


def file_name(text: str) -> str:
    """A text as the name of a file in any folder, without an ending.

    What is no letter, digit or one of . _ + - becomes -, and dots in front are left out. Of a long
    one the beginning is left and a sum of the whole, so that no two long ones have one name.
    """
    name = re.sub(r"[^\w.+-]+", "-", text).lstrip("-.+").rstrip("-")
    if len(name.encode()) > _LONGEST:
        whole = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]
        name = f"{name.encode()[:_LONGEST].decode(errors='ignore')}-{whole}"
    return name or "unnamed"
