"""An optimizer has a part in methods of the model that it trains, for which Keras has no hook.

Which weights there are to be trained is known when a fit begins, and where they are to stand when
the model is looked at.
"""

import sys
import warnings
import weakref
from collections.abc import Iterable
from contextlib import contextmanager
from functools import wraps
from types import FrameType
from typing import Any

import keras
from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.optimizers.shell.hyperparameters import LiveHyperparameters
from keras_optim_lab.optimizers.shell.paths import path_of


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


class FollowsModel(LiveHyperparameters):
    """Goes with the model that it trains, whichever of its weights are frozen or unfrozen."""

    @property
    def built(self) -> bool:
        frame = sys._getframe(1)
        if frame.f_code.co_name == "_symbolic_build":  # all that Keras asks before a fit
            self._follow(frame.f_locals["self"])
        return self.__dict__.get("_built", False)

    @built.setter
    def built(self, value):
        self.__dict__["_built"] = value

    # A part in methods of the model that is trained.

    @property
    def has_a_part_in(self) -> tuple[str, ...]:
        """Methods of a model around which `around` is called."""
        return ("make_train_function",)

    def _follow(self, model) -> None:
        if model is not None:
            self.__dict__["_is_followed"] = True
            follow(model, self.has_a_part_in)

    @contextmanager
    def around(self, model, name: str, arguments: dict[str, Any]):
        """What is done before and after a method of the model that is trained."""
        if name == "make_train_function" and self.built:
            self.take_over(model)
            if self.__dict__.pop("_outdates", False):
                model.train_function = None  # compiled for the weights of before
        yield

    def take_over(self, model) -> None:
        """Goes on with the weights of a model that are to be trained now.

        Raises:
            ValueError: it has trained weights of another model.
        """
        if self.__dict__.get("_built", False) and differs(self, model.trainable_variables):
            with backend.updates().eagerly(self._iterations):
                check_same_model(self, model)
                stay = {self._var_key(variable) for variable in model.trainable_variables}
                self._leave([v for v in self._trainable_variables if self._var_key(v) not in stay])
        self.build(model.trainable_variables)

    def _leave(self, variables) -> None:
        """Does what is to be done to weights that are not trained from now on."""

    # What cannot work is said in terms of the cause.

    def _check_variables_are_known(self, variables):
        if "_is_followed" not in self.__dict__ or differs(self, variables):
            model = training_model(self)
            if model is not None:
                self._follow(model)
                self.take_over(model)
        unknown = [
            path_of(v)
            for v in variables
            if self._var_key(v) not in self._trainable_variables_indices
        ]
        if unknown:
            raise ValueError(self._other_weights(f"It has no state for {', '.join(unknown)}."))

    def stateless_apply(self, optimizer_variables, grads, trainable_variables):
        if not trainable_variables:  # as Keras does on its other backends
            warnings.warn("The model does not have any trainable weights.", stacklevel=2)
        known = [tuple(v.shape) for v in self._trainable_variables]
        given = [tuple(v.shape) for v in trainable_variables]
        if self.built and known != given:
            raise ValueError(self._other_weights(f"Their shapes were {known}; now {given}."))
        return super().stateless_apply(optimizer_variables, grads, trainable_variables)

    def _other_weights(self, what: str) -> str:
        return (
            f"{type(self).__name__} was built for another set of weights. {what} Freeze and "
            "unfreeze layers between two fits; in a loop of your own, call "
            "optimizer.build(model.trainable_variables) after it, and compile your step again: "
            "weights that stay keep their state."
        )


def key(optimizer: "FollowsModel", variable) -> Any:
    return optimizer._var_key(variable)


def differs(optimizer: "FollowsModel", variables) -> bool:
    own = [key(optimizer, variable) for variable in optimizer._trainable_variables]
    return own != [key(optimizer, variable) for variable in variables]


def check_same_model(optimizer: "FollowsModel", model: keras.Model) -> None:
    """Refuses a second model: the state of the first one's weights would be lost."""
    here = {key(optimizer, weight) for weight in model.weights}
    lost = [v.path for v in optimizer._trainable_variables if key(optimizer, v) not in here]
    if lost and int(ops.convert_to_numpy(optimizer.iterations)):
        name = type(optimizer).__name__
        raise ValueError(
            f"{name} was built for another set of weights and has trained them. The model "
            f"{model.name!r} has no {', '.join(lost)}, whose state would be lost. Give this model "
            f"an optimizer of its own, {name}.from_config(optimizer.get_config()); or, if the "
            "other weights are done with, call optimizer.build(model.trainable_variables): "
            "weights that stay keep their state."
        )
