"""What this package uses of Keras that Keras does not publish: each name once, and what for.

After an update of Keras the tests of `NAMES` say which of them is gone.
"""

import random
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import keras
from keras.src.backend.common import dtypes as dtypes
from keras.src.backend.common.stateless_scope import in_stateless_scope as in_stateless_scope
from keras.src.backend.config import keras_home as keras_home
from keras.src.models.functional import Functional as Functional
from keras.src.models.model import functional_init_arguments as functional_init_arguments
from keras.src.random import seed_generator as seed_generator
from keras.src.random.seed_generator import make_default_seed as make_default_seed
from keras.src.saving import serialization_lib as serialization_lib
from keras.src.trainers.epoch_iterator import EpochIterator as EpochIterator
from keras.src.utils import module_utils as module_utils
from keras.src.utils import rng_utils as rng_utils
from keras.src.utils.naming import to_snake_case as to_snake_case
from keras.src.utils.tracking import DotNotTrackScope as DotNotTrackScope

from keras_optim_lab.registration import register_what_waits

NAMES = {
    "keras.src.backend.common.dtypes.BIT64_TO_BIT32_DTYPE": "lets `keras.ops` keep float64",
    "keras.src.backend.common.stateless_scope.in_stateless_scope": "whether values are variables'",
    "keras.src.backend.config.keras_home": "where Keras keeps data sets is decided there only",
    "keras.src.models.functional.Functional": "`kol.Model(inputs, outputs)` is one",
    "keras.src.models.model.functional_init_arguments": "tells these from a subclass's arguments",
    "keras.src.random.seed_generator.make_default_seed": "the seeds that initializers draw",
    "keras.src.random.seed_generator.python_random": "where these are drawn, and can be counted",
    "keras.src.trainers.epoch_iterator.EpochIterator": "reads a pipeline as `fit` does",
    "keras.src.saving.serialization_lib.tf": "a configuration would import TensorFlow, too",
    "keras.src.utils.module_utils.tensorflow": "which is there again afterwards",
    "keras.src.utils.rng_utils.tf": "seeding would import TensorFlow, which takes seconds",
    "keras.src.utils.naming.to_snake_case": "the names of wrappers in saved files are made by it",
    "keras.src.utils.tracking.DotNotTrackScope": "a tracked list is a copy, which nobody fills",
    "keras.Model()._symbolic_build": "makes the state of metrics without a step, as `fit` does",
    "keras.Model()._flatten_layers": "finds layers within layers, which `Model.layers` leaves out",
    "keras.Model()._loss_tracker": "`Model.metrics`, which may be overridden, need not hold it",
    "keras.Model()._compile_loss": "holds the mean loss of each output, which computing it changes",
    "keras.Model()._compile_metrics": "whether a step needs outputs for metrics",
}
_OF_OPTIMIZERS = {
    "_iterations": "counts batches, where `iterations` counts updates",
    "_trainable_variables": "the weights that the optimizer was built for",
    "_trainable_variables_indices": "finds them by their keys; a rebuilt optimizer has others",
    "_get_variable_index": "finds the slots of a weight",
    "_var_key": "what a weight is known by, within `tf.distribute` too",
    "_backend_update_step": "where all weights are updated at once",
    "_check_variables_are_known": "what Keras asks of weights first, in any loop",
    "_apply_weight_decay": "subtracts in a rounding of its own what belongs to the step",
    "_update_model_variables_moving_average": "averages in the weights' own precision",
    "_overwrite_model_variables_with_average_value": "gives one memory to two variables",
    "_overwrite_variable_with_gradient": "tells the weights that no method updates",
    "_accumulated_gradients": "part of what is kept for a weight, and goes with it",
    "_model_variables_moving_average": "the same; and Keras's own averages lose digits",
    "_untrack_variable": "what a variable that is replaced goes through",
    "_tracker": "holds the list of variables, of which TensorFlow saves none that has shrunk",
}
_OF_VARIABLES = {
    "_initializer": "by which one begins that has no value yet",
    "_value": "its memory, where it is updated in place: to ask for its value takes as long",
    "_layout": "how it is laid out over devices, which its slots are too",
}
for _made, _names in (("optimizers.SGD()", _OF_OPTIMIZERS), ("metrics.Sum().total", _OF_VARIABLES)):
    NAMES |= {f"keras.{_made}.{name}": why for name, why in _names.items()}
if keras.backend.backend() == "jax":
    from keras.src.backend import jax as _jax

    jax_random = _jax.random
    for _name in ("uniform", "normal", "truncated_normal"):
        NAMES[f"keras.src.backend.jax.random.{_name}"] = "is a program for each shape"
    NAMES["keras.Model()._get_jax_state"] = "where a model's weights are taken out for a step"
if keras.backend.backend() == "torch":
    from keras.src.backend.torch.core import get_device as get_device

    NAMES["keras.src.backend.torch.core.get_device"] = "where Keras puts the tensors that it makes"
if keras.backend.backend() == "tensorflow":
    NAMES["keras.Model()._distribute_strategy"] = "its public name gives one where there is none"


@contextmanager
def without_tensorflow(module: Any) -> Iterator[None]:
    """Within it a module of Keras's does not import TensorFlow to find out that it is not in use.

    That takes seconds. Where it has been imported, nothing changes.
    """
    if keras.backend.backend() == "tensorflow" or "tensorflow" in sys.modules:
        yield
        return
    module.tf = SimpleNamespace(available=False)
    try:
        yield
    finally:
        module.tf = module_utils.tensorflow


def serialized(thing: Any) -> Any:
    """As `keras.saving.serialize_keras_object`, which imports TensorFlow on every backend."""
    with without_tensorflow(serialization_lib):
        return serialization_lib.serialize_keras_object(thing)


@contextmanager
def drawn_seeds() -> Iterator[list[int]]:
    """Within it, all seeds that Keras draws for what was given none."""
    seeds: list[int] = []

    def randint(least: int, most: int) -> int:
        seeds.append(random.randint(least, most))
        return seeds[-1]

    seed_generator.python_random = SimpleNamespace(randint=randint)
    try:
        yield seeds
    finally:
        seed_generator.python_random = random


def build_with(model: keras.Model, batch: Any) -> None:
    """Makes all variables of a compiled model, its optimizer and its metrics, for such batches."""
    model._symbolic_build(data_batch=batch)


def read_instead_of_building(model: keras.Model, read: Callable[[Iterable[Any]], None]) -> None:
    """Lets `read` be called with the data of the next `fit`, in place of making what is there."""

    def once(iterator: Iterable[Any]) -> None:
        del model._symbolic_build  # Keras's own is back, for the validation
        read(iterator)

    model._symbolic_build = once


def inner_layers(layer: keras.Layer) -> list[keras.Layer]:
    """The layers within a layer or a model, at every depth."""
    return layer._flatten_layers(include_self=False)


def loss_tracker(model: keras.Model) -> keras.Metric:
    """The metric that `fit` shows as the loss."""
    return model._loss_tracker


def losses_of_outputs(model: keras.Model) -> list[keras.Metric]:
    """The metrics of each output's loss; none for a model with a loss of its own, or one output."""
    return getattr(model._compile_loss, "metrics", [])


def has_compiled_metrics(model: keras.Model) -> bool:
    return bool(model._compile_metrics)


def outside_a_strategy(model: keras.Model) -> bool:
    """Whether a model on TensorFlow was made outside the scope of a `tf.distribute.Strategy`."""
    return model._distribute_strategy is None


register_what_waits()
