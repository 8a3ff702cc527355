"""Which layer of a model it is that cannot be trained in a form."""

from typing import Any

import keras
from keras import ops

from keras_optim_lab import backend


def first_failing_layer(model: keras.Model, form: str) -> keras.Layer | None:
    """The first layer that cannot be trained in this form, as far as layers can be told apart."""
    for layer in model._flatten_layers(include_self=False):
        inner = list(layer._flatten_layers(include_self=False))
        if inner or isinstance(layer, keras.layers.InputLayer):
            continue
        try:
            inputs = layer.input
        except (AttributeError, ValueError):
            continue  # a layer of a model that is not a graph of layers
        try:
            _try_layer(layer, inputs, form)
        except Exception:
            return layer
    return None


def _try_layer(layer: keras.Layer, inputs: Any, form: str) -> None:
    """Computes the gradients of one layer on its own for two rows."""
    rows = backend.rows()

    def stacked(shape, dtype):
        leading = (2,) if form == "vectorized" else ()
        return ops.zeros((*leading, *(size or 2 for size in shape)), dtype)

    def loss(weights, others, x):
        mapping = zip(
            [*layer.trainable_variables, *layer.non_trainable_variables],
            [*weights, *others],
            strict=True,
        )
        with keras.StatelessScope(state_mapping=list(mapping)):
            mode = {"training": True} if layer._call_has_training_arg else {}
            outputs = keras.tree.flatten(layer(x, **mode))
        return sum(ops.sum(ops.cast(output, "float32")) for output in outputs), others

    weights, others = (
        [stacked(variable.shape, variable.dtype) for variable in variables]
        for variables in (layer.trainable_variables, layer.non_trainable_variables)
    )
    x = keras.tree.map_structure(lambda tensor: stacked(tensor.shape, tensor.dtype), inputs)
    gradients = rows.row_gradients(loss) if form == "vectorized" else rows.gradient(loss)
    rows.Program(lambda state: (gradients(*state)[0], {}), (weights, others, x))
