"""The results file: one JSON line for every finished training."""

import json
import os
from pathlib import Path
from typing import Any

from filelock import FileLock

from keras_optim_lab.experiments.schema import ExperimentError
from keras_optim_lab.files import named

_BEGINNING = b'{"settings": '


class Records:
    """Finished trainings, by their settings.

    A line is written whole and to the disk before the next training counts, so it survives
    whatever ends the process. A last line that was cut off is not read, and the next one that is
    written takes its place. Several processes may run one experiment: they write one after the
    other, by a lock that is released when its holder dies, and each finds what the others have
    finished.
    """

    def __init__(self, path: Path):
        """Reads what is there; a file that is missing holds nothing.

        Raises:
            ExperimentError: a line of the file is no record.
        """
        self.path = path
        self._found: dict[str, dict[str, Any]] = {}  # results by settings
        self._end = self._lines = 0
        self._read_on()

    def find(self, settings: dict[str, Any]) -> dict[str, Any] | None:
        """The result of a training with exactly these settings."""
        self._read_on()
        return self._found.get(_key(settings))

    def add(self, settings: dict[str, Any], result: dict[str, Any], **more: Any) -> None:
        """Keeps a result, which is on the disk when this returns; the first one of its settings."""
        record = {"settings": settings, "result": result, **more}
        line = (json.dumps(record, allow_nan=False, ensure_ascii=False) + "\n").encode()
        with named(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(lock_of(self.path)):
                if self.find(settings) is None:
                    self._append(line)
                    self._keep(line)

    def _append(self, line: bytes) -> None:
        """Writes where the whole lines end; only what was cut off can follow them."""
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            os.ftruncate(file, self._end)
            os.lseek(file, self._end, os.SEEK_SET)
            try:
                rest = line
                while rest:
                    rest = rest[os.write(file, rest) :]
                os.fsync(file)
            except BaseException:
                os.ftruncate(file, self._end)
                raise
        finally:
            os.close(file)

    def _read_on(self) -> None:
        """Reads the whole lines that were written since."""
        size = self.path.stat().st_size if self.path.exists() else 0
        if size < self._end:  # another file has taken its place
            self._found.clear()
            self._end = self._lines = 0
        if size == self._end:
            return
        with self.path.open("rb") as file:
            file.seek(self._end)
            for line in file:
                if not line.endswith(b"\n"):
                    self._check(line.startswith(_BEGINNING[: len(line)]))
                    break
                self._keep(line)

    def _keep(self, line: bytes) -> None:
        try:
            record = json.loads(line)
            self._found[_key(record["settings"])] = record["result"]
        except (ValueError, KeyError, TypeError):
            self._check(False)
        self._end += len(line)
        self._lines += 1

    def _check(self, is_record: bool) -> None:
        if not is_record:
            raise ExperimentError(
                f"{self.path.name}, line {self._lines + 1} of the results is no record of this "
                "command's. Remove the line, or the file, to train again what it held."
            ) from None


def lock_of(path: Path) -> Path:
    """The file whose lock a process holds while it writes to the results at `path`."""
    return path.with_name(f".{path.name}.lock")


def _key(settings: dict[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)
