"""The first form in which a model can be compiled, and why not the one before."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.forward_pass import called
from keras_optim_lab.keras_private import inner_layers
from keras_optim_lab.tuning.engines.epoch import Epoch, Form
from keras_optim_lab.tuning.engines.pure_model import (
    ImpureModelError,
    PureModel,
    failing_metric,
    standing_for,
)

_log = logging.getLogger("keras_optim_lab")

_IN_WORDS: dict[Form, str] = {
    "vectorized": "vectorized step of many models",
    "looped": "loop over models in one program",
}


def first_that_compiles(
    model: PureModel, forms: Sequence[Form], epoch_in: Callable[[Form], Epoch], *data: Any
) -> tuple[Epoch, list[Any]]:
    """The epoch in the first of the forms that is possible, and its program for each of the data.

    Raises:
        ImpureModelError: none is; which part of the model it is that cannot be compiled.
        MemoryError: a program does not fit.
    """
    failures = []
    for form in forms:
        epoch = epoch_in(form)
        try:
            with _warnings_unless_it_fails():
                programs = [*map(epoch.program, data)]
        except (ImpureModelError, MemoryError):
            raise
        except Exception as error:
            _log.debug("task %r: not in %s form", model.task.name, form, exc_info=error)
            failures.append(_why(model, form, error))
            continue
        if failures:
            instead = f"its trials are trained in a {_IN_WORDS[form]}"
            _log.warning("task %r: %s; %s.", model.task.name, failures[0], instead)
        return epoch, programs
    raise ImpureModelError(failures[-1])


def _why(model: PureModel, form: Form, error: Exception) -> str:
    part: keras.Layer | keras.Metric | None = failing_metric(error)
    kind = "metric"
    if part is None:
        kind = "layer"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            part = _first_failing_layer(model.model, form)
    failing = f"{kind} {part.name!r} ({type(part).__name__})" if part else "model"
    return f"its {failing} cannot be part of a {_IN_WORDS[form]}"


def _first_failing_layer(model: keras.Model, form: Form) -> keras.Layer | None:
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


def _try_layer(layer: keras.Layer, inputs: Any, form: Form) -> None:
    """Computes the gradients of one layer on its own for two rows, also by numbers it is given."""
    rows = backend.rows()

    def stacked(tensor):
        leading = (2,) if form == "vectorized" else ()
        return ops.zeros((*leading, *(size or 2 for size in tensor.shape)), tensor.dtype)

    given = keras.tree.flatten(inputs)
    by_input = all(keras.backend.is_float_dtype(tensor.dtype) for tensor in given)

    def loss(numbers, others, rest):
        weights, x = numbers[: len(layer.trainable_variables)], [*numbers, *rest][-len(given) :]
        variables = [*layer.trainable_variables, *layer.non_trainable_variables]
        with standing_for(variables, [*weights, *others]):
            outputs = called(layer, keras.tree.pack_sequence_as(inputs, x), training=True)
        outputs = keras.tree.flatten(outputs)
        return sum(ops.sum(ops.cast(output, "float32")) for output in outputs), others

    weights, others, x = (
        [*map(stacked, tensors)]
        for tensors in (layer.trainable_variables, layer.non_trainable_variables, given)
    )
    numbers, rest = ([*weights, *x], []) if by_input else (weights, x)
    gradients = rows.row_gradients(loss) if form == "vectorized" else rows.gradient(loss)
    # A program gives up its first argument, which its results must then fit into.
    rows.Program(lambda _, state: (gradients(*state)[0], {}), (), (numbers, others, rest))


@contextmanager
def _warnings_unless_it_fails() -> Iterator[None]:
    """Shows the warnings of what is tried; if it fails, what comes of that is said instead."""
    with warnings.catch_warnings(record=True) as caught:
        yield
    for each in caught:
        warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
