"""Which of Keras's own optimizers has the role of one of ours. This is the only place that says."""

import inspect
from collections.abc import Callable
from typing import Any

import keras

from keras_optim_lab.optimizers import (
    LAMB,
    Adafactor,
    GradientDescent,
    Momentum,
    Muon,
    Optimizer,
    ScheduleFreeAdamW,
)

# The rest have the same name, and take the arguments of the same name.
_SPECIAL: dict[type[Optimizer], Callable[[Any], keras.optimizers.Optimizer | None]] = {
    Adafactor: lambda o: (
        None if o.declares("beta_1") else _same_arguments(keras.optimizers.Adafactor, o)
    ),
    GradientDescent: lambda o: keras.optimizers.SGD(_number(o, "learning_rate")),
    Momentum: lambda o: keras.optimizers.SGD(
        _number(o, "learning_rate") * (1.0 if o.heavy_ball else 1.0 - _number(o, "beta")),
        momentum=_number(o, "beta"),
        nesterov=o.nesterov,
    ),
    Muon: lambda o: keras.optimizers.Muon(
        _number(o, "learning_rate"),
        adam_beta_1=o.beta_1,
        adam_beta_2=o.beta_2,
        adam_weight_decay=o.weight_decay,
        adam_lr_ratio=o.adam_ratio,
        weight_decay=o.weight_decay,
        epsilon=o.epsilon,
        momentum=o.momentum,
        nesterov=o.nesterov,
        ns_steps=o.steps,
        rms_rate=0.2 if o.match_rms else None,
        exclude_layers=[o.adam_for],
    ),
    ScheduleFreeAdamW: lambda o: None,  # the built-in keeps no average
    LAMB: lambda o: _same_arguments(keras.optimizers.Lamb, o),
}


def built_in(optimizer: Optimizer) -> keras.optimizers.Optimizer | None:
    """The Keras built-in of the same role and hyperparameters; None where Keras has none.

    Built-ins may define a hyperparameter differently; the docstring of our class says so.
    """
    cls = type(optimizer)
    if cls in _SPECIAL:
        return _SPECIAL[cls](optimizer)
    theirs = getattr(keras.optimizers, cls.__name__, None)
    return None if theirs is None else _same_arguments(theirs, optimizer)


def _same_arguments(theirs: Any, optimizer: Optimizer) -> keras.optimizers.Optimizer:
    known = inspect.signature(theirs).parameters
    config = optimizer.get_config()
    return theirs(
        **{
            name: config[name]
            for name in optimizer.fields
            if name in known and name != "name" and config[name] is not None
        }
    )


def _number(optimizer: Optimizer, name: str) -> float:
    """The number that was given, where the live variable holds it in float32."""
    return optimizer.get_config()[name]
