"""The loss of a Keras model on one batch, as a function of all its weights in one vector."""

from typing import Any

import keras
from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.curvature.layout import Layout
from keras_optim_lab.curvature.objective import Objective
from keras_optim_lab.forward_pass import called, loss_of_batch
from keras_optim_lab.keras_private import losses_of_outputs


class ModelObjective(Objective):
    """The training loss of a batch, with its penalties and weights of samples.

    The same in every evaluation: dropout draws the same noise, and what else changes in a call
    (moving averages, states of random generators) starts from the same values.

    Args:
        model: compiled.
        data: a batch as `fit` hands it out: x, (x, y) or (x, y, sample_weight).
        layout: of its trainable variables.
        noise: what dropout draws from on PyTorch, a seed and a step; by default from its stream.
    """

    def __init__(
        self, model: keras.Model, data: Any, layout: Layout, noise: tuple[Any, Any] | None = None
    ):
        super().__init__(
            value=lambda x: self._forward(x)[0],
            outputs=self._joined_outputs,
            loss=self._loss_of_outputs,
            layout=layout,
        )
        self._model = model
        self._layout = layout
        self._batch = keras.utils.unpack_x_y_sample_weight(data)
        self._weights = model.trainable_variables
        self._first = [ops.convert_to_tensor(weight) for weight in self._weights]
        # Copies: on PyTorch `forward` would change them.
        self._others = [(v, ops.copy(v)) for v in changed_in_a_call(model)]
        self._noise = noise or (backend.derivatives().noise_key(), 0)
        self._outputs: Layout | None = None

    def forward(self, x: Any) -> Any:
        """The model's outputs at x; variables that change in a call are assigned."""
        _, predicted, scope = self._forward(x)
        for variable, _ in self._others:
            variable.assign(scope.get_current_value(variable))
        return predicted

    def _forward(self, vector: Any) -> tuple[Any, Any, keras.StatelessScope]:
        model = self._model
        x, y, sample_weight = self._batch
        with self._scope(self._layout.split(vector)) as scope, self._same_noise():
            predicted = called(model, x, training=True)
            loss = loss_of_batch(model, x, y, predicted, sample_weight, training=True)
        return ops.cast(loss, self._layout.dtype), predicted, scope

    def _joined_outputs(self, vector: Any) -> Any:
        predicted = self._forward(vector)[1]
        if self._outputs is None:
            self._outputs = Layout(predicted)
        return self._outputs.join(predicted)

    def _loss_of_outputs(self, outputs: Any) -> Any:
        assert self._outputs is not None
        x, y, sample_weight = self._batch
        with self._scope(self._first):
            predicted = self._outputs.split(outputs)
            loss = loss_of_batch(self._model, x, y, predicted, sample_weight, training=True)
        return ops.cast(loss, self._layout.dtype)

    def _scope(self, weights: Any) -> keras.StatelessScope:
        mapping = [*zip(self._weights, weights, strict=True), *self._others]
        return keras.StatelessScope(state_mapping=mapping, collect_losses=True)

    def _same_noise(self) -> Any:
        return backend.rows().noise(*self._noise)


def changed_in_a_call(model: keras.Model) -> list[Any]:
    """Variables that a call or the loss changes: averages, seeds, the mean loss of each output."""
    of_outputs = (v for metric in losses_of_outputs(model) for v in metric.variables)
    return [*model.non_trainable_variables, *of_outputs]
