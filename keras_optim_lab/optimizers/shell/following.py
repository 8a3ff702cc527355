"""An optimizer has a part in methods of the model that it trains, for which Keras has no hook.

Which weights there are to be trained is known when a fit begins, and where they are to stand when
the model is looked at.
"""

import sys
import weakref
from collections.abc import Iterable
from functools import wraps
from types import FrameType
from typing import Any

import keras


def optimizer_of(model) -> Any:
    """The optimizer of a model, without the scaling of the loss around it."""
    theirs = getattr(model, "optimizer", None)
    return getattr(theirs, "inner_optimizer", theirs)


def is_trained_by(optimizer, model) -> bool:
    return optimizer_of(model) is optimizer


def training_model(optimizer) -> keras.Model | None:
    """The model in one of whose methods the optimizer is at work."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        model = frame.f_locals.get("self")
        if isinstance(model, keras.Model) and is_trained_by(optimizer, model):
            return model
        frame = frame.f_back
    return None


def follow(model, names: Iterable[str]) -> None:
    """Has the model's optimizer called around these methods, whichever it is by then."""
    for name in names:
        if name not in vars(model) and hasattr(model, name):
            _wrap(model, name)


def _wrap(model, name: str) -> None:
    # Weakly: the model holds these functions, and none of them the model.
    followed, method = weakref.ref(model), getattr(type(model), name)

    @wraps(method)
    def wrapped(*args, **kwargs):
        model = followed()
        around = getattr(optimizer_of(model), "around", None)
        if around is None:
            return method(model, *args, **kwargs)
        with around(model, name, kwargs):
            return method(model, *args, **kwargs)

    object.__setattr__(model, name, wrapped)
