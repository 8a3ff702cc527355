"""Optimizers that train at one point and are judged at another: the average of their weights.

A model holds the point at which gradients are taken while it trains, and the average whenever it
is looked at. Keras has no hook for that, so the optimizer follows the model that builds it.
"""

import weakref
from contextlib import contextmanager
from functools import wraps
from typing import Any, ClassVar

from keras import ops

from keras_optim_lab.optimizers.base import Optimizer
from keras_optim_lab.optimizers.carrying import is_trained_by, training_model
from keras_optim_lab.optimizers.slots import Place


class Following(Optimizer):
    """Follows the model that builds it, if it averages, and moves its weights to and fro."""

    def fast_weights(self, place: Place) -> tuple[str, float] | None:
        """The slot that holds z of a weight, and β; None where the weight is not averaged."""
        return None

    def build(self, variables):
        if self.built and self.averages:
            self.to_gradient_point(self._trainable_variables)  # before other weights join
        super().build(variables)

    def _build(self, variables):
        super()._build(variables)
        if not self.averages:
            return
        if "_shows_average" in self.__dict__:
            self._untrack_variable(self._shows_average)
        self._shows_average: Any = self.add_variable(
            (), "zeros", "float32", aggregation="only_first_replica", name="shows_average"
        )
        model = training_model(self)
        if model is not None and "_follows" not in self.__dict__:
            self.__dict__["_follows"] = True
            _follow(model, self)

    def apply(self, grads, trainable_variables=None):
        super().apply(grads, trainable_variables)
        if self.averages:
            self._shows_average.assign(0.0)

    def to_gradient_point(self, var_list):
        """Moves weights from the average to where gradients are taken; does nothing there."""
        self._move(var_list, to_average=False)

    def finalize_variable_values(self, var_list):
        """Moves weights to their average; does nothing where they are there."""
        self._move(var_list, to_average=True)
        super().finalize_variable_values(var_list)

    @property
    def at_gradient_point(self) -> bool:
        """Whether the weights are where gradients are taken, and not at the average."""
        if not self.built or not self.averages:
            return False
        return not float(ops.convert_to_numpy(self._shows_average))

    def _move(self, variables, *, to_average: bool):
        if not self.built or not self.averages or self.at_gradient_point != to_average:
            return
        self._shows_average.assign(float(to_average))
        for variable in variables:
            found = self.fast_weights(self.place(variable))
            if found is None:
                continue
            name, beta = found
            index = self._get_variable_index(variable)
            if self._age_of(index) == 0:
                continue  # all three points are one
            share = 1.0 - 1.0 / beta if to_average else 1.0 - beta
            fast = self._slot_variables[name][index]
            w = ops.cast(ops.convert_to_tensor(variable), fast.dtype)
            variable.assign(ops.cast(w + share * (fast - w), variable.dtype))


class AveragedOptimizer(Following):
    """Trains at y = (1 − β) z + β x, where z is the slot `fast`, and shows the average x.

    Attributes:
        average_field: the name of the field that is β.
    """

    average_field: ClassVar[str]

    def beta_of(self, h):
        return h[self.average_field]

    def shown(self, w, slot, h):
        """The average x, from y and its slots."""
        complement = self.beta_of(h).complement
        return w - complement / (1.0 - complement) * (slot.fast - w)

    def fast_weights(self, place):
        return "fast", float(getattr(self, self.average_field))


# What looks at a model; each of them is to find the average.
_LOOKS = (
    *("evaluate", "predict", "test_on_batch", "predict_on_batch"),
    *("save", "save_weights", "export", "get_weights"),
)


def _follow(model, optimizer) -> None:
    """Has the model's weights moved by its own methods, since Keras has no hook for that."""
    # Weakly: the model holds the optimizer and these functions, and none of them the model.
    followed, follower = weakref.ref(model), weakref.ref(optimizer)

    def wrap(name, around):
        method = getattr(type(model), name)

        @wraps(method)
        def wrapped(*args, **kwargs):
            model, optimizer = followed(), follower()
            if optimizer is None or not is_trained_by(optimizer, model):
                return method(model, *args, **kwargs)
            with around(model, optimizer):
                return method(model, *args, **kwargs)

        object.__setattr__(model, name, wrapped)

    wrap("make_train_function", _training)
    for name in _LOOKS:
        wrap(name, _looking)


@contextmanager
def _training(model, optimizer):
    optimizer.to_gradient_point(model.trainable_variables)
    yield


@contextmanager
def _looking(model, optimizer):
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()
    trains = optimizer.at_gradient_point
    optimizer._move(model.trainable_variables, to_average=True)
    try:
        yield
    finally:
        if trains:
            optimizer.to_gradient_point(model.trainable_variables)
