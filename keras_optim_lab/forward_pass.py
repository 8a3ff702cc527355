"""The forward pass of a Keras model as its own training step makes it."""

import inspect
from typing import Any

import keras


def called(layer: keras.Layer, x: Any, training: bool) -> Any:
    """The outputs of a layer or a model, which is told of training if it asks for it."""
    told = {"training": training} if "training" in layer.call_signature_parameters else {}
    return layer(x, **told)


def loss_of_batch(
    model: keras.Model, x: Any, y: Any, predicted: Any, sample_weight: Any, training: bool
) -> Any:
    """The loss of a compiled model's outputs, with its penalties."""
    # A `compute_loss` that was written before Keras 3.3 is not told of training.
    asks = "training" in inspect.signature(model.compute_loss).parameters
    told = {"training": training} if asks else {}
    return model.compute_loss(x, y, predicted, sample_weight, **told)
