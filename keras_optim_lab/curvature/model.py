"""Keras models whose training step hands the optimizer the loss itself."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.curvature.given_the_loss import GivenTheLoss
from keras_optim_lab.curvature.layout import Layout
from keras_optim_lab.curvature.model_objective import ModelObjective, changed_in_a_call
from keras_optim_lab.keras_private import (
    Functional,
    functional_init_arguments,
    has_compiled_metrics,
    loss_tracker,
)
from keras_optim_lab.optimizers.shell.freezing import check_trainable

if TYPE_CHECKING:

    class KerasTrainer:
        """What stands behind the trainer: Keras has no types."""

        optimizer: Any
        compute_metrics: Any

        def __getattr__(self, name: str) -> Any: ...
        def train_step(self, *args: Any) -> Any: ...
        def make_train_function(self, force: bool = False) -> None: ...
        def __call__(self, *args: Any) -> Any: ...

else:
    KerasTrainer = object


class CurvatureTrainer(KerasTrainer):
    """The training step of a model that any optimizer can train; stands before a Keras model."""

    def make_train_function(self, force: bool = False) -> None:
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        if scaled and isinstance(self.optimizer.inner_optimizer, GivenTheLoss):
            # It scales gradients, of which a curvature method gets none from Keras.
            self.optimizer = self.optimizer.inner_optimizer
        # Keras leaves it to the first gradients on TensorFlow, in a trace that is then thrown away.
        if self.built and isinstance(self.optimizer, GivenTheLoss):
            self.optimizer.take_over(self)
        return super().make_train_function(force)

    def train_step(self, *arguments: Any) -> Any:
        if not isinstance(self.optimizer, GivenTheLoss):
            return super().train_step(*arguments)
        return backend.derivatives().with_variables(self, self._curvature_step, *arguments)

    def _curvature_step(self, data: Any) -> dict[str, Any]:
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        self._build_for(x)
        check_trainable(type(self.optimizer).__name__, self)
        layout = Layout(self.trainable_variables)
        with backend.derivatives().precision(layout.dtype):
            return self.step_on(layout, data, self.optimizer.take_step)

    def step_on(
        self,
        layout: Layout,
        data: Any,
        take_step: Callable[[ModelObjective, Layout], Any],
        noise: tuple[Any, Any] | None = None,
    ) -> dict[str, Any]:
        """One training step on a batch; returns the metrics after it.

        Args:
            layout: of the trainable weights.
            data: the batch as `fit` hands it out.
            take_step: moves the weights by the loss of the batch, and returns it as it was before.
            noise: as of `ModelObjective`.
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        objective = ModelObjective(self, data, layout, noise)
        predicted = None
        if self._looks_at_outputs():
            predicted = objective.forward(layout.join([v.value for v in self.trainable_variables]))
        loss = take_step(objective, layout)
        samples = ops.shape(keras.tree.flatten(x)[0])[0]
        loss_tracker(self).update_state(loss, sample_weight=samples)
        return self.compute_metrics(x, y, predicted, sample_weight)

    def _build_for(self, x: Any) -> None:
        """What TensorFlow leaves to the first call, and to the optimizer's first gradients."""
        if not self.built:
            self(x)
        self.optimizer.take_over(self)

    def _looks_at_outputs(self) -> bool:
        """Whether one more forward pass is needed, for metrics or what changes in a call."""
        own_metrics = self.compute_metrics.__func__ is not keras.Model.compute_metrics
        return bool(has_compiled_metrics(self) or own_metrics or changed_in_a_call(self))


class Model(CurvatureTrainer, keras.Model):
    """A `keras.Model` that curvature methods can train: `kol.Model(inputs, outputs)`.

        model = kol.Model(inputs, outputs)
        model.compile(optimizer=kol.LBFGS(full_batch=True), loss="mse")
        model.fit(x, y, batch_size=len(x), epochs=100)

    It is made as any Keras model: from inputs and outputs, or as the base of a class with a `call`
    of its own. Every other optimizer trains it exactly as it trains a `keras.Model`.

    With a curvature method, the loss that `fit` shows is that before the step. In float16 the loss
    is not scaled. Gradients and steps are computed on all weights as one vector of float32 or
    wider, on one device.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> "Model":
        if cls is Model and functional_init_arguments(args, kwargs):
            return FunctionalModel.__new__(FunctionalModel, *args, **kwargs)
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any):
        if functional_init_arguments(args, kwargs) and not isinstance(self, Functional):
            _make_functional(type(self))
            Functional.__init__(self, *args, **kwargs)
        else:
            super().__init__(*args, **kwargs)


@keras.saving.register_keras_serializable(package="keras_optim_lab")
class FunctionalModel(Model, Functional):
    """What `kol.Model(inputs, outputs)` makes."""

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None, **kwargs: Any):
        Functional.__init__(self, inputs, outputs, name=name, **kwargs)


@keras.saving.register_keras_serializable(package="keras_optim_lab")
class Sequential(CurvatureTrainer, keras.Sequential):
    """A `keras.Sequential` that curvature methods can train; see `kol.Model`."""


def _make_functional(cls: type) -> type:
    """Puts `FunctionalModel` in the place of `Model` among the bases of a class.

    Keras does so with its own `Model`, which would change ours for all classes.
    """
    if cls is Model:
        return FunctionalModel
    if issubclass(cls, Model):
        cls.__bases__ = tuple(_make_functional(base) for base in cls.__bases__)
    return cls
