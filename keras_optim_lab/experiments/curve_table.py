"""Curves of many settings of one optimizer on several tasks, as one small file."""

import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from keras_optim_lab.experiments.records import lock_of
from keras_optim_lab.files import named, write_whole

CURVES = ("val_loss", "loss")
_SAVED_EVERY = 20.0  # seconds: what a crash may cost


class CurveTable:
    """A NumPy file with `hyperparameters` [setting, name], their `names`, and for each task:

    - `TASK/val_loss` and `TASK/loss` [setting, seed, epoch] in float16, which is a thousandth of a
      loss: infinite from the epoch on in which a run diverged, NaN where nothing was trained;
    - `TASK/seconds`, of all of its trainings.

    Settings and seeds that are added later stand behind those that are there.

    Args:
        path: of the file.
        settings: each by the names of its hyperparameters; None stands as NaN.

    Raises:
        ValueError: the file is no such table, or one of other settings.
    """

    def __init__(self, path: Path, settings: Sequence[dict[str, Any]]):
        self.path = path
        self.names = [*settings[0]]
        rows = [[*each.values()] for each in settings]
        self.hyperparameters = np.array(rows, dtype="float64")
        self._wanted = len(rows)
        self._arrays: dict[str, NDArray] = {}
        self._saved = time.monotonic()
        if path.exists():
            self._arrays = self._read()

    def curves(self, task: str, name: str, seeds: int, epochs: int) -> NDArray:
        """Those of a task, in float64: [setting, seed, epoch]."""
        there = self._arrays.get(f"{task}/{name}")
        wanted = np.full((self._wanted, seeds, epochs), np.nan)
        if there is not None:
            rows, runs = min(len(there), len(wanted)), min(there.shape[1], seeds)
            wanted[:rows, :runs] = there[:rows, :runs]
        return wanted

    def seconds(self, task: str) -> float:
        """That a training of a task took in the mean, beside others."""
        count = int((~np.isnan(self._arrays[f"{task}/val_loss"][..., -1])).sum())
        return float(self._arrays[f"{task}/seconds"]) / max(1, count)

    def keep(self, task: str, row: int, seed: int, curves: dict[str, list[float]]) -> None:
        """Keeps one training; it is on the disk within some seconds, or after `save`."""
        for name in CURVES:
            values = np.array(curves[name], dtype="float64")
            values[~np.isfinite(values)] = np.inf
            with np.errstate(over="ignore"):
                self._at_least(task, name, row, seed, len(values))[row, seed] = values
        if time.monotonic() - self._saved > _SAVED_EVERY:
            self.save()

    def spend(self, task: str, seconds: float) -> None:
        """Counts the time of trainings."""
        name = f"{task}/seconds"
        self._arrays[name] = np.array(self._arrays.get(name, 0.0) + seconds)

    def save(self) -> None:
        """Writes the file, of which readers see all."""
        content = io.BytesIO()
        own = {"hyperparameters": self.hyperparameters, "names": np.array(self.names)}
        np.savez_compressed(content, **own, **self._arrays)  # type: ignore[arg-type]
        write_whole(self.path, content.getvalue())
        self._saved = time.monotonic()

    def _at_least(self, task: str, name: str, row: int, seed: int, epochs: int) -> NDArray:
        """The array of a curve, with room for a training."""
        key = f"{task}/{name}"
        array = self._arrays.get(key, np.empty((0, 0, epochs), "float16"))
        rows, runs = max(len(array), len(self.hyperparameters)), max(array.shape[1], seed + 1)
        if array.shape[:2] != (rows, runs):
            larger = np.full((rows, runs, epochs), np.nan, "float16")
            larger[: array.shape[0], : array.shape[1]] = array
            self._arrays[key] = array = larger
        return array

    def _read(self) -> dict[str, NDArray]:
        try:
            with named(self.path), np.load(self.path) as file:
                arrays = {name: file[name] for name in file.files}
            there, names = arrays.pop("hyperparameters"), [*arrays.pop("names")]
        except (ValueError, KeyError, BadZipFile) as error:
            raise ValueError(
                f"{self.path} is no table of this command's ({error}). Move it, or remove it to "
                "train again what it held."
            ) from None
        both = min(len(there), len(self.hyperparameters))
        known, wanted = there[:both], self.hyperparameters[:both]
        if names != self.names or not np.array_equal(known, wanted, equal_nan=True):
            raise ValueError(
                f"{self.path} holds curves of other settings than these: the optimizer's search "
                "space, or the seed, has changed since. Remove it to train all of them again."
            )
        if len(there) > both:  # a file that asks for fewer loses nothing
            self.hyperparameters = there
        return arrays


def locked(path: Path) -> FileLock:
    """A lock that one process holds while it trains what a table lacks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(lock_of(path))
