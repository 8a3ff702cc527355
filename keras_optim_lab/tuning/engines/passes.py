"""A task's data for one epoch after the other: of a pipeline, one reading serves all rows."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_optim_lab.keras_private import EpochIterator
from keras_optim_lab.tasks import Task
from keras_optim_lab.tasks.pipelines import Pipeline, is_pipeline
from keras_optim_lab.tasks.splits import length
from keras_optim_lab.tuning.engines.batches import on_device, tensors
from keras_optim_lab.tuning.engines.devices import Device, on
from keras_optim_lab.tuning.engines.memory import check_data_fits, free_memory
from keras_optim_lab.tuning.engines.pure_model import ImpureModelError

_COPIES = 4  # of a pass, or a part: read first, trained on, read meanwhile, and its batches
_HOOKS = "on_epoch_begin", "on_epoch_end"

Arrays = tuple[Any, ...]  # (x, y) or (x, y, sample_weight)
Data = tuple[Any, Any]  # on a device, for training and for validation; () for one of them


class Passes:
    """What epochs are trained and measured on, on each device.

    Splits of arrays are there once. A pipeline is read as `fit` reads it, and each reading, a pass,
    is what an epoch of all rows is trained on. One that holds the same when it is read the second
    time is held from then on. Training data too large to be held come in parts, which all rows are
    trained on at the same time. All is read in the main thread: a pipeline may draw from the global
    streams, which the weights of models are drawn from, and may start processes.

    Args:
        task: with splits of arrays or pipelines.
        folds: into which arrays are parted, if they are.
        devices: that hold the data.

    Attributes:
        task: the same, with what pipelines held first as arrays.
        validation_batch: samples of a batch that is measured on.
        in_parts: whether `parts` gives the data of an epoch, and not `after`.

    Raises:
        ImpureModelError: a pipeline cannot be read as rows need it.
        MemoryError: arrays do not fit on the device.
        ValueError: a pipeline cannot be read twice.
    """

    def __init__(self, task: Task, folds: int | None = None, devices: Sequence[Device] = (None,)):
        splits = {"train": task.train, "validation": task.validation}
        self._readers = {n: _Reader(n, each) for n, each in splits.items() if is_pipeline(each)}
        self._given = task
        self._devices = devices
        self._count = 1
        self._next: dict[str, Arrays] | None = None
        most = free_memory() // _COPIES
        parts = {name: reader.parts(most) for name, reader in self._readers.items()}
        first = {name: next(each) for name, each in parts.items()}
        second = {name: next(each, None) for name, each in parts.items()}
        if second.get("validation"):
            raise ImpureModelError(
                "its pipeline for validation does not fit into the memory that is free"
            )
        self._form = self._form_of(first)
        validation = self._readers.get("validation")
        self.validation_batch = validation.batch_size if validation else task.batch_size
        self.task = self._in_memory(first)
        check_data_fits(self.task)
        self._hold(self.task, folds)
        more = second.get("train")
        self.in_parts = more is not None
        if more is not None:
            self._begun = chain([first["train"], more], parts["train"])
            self._samples: int | None = None  # of an epoch, once it is known
        self._changes = bool(self._readers) and not self.in_parts and not self._is_the_same(first)

    @property
    def steps(self) -> int | None:
        """Steps of an epoch in parts, 1 if it does not tell; None where `after` gives the data."""
        return (self._given.steps or 1) if self.in_parts else None

    def forms(self, device: Device = None) -> list[Data]:
        """Data in each form that they come in, but for a last part of fewer samples."""
        train, validation = self._data[device]
        return [(train, ()), ((), validation)] if self.in_parts else [(train, validation)]

    def after(self, seen: int, device: Device = None) -> tuple[int, Data]:
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

    def look_ahead(self) -> None:
        """Reads what the next epoch is trained on, unless it is there."""
        if not self._changes or self._next is not None:
            return
        with self._as_before():
            read = self._read()
        self._check(self._form_of(read), self._form)
        self._next = read

    def parts(self) -> Iterator[dict[Device, Data]]:
        """The data of an epoch by device: for training, part after part, then for validation.

        Each part is read when it is asked for.

        Raises:
            ImpureModelError: in the first epoch: samples or batches of the pipeline differ in size.
            RuntimeError: later on: a pipeline holds others than before.
        """
        former = self._form_of({"train": self.task.train})
        reader, samples = self._readers["train"], 0
        with self._as_before():
            for part in self._begun:
                found = self._form_of({"train": part})
                if found.kinds != former.kinds:
                    raise ImpureModelError("its pipeline for train has samples of several shapes")
                self._check(found._replace(samples=former.samples), former)
                samples += found.samples[0]
                yield {device: (data, ()) for device, data in self._moved(part).items()}
            self._begun = chain(reader.parts(batches=former.samples[0] // reader.batch_size))
            if "validation" in self._readers:
                self._hold(self._in_memory({"train": self.task.train, **self._read("validation")}))
        self._samples = self._samples or samples
        self._check(former._replace(samples=[samples]), former._replace(samples=[self._samples]))
        yield {device: ((), validation) for device, (_, validation) in self._data.items()}

    def _hold(self, task: Task, folds: int | None = None) -> None:
        self._data: dict[Device, Data] = {}  # the last pass leaves its memory to this one
        for device in self._devices:
            with on(device):
                self._data[device] = on_device(task, folds)

    def _moved(self, arrays: Arrays) -> dict[Device, Any]:
        found = {}
        for device in self._devices:
            with on(device):
                found[device] = tensors(arrays)
        return found

    def _read(self, *names: str) -> dict[str, Arrays]:
        return {name: self._readers[name].read() for name in names or self._readers}

    @contextmanager
    def _as_before(self) -> Iterator[None]:
        """A pipeline that was read well is an error where it no longer is."""
        try:
            yield
        except ImpureModelError as error:
            if self.in_parts and self._samples is None:
                raise
            raise RuntimeError(f"task {self._given.name!r}: {error}, unlike before") from error

    def _check(self, found: "_Form", former: "_Form") -> None:
        if found != former:
            raise RuntimeError(
                f"task {self._given.name!r}: its pipeline now holds {found}, and held {former} "
                "before. Trials that train side by side need batches of the same size, and as "
                "many, in every epoch: cut it, with .take(batches) or a __len__."
            )

    def _form_of(self, read: dict[str, Arrays]) -> "_Form":
        """What must be the same in every pass."""
        return _Form(
            [length(arrays) for arrays in read.values()],
            [self._readers[name].batch_size for name in read],
            [(each.shape[1:], str(each.dtype)) for each in keras.tree.flatten(read)],
        )

    def _is_the_same(self, first: dict[str, Arrays]) -> bool:
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

    def _in_memory(self, read: dict[str, Arrays]) -> Task:
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


class _Form(NamedTuple):
    """How many samples and batch sizes, and shapes and dtypes of a sample."""

    samples: list[int]
    batches: list[int]
    kinds: list[tuple[tuple[int, ...], str]]

    def __str__(self) -> str:
        kinds = " and ".join(f"{dtype} {[*shape]}" for shape, dtype in self.kinds)
        samples, batches = (" and ".join(map(str, each)) for each in (self.samples, self.batches))
        return f"{samples} samples of {kinds} in batches of {batches}"


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

    def read(self) -> Arrays:
        """All of an epoch as arrays."""
        (whole,) = self.parts()
        return whole

    def parts(self, most: int | None = None, batches: int | None = None) -> Iterator[Arrays]:
        """An epoch as arrays, in parts of as many batches.

        Args:
            most: bytes that the first part may have, which says how many batches the others have.
            batches: how many; as many as there are if neither is given.
        """
        held: list[Arrays] = []
        total = 0
        for i, batch in enumerate(self._batches()):
            if i == 0:
                self.batch_size = length(batch)
            total += sum(array.nbytes for array in keras.tree.flatten(batch))
            if batches is None and most is not None and total > most:
                batches = max(1, i)
            if len(held) == batches:
                yield self._joined(held, last=False)
                held = []
            held.append(batch)
        if not held:
            raise ValueError(
                f"{self._name}: the pipeline is empty when it is read, as one is that can be read "
                "only once. Every epoch of every trial reads it: make it of what can be read again."
            )
        yield self._joined(held)

    def _joined(self, batches: Sequence[Arrays], last: bool = True) -> Arrays:
        """One part; only the last one may end with a smaller batch."""
        *others, end = map(length, batches)
        if {*others, *([] if last else [end])} - {self.batch_size} or end > self.batch_size:
            raise ImpureModelError(f"its pipeline for {self._name} has batches of several sizes")
        try:
            return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *batches)
        except ValueError as error:
            raise ImpureModelError(
                f"its pipeline for {self._name} has samples of several shapes"
            ) from error

    def _batches(self) -> Iterator[Arrays]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it ends, where it has not said when
            for _, _, (batch,) in self._epochs.enumerate_epoch():
                parts = keras.utils.unpack_x_y_sample_weight(batch)
                parts = tuple(
                    keras.tree.map_structure(np.asarray, part) for part in parts if part is not None
                )
                if any(array.dtype.kind in "OSU" for array in keras.tree.flatten(parts)):
                    raise ImpureModelError(f"its pipeline for {self._name} holds no numbers")
                yield parts
