"""Which layer of a model it is that cannot be trained in a form."""

from typing import Any

import keras
from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.forward_pass import called
from keras_optim_lab.keras_private import inner_layers


def first_failing_layer(model: keras.Model, form: str) -> keras.Layer | None:
    """The first layer that cannot be trained in this form, as far as layers can be told apart."""
    for layer in inner_layers(model):
        if inner_layers(layer) or isinstance(layer, keras.layers.InputLayer):
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
    """Computes the gradients of one layer on its own for two rows, also by numbers it is given."""
    rows = backend.rows()

    def stacked(tensor):
        leading = (2,) if form == "vectorized" else ()
        return ops.zeros((*leading, *(size or 2 for size in tensor.shape)), tensor.dtype)

    given = keras.tree.flatten(inputs)
    by_input = all(keras.backend.is_float_dtype(tensor.dtype) for tensor in given)

    def loss(numbers, others, rest):
        weights, x = numbers[: len(layer.trainable_variables)], [*numbers, *rest][-len(given) :]
        mapping = zip(
            [*layer.trainable_variables, *layer.non_trainable_variables],
            [*weights, *others],
            strict=True,
        )
        with keras.StatelessScope(state_mapping=list(mapping)):
            nested = keras.tree.pack_sequence_as(inputs, x)
            outputs = keras.tree.flatten(called(layer, nested, training=True))
        return sum(ops.sum(ops.cast(output, "float32")) for output in outputs), others

    weights, others, x = (
        [*map(stacked, tensors)]
        for tensors in (layer.trainable_variables, layer.non_trainable_variables, given)
    )
    numbers, rest = ([*weights, *x], []) if by_input else (weights, x)
    gradients = rows.row_gradients(loss) if form == "vectorized" else rows.gradient(loss)
    # A program gives up its first argument, which its results must then fit into.
    rows.Program(lambda _, state: (gradients(*state)[0], {}), (), (numbers, others, rest))
