"""Layers that are frozen or unfrozen between fits: the state of what stays is carried over.

A weight that joins later has a count of steps of its own, and with it shared state of its own: a
rule that is told t = 1 with empty slots begins as it is meant to, beside weights at t = 1000.
"""

import sys
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

import keras
from keras import Variable, ops

from keras_optim_lab import backend

if TYPE_CHECKING:
    from keras_optim_lab.optimizers.base import Optimizer


# What Keras keeps for a weight; no slots, whose names are identifiers.
_AVERAGE, _ACCUMULATED = "Keras's average", "Keras's accumulated gradient"


def carry_over(optimizer: "Optimizer", variables: list) -> None:
    """Builds the optimizer on other weights; those that it has had keep their state."""
    with backend.updates().eagerly():
        former = {key(optimizer, v): i for i, v in enumerate(optimizer._trainable_variables)}
        stays = [former.get(key(optimizer, variable)) for variable in variables]
        old, shared, births = [*states(optimizer)], optimizer._cohorts, optimizer._births
        now = int(ops.convert_to_numpy(optimizer.iterations))
        optimizer._untrack_variable(*own_variables(optimizer))
        optimizer._trainable_variables_indices = {}
        optimizer.__dict__["_births"] = [now if i is None else births[i] for i in stays]
        optimizer._build(variables)
        for variable, new, i in zip(variables, states(optimizer), stays, strict=True):
            for name, state in new.items():
                if i is not None:
                    state.assign(old[i][name])
                elif name == _AVERAGE:
                    state.assign(ops.copy(ops.cast(variable, state.dtype)))  # JAX gives it away
        for birth, state in optimizer._cohorts.items():
            for name, variable in shared.get(birth, {}).items():
                state[name].assign(variable)


def states(optimizer: "Optimizer") -> Iterator[dict[str, Variable]]:
    """By name, all that the optimizer keeps for each weight."""
    around = {}
    if optimizer.use_ema:
        around[_AVERAGE] = optimizer._model_variables_moving_average
    if optimizer.gradient_accumulation_steps:
        around[_ACCUMULATED] = optimizer._accumulated_gradients
    for i, slots in enumerate(optimizer._slots):
        yield {**slots, **{n: own[i] for n, own in around.items() if own[i] is not None}}


def own_variables(optimizer: "Optimizer") -> list[Variable]:
    """All variables that belong to the weights and not to the optimizer's configuration."""
    of_weights = [variable for own in states(optimizer) for variable in own.values()]
    return of_weights + [v for state in optimizer._cohorts.values() for v in state.values()]


def key(optimizer: "Optimizer", variable) -> Any:
    return optimizer._var_key(variable)


def asks_for_others(optimizer: "Optimizer", frame: FrameType) -> bool:
    """Whether Keras asks, before a fit, if an optimizer is built whose model has changed."""
    if frame.f_code.co_name != "_symbolic_build":
        return False
    return differs(optimizer, frame.f_locals["self"].trainable_variables)


def differs(optimizer: "Optimizer", variables) -> bool:
    own = [key(optimizer, variable) for variable in optimizer._trainable_variables]
    return own != [key(optimizer, variable) for variable in variables]


def training_model(optimizer: "Optimizer") -> keras.Model | None:
    """The model in one of whose methods the optimizer is at work."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        model = frame.f_locals.get("self")
        if isinstance(model, keras.Model) and is_trained_by(optimizer, model):
            return model
        frame = frame.f_back
    return None


def is_trained_by(optimizer: "Optimizer", model) -> bool:
    theirs = getattr(model, "optimizer", None)
    return theirs is optimizer or getattr(theirs, "inner_optimizer", None) is optimizer


def check_trainable(who: str, model: keras.Model) -> None:
    """Refuses a model in which nothing can be trained; Keras would train it without a change."""
    if not model.trainable_variables:
        why = "all its layers are frozen" if model.weights else "none of its layers has weights"
        raise ValueError(
            f"{who}: the model {model.name!r} has no trainable weights: {why}. Unfreeze what is "
            "to be trained, layer.trainable = True, or add layers with weights."
        )
