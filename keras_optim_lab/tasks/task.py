"""A task: everything about a training run but the optimizer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import keras
import numpy as np

from keras_optim_lab import backend
from keras_optim_lab.arguments import whole_number
from keras_optim_lab.curvature.given_the_loss import GivenTheLoss
from keras_optim_lab.keras_private import build_with, outside_a_strategy
from keras_optim_lab.optimizers.shell.freezing import check_trainable
from keras_optim_lab.tasks.batches import Batches, permutation
from keras_optim_lab.tasks.checks import (
    Shuffle,
    check_builder,
    check_callbacks,
    check_drop_remainder,
    check_loss,
    check_loss_weights,
    check_metrics,
    check_model,
    check_name,
    check_optimizer,
    check_shuffle,
    check_trial,
    copies,
    takes_trial,
)
from keras_optim_lab.tasks.class_weights import check_class_weight, weighted_by_class
from keras_optim_lab.tasks.folds import Folds
from keras_optim_lab.tasks.model_checks import check_fits
from keras_optim_lab.tasks.pipelines import (
    Pipeline,
    batch_count,
    is_pipeline,
    size,
    some_batch,
)
from keras_optim_lab.tasks.split_checks import (
    check_arrays,
    check_same_structure,
    check_split,
    check_split_name,
)
from keras_optim_lab.tasks.splits import Fold, Split, SplitName, SplitParts, length, take


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Task:
    """Data, model, loss, batch size and epochs: everything about a training run but the optimizer.

        task = kol.Task(model=build_model, train=(x, y), validation=(x_val, y_val), loss="mse")
        model = task.build(kol.Adam(), seed=0)
        task.fit(model, seed=0)

    A split is (x, y) or (x, y, sample_weight) of arrays of equal first dimension, each of them an
    array or a dict or list of arrays; or a data pipeline, a `keras.utils.PyDataset`, a
    `tf.data.Dataset` or a torch `DataLoader` of such batches. Keras reads a pipeline as it is:
    its batches and their order are its own, and `batch_size`, `shuffle` and `drop_remainder` do
    not touch it. With several outputs, one array of sample weights counts for all of them.

    Args:
        model: a function that returns a fresh, uncompiled `keras.Model`, of no arguments or of
            one, the trial, which it asks for the model's own settings.
        train: the split that the weights are fitted to.
        validation: the split that a study is judged by.
        test: the split looked at once when all settings are chosen; None if there is none.
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
        class_weight: how much the training samples of a class count, {class: weight}, in place of
            sample weights; a class that is not named counts 1. For one output, with y of whole
            numbers or one-hot. As in Keras it acts in training alone, and not in `evaluate`.
        loss_weights: how much each loss counts in their sum, in the structure of `loss`.
        weighted_metrics: as `metrics`, for those that sample and class weights act on.

    Raises:
        TypeError, ValueError: an argument cannot work. Nothing has been trained by then.
    """

    model: Callable[..., keras.Model]
    train: Split | Pipeline
    validation: Split | Pipeline
    test: Split | Pipeline | None = None
    loss: Any
    metrics: Any = ()
    batch_size: int = 32
    epochs: int = 20
    name: str = "task"
    shuffle: Shuffle = "every epoch"
    drop_remainder: bool = False
    class_weight: Mapping[int, float] | None = None
    loss_weights: Any = None
    weighted_metrics: Any = ()

    def __post_init__(self) -> None:
        check_builder(self.model)
        for name, split in self._splits().items():
            self._normalize(name, check_split(name, split))
        arrays = {name: part for name, part in self._splits().items() if not is_pipeline(part)}
        check_same_structure(arrays)
        check_class_weight(self.class_weight, self.train)
        check_loss(self.loss)
        self._normalize("loss_weights", check_loss_weights(self.loss_weights, self.loss))
        check_metrics("metrics", self.metrics)
        check_metrics("weighted_metrics", self.weighted_metrics)
        self._normalize("batch_size", whole_number("batch_size", self.batch_size))
        self._normalize("epochs", whole_number("epochs", self.epochs))
        check_name(self.name)
        check_shuffle(self.shuffle)
        check_drop_remainder(self.drop_remainder, self.batch_size, arrays)

    @property
    def depends_on_trial(self) -> bool:
        """Whether the model is built from the trial."""
        return takes_trial(self.model)

    @property
    def streams(self) -> bool:
        """Whether training or validation reads a data pipeline."""
        return is_pipeline(self.train) or is_pipeline(self.validation)

    @property
    def steps(self) -> int | None:
        """Optimizer steps per epoch; None for a pipeline that does not know its length."""
        if is_pipeline(self.train):
            return batch_count(self.train)
        return -(-self.used(length(self.train)) // self.batch_size)

    @property
    def training_steps(self) -> int | None:
        """Optimizer steps of all epochs; None for a pipeline that does not know its length."""
        return None if self.steps is None else self.steps * self.epochs

    def measured_on(self, split: SplitName) -> "Task":
        """Returns the same task with this split for the validation, after every epoch of `fit`.

        Raises:
            ValueError: there is no such split.
        """
        given = self._split(split)
        return self if split == "validation" else replace(self, validation=given, test=None)

    def fold(self, fold: Fold) -> "Task":
        """Returns the same task with training and validation samples parted anew.

            task.fold(Fold(number=0, count=5))

        Each of `count` folds holds out others of the two splits' samples, ⌊n / count⌋ of n, and
        trains on the rest. Where y is whole numbers of shape (n,) or (n, 1), every fold holds
        classes in the proportions of the whole. Another `repeat` is another partition. `test`
        stays as it is.

        Raises:
            TypeError, ValueError: there is no such fold; more folds than the smallest class has
                samples; a split is a data pipeline, or the two differ in shape.
        """
        return self.folds.task(fold)

    @cached_property
    def folds(self) -> Folds:
        """Training and validation samples together, to be parted."""
        return Folds(self)

    def order(self, seed: int, epoch: int = 0) -> np.ndarray:
        """Returns the indices of the training samples in the order in which an epoch takes them.

        The same on every backend. Epochs count from 0.

        Raises:
            TypeError: the training split is a data pipeline.
        """
        samples = length(self._weighted_train)
        return permutation(self.shuffle, samples, seed, epoch)[: self.used(samples)]

    def used(self, samples: int) -> int:
        """Returns how many of so many samples an epoch takes."""
        return samples - samples % self.batch_size if self.drop_remainder else samples

    def training_data(self, seed: int, epoch: int = 0) -> Split:
        """Returns the training split in the order in which an epoch takes it.

        (x, y), or (x, y, sample_weight) where there are weights of samples or classes.

        Raises:
            TypeError: the training split is a data pipeline.
        """
        return take(self._weighted_train, self.order(seed, epoch))

    def arrays(self, split: SplitName) -> SplitParts:
        """Returns (x, y, sample_weight) of a split as NumPy arrays, in stored order.

        Of the training split all samples, for `order` to choose from, with the class weights as
        sample weights; of the others those that `evaluate` takes. Without any weights,
        sample_weight is None.

        Raises:
            TypeError: the split is a data pipeline.
            ValueError: there is no such split.
        """
        given = self._split(split)
        check_arrays(split, given)
        arrays = self._weighted_train if split == "train" else self._whole_batches(given)
        return keras.utils.unpack_x_y_sample_weight(arrays)

    def build_model(self, seed: int, trial: Any = None) -> keras.Model:
        """Returns an uncompiled model whose weights are drawn from `seed`.

        Seeds the global streams of Python, NumPy and the backend. A model that learns its input
        shape from data is built on one sample, or on the first batch of a pipeline.

        Raises:
            TypeError: the model is built from the trial, and there is none.
            ValueError: it has no trainable weights, takes samples of another shape, or cannot be
                compared with the targets.
        """
        check_trial(self.model, trial)
        backend.set_random_seed(seed)
        with backend.rows().seeding():
            model = self.model(trial) if self.depends_on_trial else self.model()
            check_model(model)
            if not model.built:
                model(keras.utils.unpack_x_y_sample_weight(some_batch(self.train))[0])
        check_trainable(f"task {self.name!r}", model)
        arrays = {name: part for name, part in self._splits().items() if not is_pipeline(part)}
        self._check_fits(model, arrays)
        return model

    def check_pipelines(self, model: keras.Model) -> None:
        """Checks the first batch of every data pipeline as `build_model` does arrays."""
        self._check_fits(
            model,
            {name: some_batch(part) for name, part in self._splits().items() if is_pipeline(part)},
        )

    def build(
        self, optimizer: keras.optimizers.Optimizer | str, seed: int, trial: Any = None
    ) -> keras.Model:
        """Builds and compiles the model of `build_model`.

        Args:
            optimizer: a fresh one, of this package's or Keras's, or a name of Keras's.
            seed: that its weights are drawn from.
            trial: what a model that depends on the trial is built from.

        Returns:
            A model for `fit` and `evaluate`.

        Raises:
            TypeError, ValueError: as `build_model`; or the optimizer belongs to another model, or
                cannot train this one.
        """
        check_optimizer(optimizer)
        model = self.build_model(seed, trial)
        if isinstance(optimizer, GivenTheLoss):
            optimizer.check_model(model)
        model.compile(
            optimizer=optimizer,
            loss=self.loss,
            loss_weights=self.loss_weights,
            metrics=copies(self.metrics),
            weighted_metrics=copies(self.weighted_metrics),
        )
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

        Args:
            model: is changed.
            seed: that the order of the samples is drawn from; a pipeline has its own.
            callbacks: of Keras's.
            epochs: in place of the task's own.
            verbose: as in `keras.Model.fit`.

        Returns:
            Keras's history, with the logs of every epoch.

        Raises:
            TypeError, ValueError: an argument is wrong; nothing has been trained by then.
        """
        check_callbacks(callbacks)
        train, clock = self.train, []
        if not is_pipeline(train):
            train = Batches(self._weighted_train, self.batch_size, partial(self.order, seed))
            clock = [train.clock()]
            _build_state(model, train[0])
        return model.fit(
            train,
            epochs=self.epochs if epochs is None else whole_number("epochs", epochs),
            shuffle=False,  # the batches are in their order already
            validation_data=self._whole_batches(self.validation),
            validation_batch_size=self.batch_size,
            callbacks=[*clock, *callbacks],
            verbose=verbose,
        )

    def evaluate(self, model: keras.Model, split: SplitName) -> dict[str, float]:
        """Measures a model from `build` on one split.

        Returns:
            The loss and the metrics by name; those of several numbers, such as
            `F1Score(average=None)`, are left out.

        Raises:
            ValueError: there is no such split.
        """
        data = self._whole_batches(self._split(split))
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        logs = model.evaluate(
            x,
            y,
            sample_weight=sample_weight,
            batch_size=self.batch_size,
            verbose=0,
            return_dict=True,
        )
        return {name: float(value) for name, value in logs.items() if not np.ndim(value)}

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}={size(split)}" for name, split in self._splits().items())
        return f"<Task {self.name!r}: {sizes}, batch_size={self.batch_size}, epochs={self.epochs}>"

    def _check_fits(self, model: keras.Model, splits: Mapping[str, Split]) -> None:
        """Compares each of these splits with a model, once for all models of its shapes."""
        check_fits(f"task {self.name!r}", model, splits, self.loss, self._fitting)

    @cached_property
    def _fitting(self) -> set[str]:
        return set()

    @cached_property
    def _weighted_train(self) -> Split:
        """The training split with the class weights as its sample weights."""
        check_arrays("train", self.train)
        if self.class_weight is None:
            return self.train
        return weighted_by_class(self.train, self.class_weight)

    def _splits(self) -> dict[str, Split | Pipeline]:
        splits = {"train": self.train, "validation": self.validation}
        return splits if self.test is None else {**splits, "test": self.test}

    def _split(self, name: SplitName) -> Split | Pipeline:
        splits = self._splits()
        check_split_name(name, splits)
        return splits[name]

    def _whole_batches(self, split: Split | Pipeline) -> Split | Pipeline:
        return split if is_pipeline(split) else take(split, slice(self.used(length(split))))

    def _normalize(self, argument: str, value: Any) -> None:
        object.__setattr__(self, argument, value)  # the dataclass is frozen for everyone else


def _build_state(model: keras.Model, batch: Split) -> None:
    """Makes the variables of the optimizer and the metrics before `fit` traces its step.

    Keras does so on JAX and PyTorch. TensorFlow makes them while it traces, and then traces again.
    """
    traced = model.train_function is not None or model.run_eagerly
    if keras.backend.backend() != "tensorflow" or traced or not outside_a_strategy(model):
        return
    if all(np.asarray(array).dtype.kind in "biuf" for array in keras.tree.flatten(batch)):
        build_with(model, batch)
