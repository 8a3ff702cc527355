"""A task: everything about a training run but the optimizer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_optim_lab.tasks.batches import Batches
from keras_optim_lab.tasks.checks import (
    Shuffle,
    check_builder,
    check_count,
    check_drop_remainder,
    check_loss,
    check_metrics,
    check_model,
    check_name,
    check_optimizer,
    check_same_structure,
    check_shuffle,
    check_split,
    copies,
)
from keras_optim_lab.tasks.splits import Split, SplitName, length, take


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Task:
    """Data, model, loss, batch size and epochs: everything about a training run but the optimizer.

        task = Task(model=build_model, train=(x, y), validation=(x_val, y_val), loss="mse")

    Args:
        model: a function without arguments that returns a fresh, uncompiled `keras.Model`.
        train: (x, y), arrays of equal first dimension, or dicts or lists of such arrays.
        validation: (x, y), what a study is judged by.
        test: (x, y), looked at once when all settings are chosen; None if there is none.
        loss: a name, a `keras.losses.Loss` or a function (y_true, y_pred); a list or dict of them
            for a model of several outputs.
        metrics: names, `keras.metrics.Metric`s or functions, as `Model.compile` takes them. Every
            model gets its own copy of a `Metric`.
        batch_size: samples per step.
        epochs: passes over the training data.
        name: what reports call the task.
        shuffle: "every epoch"; "once", in an order drawn from the seed and kept for all epochs;
            or "never". The orders are the same on every backend.
        drop_remainder: leave out the last, smaller batch of every split; of the training split,
            after shuffling.

    Raises:
        TypeError, ValueError: an argument cannot work. Nothing has been trained by then.
    """

    model: Callable[[], keras.Model]
    train: Split
    validation: Split
    test: Split | None = None
    loss: Any
    metrics: Any = ()
    batch_size: int = 32
    epochs: int = 20
    name: str = "task"
    shuffle: Shuffle = "every epoch"
    drop_remainder: bool = False

    def __post_init__(self) -> None:
        check_builder(self.model)
        self._normalize("train", check_split("train", self.train))
        self._normalize("validation", check_split("validation", self.validation))
        if self.test is not None:
            self._normalize("test", check_split("test", self.test))
        check_same_structure(self._splits())
        check_loss(self.loss)
        check_metrics(self.metrics)
        self._normalize("batch_size", check_count("batch_size", self.batch_size))
        self._normalize("epochs", check_count("epochs", self.epochs))
        check_name(self.name)
        check_shuffle(self.shuffle)
        check_drop_remainder(self.drop_remainder, self.batch_size, self._splits())

    def order(self, seed: int, epoch: int = 0) -> np.ndarray:
        """Returns the indices of the training samples in the order in which an epoch takes them.

        The same on every backend. Epochs count from 0.
        """
        samples = length(self.train)
        # RandomState, unlike Generator, promises the same stream in every version of NumPy.
        if self.shuffle == "every epoch":
            drawn = np.random.RandomState([seed, epoch]).permutation(samples)
        elif self.shuffle == "once":
            drawn = np.random.RandomState(seed).permutation(samples)
        else:
            drawn = np.arange(samples)
        return drawn[: self._used(samples)]

    def training_data(self, seed: int, epoch: int = 0) -> Split:
        """Returns the training (x, y) in the order in which an epoch takes them."""
        return take(self.train, self.order(seed, epoch))

    def build(self, optimizer: keras.optimizers.Optimizer | str, seed: int) -> keras.Model:
        """Returns a compiled model whose weights are drawn from `seed`.

        Seeds the global streams of Python, NumPy and the backend.
        """
        check_optimizer(optimizer)
        keras.utils.set_random_seed(seed)
        model = self.model()
        check_model(model)
        if not model.built:
            x, _ = take(self.train, slice(1))
            model(x)
        model.compile(optimizer=optimizer, loss=self.loss, metrics=copies(self.metrics))
        return model

    def fit(
        self,
        model: keras.Model,
        seed: int,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        epochs: int | None = None,
        verbose: int | str = 0,
    ) -> keras.callbacks.History:
        """Trains a model from `build` and validates it after every epoch.

        `seed` draws the order of the samples; `epochs` replaces the task's own.
        """
        batches = Batches(self.train, self.batch_size, partial(self.order, seed))
        return model.fit(
            batches,
            epochs=self.epochs if epochs is None else check_count("epochs", epochs),
            shuffle=False,  # the batches are in their order already
            validation_data=self._whole_batches(self.validation),
            validation_batch_size=self.batch_size,
            callbacks=[batches.clock(), *callbacks],
            verbose=verbose,
        )

    def evaluate(self, model: keras.Model, split: SplitName) -> dict[str, float]:
        """Returns the loss and the metrics of a model from `build` on one split, by name."""
        splits = self._splits()
        if split not in splits:
            raise ValueError(
                f"split={split!r}: this task has {', '.join(splits)}."
                + (" Give the task test=(x, y)." if split == "test" else "")
            )
        x, y = self._whole_batches(splits[split])
        logs = model.evaluate(x, y, batch_size=self.batch_size, verbose=0, return_dict=True)
        return {name: float(value) for name, value in logs.items()}

    def __repr__(self) -> str:
        samples = ", ".join(f"{name}={length(split)}" for name, split in self._splits().items())
        return (
            f"<Task {self.name!r}: {samples}, batch_size={self.batch_size}, epochs={self.epochs}>"
        )

    def _splits(self) -> dict[str, Split]:
        splits = {"train": self.train, "validation": self.validation}
        return splits if self.test is None else {**splits, "test": self.test}

    def _whole_batches(self, split: Split) -> Split:
        return take(split, slice(self._used(length(split))))

    def _used(self, samples: int) -> int:
        return samples - samples % self.batch_size if self.drop_remainder else samples

    def _normalize(self, argument: str, value: Any) -> None:
        object.__setattr__(self, argument, value)  # the dataclass is frozen for everyone else
