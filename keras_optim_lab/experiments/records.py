"""The results file: one JSON line for every finished training."""

import json
import os
from pathlib import Path
from typing import Any

from keras_optim_lab.experiments.schema import ExperimentError


class Records:
    """Finished trainings, by their settings.

    A line is written whole and to the disk before the next training counts, so it survives
    whatever ends the process. A last line that was cut off is not read, and the next one that is
    written takes its place.
    """

    def __init__(self, path: Path):
        """Reads what is there; a file that is missing holds nothing.

        Raises:
            ExperimentError: a whole line of the file is no record.
        """
        self.path = path
        self._found: dict[str, dict[str, Any]] = {}
        self._end = 0
        content = path.read_bytes() if path.exists() else b""
        for number, line in enumerate(content.splitlines(keepends=True), 1):
            if not line.endswith(b"\n"):
                break
            try:
                record = json.loads(line)
                self._found[_key(record["settings"])] = record
            except (ValueError, KeyError, TypeError):
                raise ExperimentError(
                    f"{path.name}, line {number} of the results is no record of this command's. "
                    "Remove the line, or the file, to train again what it held."
                ) from None
            self._end += len(line)

    def find(self, settings: dict[str, Any]) -> dict[str, Any] | None:
        """The result of a training with exactly these settings."""
        record = self._found.get(_key(settings))
        return None if record is None else record["result"]

    def add(self, settings: dict[str, Any], result: dict[str, Any], **more: Any) -> None:
        """Keeps a result; it is on the disk when this returns."""
        record = {"settings": settings, "result": result, **more}
        line = (json.dumps(record, allow_nan=False, ensure_ascii=False) + "\n").encode()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            os.ftruncate(file, self._end)
            os.lseek(file, self._end, os.SEEK_SET)
            rest = line
            while rest:
                rest = rest[os.write(file, rest) :]
            os.fsync(file)
        finally:
            os.close(file)
        self._end += len(line)
        self._found[_key(settings)] = json.loads(line)


def _key(settings: dict[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)
