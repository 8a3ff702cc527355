"""What a built-in task declares: all that can be said of it without its data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import keras

from keras_optim_lab.tasks.checks import Shuffle
from keras_optim_lab.tasks.splits import Split, length
from keras_optim_lab.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class BuiltInTask:
    """A built-in task before its data is loaded.

    Args:
        name: the name that `get` knows it by.
        summary: what it is, in one line.
        weights: the number of trainable weights of the model.
        samples: the numbers of training, validation and test samples.
        data: loads the three splits.
        model, loss, metrics, batch_size, epochs, shuffle, drop_remainder: as for `Task`.
    """

    name: str
    summary: str
    weights: int
    samples: tuple[int, int, int]
    data: Callable[[], tuple[Split, Split, Split]]
    model: Callable[[], keras.Model]
    loss: Any
    metrics: Sequence[str] = ()
    batch_size: int = 32
    epochs: int = 20
    shuffle: Shuffle = "every epoch"
    drop_remainder: bool = False

    def describes(self, task: Task) -> bool:
        """Whether a task is this one, and has not been changed since."""
        known = {field.name for field in fields(Task)}
        same = (getattr(task, name) == value for name, value in vars(self).items() if name in known)
        changed = task.class_weight or task.loss_weights or task.weighted_metrics
        splits = task.train, task.validation, task.test
        samples = tuple(length(part) for part in splits if isinstance(part, tuple))
        return all(same) and not changed and samples == self.samples

    def task(self) -> Task:
        """Loads the data and returns the task."""
        train, validation, test = self.data()
        known = {field.name for field in fields(Task)}
        same = {name: value for name, value in vars(self).items() if name in known}
        return Task(train=train, validation=validation, test=test, **same)
