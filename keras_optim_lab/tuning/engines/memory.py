"""How much memory a population needs, and how much there is."""

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from keras_optim_lab import backend
from keras_optim_lab.keras_private import inner_layers
from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning.engines.pure_model import PureModel

_SHARE = 0.8  # of the free memory that a population may take: others need some too
_CGROUP = Path("/sys/fs/cgroup")


class Need(NamedTuple):
    """Bytes that a population needs.

    Attributes:
        data: the training and validation splits on the device.
        row: the state of one row: weights, slots and the model's other variables, as they are and
            as they become.
        step: one row's training step: gradients, and every layer's output with its gradient.
    """

    data: int
    row: int
    step: int

    @classmethod
    def of(
        cls, model: PureModel, optimizers: Iterable[Optimizer], batch_size: int | None = None
    ) -> "Need":
        """The need of rows that the optimizer with the largest state trains.

        Args:
            model: of a row.
            optimizers: that train rows.
            batch_size: the largest; the task's own by default.
        """
        weights = sum(_bytes(variable) for variable in model.weights)
        others = sum(_bytes(variable) for variable in [*model.others, *model.metrics])
        slots = max(
            each.state_bytes(model.places)
            + weights * (bool(each.use_ema) + bool(each.gradient_accumulation_steps))
            for each in optimizers
        )
        state = weights + others + slots
        outputs = _output_numbers(model.model) * (batch_size or model.task.batch_size)
        return cls(data=_data_bytes(model.task), row=2 * state, step=weights + 2 * 4 * outputs)

    def of_width(self, width: int, at_once: int) -> int:
        """Bytes for `width` rows of which `at_once` are in a training step at the same time."""
        return self.data + width * self.row + min(at_once, width) * self.step

    def widest(self, free: int, at_once: int | None) -> int:
        """How many rows fit; `at_once` is None where all of them step together."""
        if at_once is None:
            return max(0, free - self.data) // (self.row + self.step)
        return max(0, free - self.data - at_once * self.step) // self.row


def free_memory() -> int:
    """Bytes that a population may take, on the accelerator or the host."""
    free = backend.rows().free_memory()
    return int(_SHARE * (_free_on_host() if free is None else free))


def check_data_fits(task: Task) -> None:
    """Raises MemoryError when the task's data cannot be held on the device."""
    need, free = _data_bytes(task), free_memory()
    if need > free:
        raise MemoryError(
            f"The training and validation data of task {task.name!r} need {_text(need)} on the "
            f"device, and {_text(free)} are free. Give the task a data pipeline (a "
            "keras.utils.PyDataset or tf.data.Dataset), which is read batch by batch, or fewer "
            "samples."
        )


def check_width_fits(need: Need, width: int, at_once: int | None, devices: int = 1) -> None:
    """Raises MemoryError when one of the devices cannot hold its share of so many rows."""
    free, share = free_memory(), -(-width // devices)
    total = need.of_width(share, at_once or share)
    if total > free:
        raise MemoryError(
            f"population={width} needs about {_text(total)}, and {_text(free)} are free. The "
            f"widest that fits is population={devices * need.widest(free, at_once)}; "
            'population="auto" chooses one.'
        )


def _free_on_host() -> int:
    free = [os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    try:
        meminfo = Path("/proc/meminfo").read_text()
        available = next(line for line in meminfo.splitlines() if line.startswith("MemAvailable"))
        free = [int(available.split()[1]) * 1024]
    except (OSError, StopIteration):
        pass  # not Linux: pages that are free now are all that is known
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        if limit != "max":
            used = int((_CGROUP / "memory.current").read_text())
            free.append(int(limit) - used)
    except OSError:
        pass  # no limit is set on this process
    return max(0, min(free))


def _data_bytes(task: Task) -> int:
    arrays = keras.tree.flatten([task.arrays("train"), task.arrays("validation")])
    return sum(array.nbytes for array in arrays if array is not None)


def _bytes(variable: keras.Variable) -> int:
    return math.prod(variable.shape) * np.dtype(_numpy_name(variable.dtype)).itemsize


def _numpy_name(dtype: str) -> str:
    return "float16" if dtype == "bfloat16" else dtype


def _output_numbers(model: keras.Model) -> int:
    """Numbers that the layers put out for one sample, as far as they tell before a call."""
    total = 0
    for layer in inner_layers(model):
        try:
            outputs = keras.tree.flatten(layer.output)
        except (AttributeError, ValueError):
            continue  # a layer inside another, or of a model that is not a graph of layers
        total += sum(math.prod(size or 1 for size in output.shape[1:]) for output in outputs)
    return total


def _text(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
