"""A task's data for one epoch after the other: of a pipeline, one reading serves all rows."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_optim_lab.keras_private import EpochIterator
from keras_optim_lab.tasks import Task
from keras_optim_lab.tasks.pipelines import Pipeline, is_pipeline
from keras_optim_lab.tuning.engines.batches import on_device
from keras_optim_lab.tuning.engines.devices import Device, on
from keras_optim_lab.tuning.engines.memory import check_data_fits, free_memory
from keras_optim_lab.tuning.engines.pure_model import ImpureModelError

_COPIES = 3  # of a pass: what is trained on, what is read meanwhile, and its batches
_HOOKS = "on_epoch_begin", "on_epoch_end"


class Passes:
    """What epochs are trained and measured on, on each device.

    Splits of arrays are there once. A pipeline is read as `fit` reads it, and each reading, a pass,
    is what an epoch of all rows is trained on. One that holds the same when it is read the second
    time is held from then on. All is read in the main thread: a pipeline may draw from the global
    streams, which the weights of models are drawn from, and may start processes.

    Args:
        task: with splits of arrays or pipelines.
        folds: into which arrays are parted, if they are.
        devices: that hold the data.

    Attributes:
        task: the same, with what pipelines held first as arrays.
        validation_batch: samples of a batch that is measured on.

    Raises:
        ImpureModelError: a pipeline cannot be held.
        MemoryError: arrays do not fit on the device.
        ValueError: a pipeline cannot be read twice.
    """

    def __init__(self, task: Task, folds: int | None = None, devices: Sequence[Device] = (None,)):
        splits = {"train": task.train, "validation": task.validation}
        self._readers = {n: _Reader(n, each) for n, each in splits.items() if is_pipeline(each)}
        self._given = task
        self._devices = devices
        self._count = 1
        self._next: dict[str, Any] | None = None
        first = self._read()
        self._form = self._form_of(first)
        validation = self._readers.get("validation")
        self.validation_batch = validation.batch_size if validation else task.batch_size
        self.task = self._in_memory(first)
        check_data_fits(self.task)
        self._hold(self.task, folds)
        self._changes = bool(self._readers) and not self._is_the_same(first)

    def after(self, seen: int, device: Device = None) -> tuple[int, Any]:
        """The data of an epoch, and the number of the pass that they are.

        Args:
            seen: the number of the last pass that these rows were trained on; 0 of none.
            device: where these rows are.

        Raises:
            RuntimeError: a pipeline holds another number of samples than before.
        """
        if self._changes and seen == self._count:
            self.look_ahead()
            read, self._next = self._next, None
            assert read is not None
            self._count += 1
            self._hold(self._in_memory(read))
        return self._count, self._data[device]

    def _hold(self, task: Task, folds: int | None = None) -> None:
        self._data = {}  # the memory of the last pass is free before the next one takes its own
        for device in self._devices:
            with on(device):
                self._data[device] = on_device(task, folds)

    def look_ahead(self) -> None:
        """Reads what the next epoch is trained on, unless it is there."""
        if not self._changes or self._next is not None:
            return
        try:
            read = self._read()
        except ImpureModelError as error:
            raise RuntimeError(f"task {self._given.name!r}: {error}, unlike before") from error
        if (found := self._form_of(read)) != self._form:
            raise RuntimeError(
                f"task {self._given.name!r}: its pipeline now holds {_in_words(found)}, and held "
                f"{_in_words(self._form)} before. Trials that train side by side need batches of "
                "the same size, and as many, in every epoch: cut it, with .take(batches) or a "
                "__len__."
            )
        self._next = read

    def _read(self) -> dict[str, Any]:
        return {name: reader.read() for name, reader in self._readers.items()}

    def _form_of(self, read: dict[str, Any]) -> list[Any]:
        """What must be the same in every pass."""
        arrays = [(each.shape, each.dtype) for each in keras.tree.flatten(read)]
        return [*arrays, *(reader.batch_size for reader in self._readers.values())]

    def _is_the_same(self, first: dict[str, Any]) -> bool:
        """Whether the second reading is the first one, and nothing says that others differ."""
        second = self._read()
        if self._form_of(second) != self._form:
            raise ImpureModelError("its pipeline holds another number of samples in every epoch")
        pairs = zip(*map(keras.tree.flatten, (first, second)), strict=True)
        same = all(each.may_repeat for each in self._readers.values()) and all(
            np.array_equal(*pair) for pair in pairs
        )
        self._next = None if same else second
        return same

    def _in_memory(self, read: dict[str, Any]) -> Task:
        if not read:
            return self._given
        changes: dict[str, Any] = {**read, "test": None}
        task = self._given
        if "train" in read:
            size = self._readers["train"].batch_size
            changes.update(batch_size=size, shuffle="never", drop_remainder=False)
            if "validation" not in read:  # whole batches of the task's own size, if it says so
                parts = task.arrays("validation")
                changes["validation"] = tuple(part for part in parts if part is not None)
        elif task.drop_remainder and len(keras.tree.flatten(read)[0]) % task.batch_size:
            raise ImpureModelError("drop_remainder leaves a pipeline for validation as it is")
        return replace(task, **changes)


def _in_words(form: list[Any]) -> str:
    shape, dtype = form[0]
    *_, size = form
    return f"{shape[0]} samples of {dtype} in batches of {size}"


class _Reader:
    """Reads a pipeline as `fit` does.

    Attributes:
        batch_size: of all of its batches but the last.
        may_repeat: whether it does nothing between epochs that would make the next one another.
    """

    def __init__(self, name: str, pipeline: Pipeline):
        self._name = name
        self._epochs = EpochIterator(pipeline)
        self._epochs.reset()
        self.batch_size = 1
        kind, base = type(pipeline), keras.utils.PyDataset
        self.may_repeat = not isinstance(pipeline, base) or all(
            getattr(kind, hook, None) is getattr(base, hook, None) for hook in _HOOKS
        )

    def read(self) -> tuple[Any, ...]:
        """All of an epoch as arrays: (x, y) or (x, y, sample_weight)."""
        batches = [*self._batches()]
        if not batches:
            raise ValueError(
                f"{self._name}: the pipeline is empty when it is read, as one is that can be read "
                "only once. Every epoch of every trial reads it: make it of what can be read again."
            )
        sizes = [len(keras.tree.flatten(batch)[0]) for batch in batches]
        self.batch_size = sizes[0]
        if any(size != sizes[0] for size in sizes[:-1]) or sizes[-1] > sizes[0]:
            raise ImpureModelError(f"its pipeline for {self._name} has batches of several sizes")
        try:
            return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *batches)
        except ValueError as error:
            raise ImpureModelError(
                f"its pipeline for {self._name} has samples of several shapes"
            ) from error

    def _batches(self) -> Iterator[tuple[Any, ...]]:
        total, most = 0, free_memory() // _COPIES
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it ends, where it has not said when
            for _, _, (batch,) in self._epochs.enumerate_epoch():
                parts = keras.utils.unpack_x_y_sample_weight(batch)
                parts = tuple(
                    keras.tree.map_structure(np.asarray, part) for part in parts if part is not None
                )
                arrays = keras.tree.flatten(parts)
                total += sum(array.nbytes for array in arrays)
                if any(array.dtype.kind in "OSU" for array in arrays):
                    raise ImpureModelError(f"its pipeline for {self._name} holds no numbers")
                if total > most:
                    raise ImpureModelError(
                        f"its pipeline for {self._name} does not fit into the memory that is free"
                    )
                yield parts
