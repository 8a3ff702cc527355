"""A task's model as pure functions of its weights, the way a population of rows trains it."""

import math
import traceback
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.curvature.model import CurvatureTrainer
from keras_optim_lab.forward_pass import called, loss_of_batch
from keras_optim_lab.keras_private import build_with, inner_layers, loss_tracker
from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.optimizers.shell.whole_step import DynamicScale
from keras_optim_lab.tasks import Task
from keras_optim_lab.tasks.pipelines import some_batch
from keras_optim_lab.tuning.engines.first_values import FirstValues

Tensors = list[Any]


# First weights that are kept: of so many seeds, or as many as so many bytes hold.
_SEEDS, _KEPT = 64, 2**26


class ImpureModelError(Exception):
    """Why a task's model cannot be trained as a pure function."""


class PureModel:
    """One model whose variables only give the shapes: every value comes in and goes out.

    Attributes:
        shapes: of the weights.
        places: their paths and shapes.
        other_places: of weights that are not trained.
        numbers: how many the weights are made of.
        traces: how often the training step has been traced, once for each size of batch.
        log_names: of the metrics that are one number; a trial is judged by no other.
        validation_batch: samples of a batch that is measured on; by default the task's.
        scale: how the factor on the loss changes; None where its dtype needs none.
        has_own_step: whether it trains by a `train_step` of its own.
    """

    def __init__(
        self,
        task: Task,
        optimizer: Optimizer,
        train_metrics: bool,
        validation_batch: int | None = None,
    ):
        self.task = task
        self.validation_batch = validation_batch or task.batch_size
        self.train_metrics = train_metrics
        self.traces = 0
        self.model = task.build(optimizer, seed=0)
        _check_pure(self.model)
        self.has_own_step = _has_own(self.model, "train_step")
        build_metrics(task, self.model)
        self.weights = self.model.trainable_variables
        self.others = self.model.non_trainable_variables
        self.metrics = self.model.metrics_variables
        self.shapes = [tuple(weight.shape) for weight in self.weights]
        optimizer.find(self.weights, self.model)
        self.places = [optimizer.place(weight) for weight in self.weights]
        self.other_places = optimizer.other_places
        self.scale = _dynamic_scale(self.model.optimizer)
        self.numbers = sum(map(math.prod, self.shapes))
        self.log_names = [
            name for name, value in self.model.get_metrics_result().items() if not np.ndim(value)
        ]
        self.first_metrics = [ops.convert_to_numpy(variable) for variable in self.metrics]
        # All who take part in a race are trained with the same seeds.
        most = _KEPT // (4 * max(1, self.numbers))
        self.first_values = lru_cache(min(most, _SEEDS))(FirstValues(task, self.model))
        rows, repeats = backend.rows(), _of_keras(task, self.model)
        self.gradient = rows.gradient(self.training_loss)
        self.validated_row = self.validated
        if repeats:
            self.gradient = rows.repeated(self.gradient)
            self.validated_row = rows.repeated(self.validated)
        self.row_gradients = rows.row_gradients(self.training_loss, repeats)
        # Of batches that each row has its own of, and of one that all share.
        self.validated_rows = [rows.row_values(self.validated, repeats, n) for n in (0, 1)]

    # Pure functions of one row.

    def training_loss(
        self, weights: Tensors, others: Tensors, metrics: Tensors, seed, step, scale: tuple, batch
    ):
        """The loss of a batch times its factor, if it has one, and (others, metrics) after it."""
        self.traces += 1
        with backend.rows().noise(seed, step):
            loss, after = self._loss(weights, others, metrics, batch, training=True)
        return (loss * ops.cast(scale[0], loss.dtype) if scale else loss), after

    def validated(self, weights: Tensors, others: Tensors, metrics: Tensors, batch) -> Tensors:
        """The metrics after one more batch."""
        _, (_, metrics) = self._loss(weights, others, metrics, batch, training=False)
        return metrics

    def logs(self, metrics: Tensors, names: Sequence[str]) -> dict[str, Any]:
        """The results of the metrics of these names, as scalars."""
        with standing_for(self.metrics, metrics):
            results = self.model.get_metrics_result()
        return {name: ops.cast(results[name], "float32") for name in names}

    def _loss(self, weights, others, metrics, batch, training: bool):
        model = self.model
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        variables = [*self.weights, *self.others, *self.metrics]
        with standing_for(variables, [*self.parts(weights), *others, *metrics]) as scope:
            given = dict(scope.state_mapping)
            predicted = called(model, x, training)
            loss = loss_of_batch(model, x, y, predicted, sample_weight, training)
            samples = keras.tree.flatten(x)[0].shape[0]
            loss_tracker(model).update_state(loss, sample_weight=samples)
            if self.train_metrics or not training:
                model.compute_metrics(x, y, predicted, sample_weight)
        changed = {key for key, value in scope.state_mapping.items() if value is not given.get(key)}
        _check_changes(changed - {id(variable) for variable in [*self.others, *self.metrics]}, self)
        return loss, tuple(
            [scope.get_current_value(variable) for variable in variables]
            for variables in (self.others, self.metrics)
        )

    # Weights as one vector, for rules that treat every number alone.

    def joins(self, optimizer: Optimizer) -> bool:
        """Whether the weights may be handed to the rule as one vector, and gain by it."""
        several = len(self.weights) > 1
        alike = len({weight.dtype for weight in self.weights}) == 1
        free = all(weight.constraint is None for weight in self.weights)
        alone = optimizer.elementwise and not optimizer.surveys
        alone = alone and not any(optimizer.parts(self.places)) and not optimizer.excludes
        return backend.rows().JOINS_WEIGHTS and alone and several and alike and free

    def parts(self, weights: Tensors) -> Tensors:
        """The weights one by one, where they come as one vector."""
        if len(weights) == len(self.shapes):
            return weights
        ends = np.cumsum([math.prod(shape) for shape in self.shapes])[:-1].tolist()
        pieces = ops.split(weights[0], ends)
        return [ops.reshape(piece, shape) for piece, shape in zip(pieces, self.shapes, strict=True)]

    def constrained(self, weights: Tensors) -> Tensors:
        """The weights after the layers' constraints."""
        if len(weights) != len(self.shapes):
            return weights
        return [
            weight if variable.constraint is None else variable.constraint(weight)
            for variable, weight in zip(self.weights, weights, strict=True)
        ]


def standing_for(variables: Sequence[keras.Variable], values: Sequence[Any]) -> Any:
    """The scope in which a layer is a pure function: these values stand for its variables."""
    mapping = list(zip(variables, values, strict=True))
    return keras.StatelessScope(state_mapping=mapping, collect_losses=True)


def failing_metric(error: Exception) -> keras.Metric | None:
    """The metric that raised an error, if it was one."""
    objects = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
    metrics = [each for each in objects if isinstance(each, keras.Metric)]
    return metrics[-1] if metrics else None


def build_metrics(task: Task, model: keras.Model) -> None:
    """Makes the state of loss and metrics, as `fit` does before its first step.

    Raises:
        ValueError: a metric cannot be computed; its name is said.
        Exception: of Keras, where targets and outputs are no pairs.
    """
    try:
        build_with(model, some_batch(task.validation, task.batch_size))
    except Exception as error:
        metric = failing_metric(error)
        if metric is None:
            raise
        raise ValueError(
            f"metrics: {metric.name!r} of task {task.name!r} cannot be computed "
            f"({type(error).__name__}: {error})."
        ) from error
    model.reset_metrics()


def _check_pure(model: keras.Model) -> None:
    """Raises ImpureModelError for what happens outside of a model's call, loss and metrics."""
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    stateless = backend.rows().STATELESS_STEPS and not scaled
    for step in ("train_step", "test_step"):
        if _has_own(model, step) and not (stateless and step == "train_step"):
            raise ImpureModelError(f"its model has a {step} of its own")
    for layer in inner_layers(model):
        if isinstance(layer, keras.layers.TorchModuleWrapper | keras.layers.TFSMLayer):
            kind = type(layer).__name__
            raise ImpureModelError(
                f"its layer {layer.name!r} ({kind}) computes with its own weights"
            )
    if any(variable.overwrite_with_gradient for variable in model.trainable_variables):
        raise ImpureModelError(
            "its model has weights that take the place of their gradients (float8)"
        )


def _of_keras(task: Task, model: keras.Model) -> bool:
    """Whether Keras's own code is all that a step runs: others' may count calls, or draw."""
    given = [task.loss, task.metrics, task.weighted_metrics]
    parts = [model, *inner_layers(model), *keras.tree.flatten(given)]
    return not any(
        isinstance(part, keras.layers.Lambda) or not _is_known(part) for part in parts if part
    )


def _is_known(part: Any) -> bool:
    named = part if hasattr(part, "__module__") and hasattr(part, "__name__") else type(part)
    return named.__module__.partition(".")[0] in {"builtins", "keras", "keras_optim_lab"}


def _has_own(model: keras.Model, step: str) -> bool:
    # What a `kol.Model` does for optimizers that need the loss itself is done in rows, too.
    known = (getattr(keras.Model, step), getattr(CurvatureTrainer, step, None))
    return getattr(type(model), step) not in known


def _dynamic_scale(optimizer: keras.optimizers.Optimizer) -> DynamicScale | None:
    """How a model's loss is scaled, which computes in float16."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return DynamicScale(optimizer.initial_scale, optimizer.dynamic_growth_steps)
    return None


def _check_changes(changed: set[int], model: PureModel) -> None:
    """Raises ImpureModelError for variables, by their ids, that no step may change."""
    trained = [weight.path for weight in model.weights if id(weight) in changed]
    if trained:
        raise ImpureModelError(f"its model assigns to {trained[0]!r}, a weight that is trained")
    if changed:
        raise ImpureModelError(
            "its model changes variables that Keras does not count among its own (the state of a "
            "recurrent layer with stateful=True, or noise without a SeedGenerator)"
        )


def joined(weights: list[np.ndarray]) -> list[np.ndarray]:
    """The weights as one vector."""
    return [np.concatenate([weight.ravel() for weight in weights])]
