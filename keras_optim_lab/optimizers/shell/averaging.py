"""Optimizers that train at one point and are judged at another: the average of their weights.

A model holds the point at which gradients are taken while it trains, and the average whenever it
is looked at; whatever its weights are replaced by is an average, too.
"""

import weakref
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any, ClassVar

import keras
from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.optimizers.shell.following import optimizer_of
from keras_optim_lab.optimizers.shell.optimizer import Optimizer
from keras_optim_lab.optimizers.shell.precision import arithmetic_dtype
from keras_optim_lab.optimizers.shell.slots import Place

# What looks at a model or replaces its weights; each of them is to find the average.
_LOOKS = (
    *("evaluate", "predict", "test_on_batch", "predict_on_batch"),
    *("save", "save_weights", "export", "get_weights", "get_state_tree"),
    *("load_weights", "set_weights", "set_state_tree"),
)
# Where the trainer on JAX takes a model's variables out of it, for steps that train or others.
_TAKES_STATE = "_get_jax_state"

# Beside the variables in a file: what a weight is in training, by its index.
_IN_TRAINING = "in_training_"


class Following(Optimizer):
    """Moves the weights of the model that it trains to and fro, if it averages."""

    def fast_weights(self, place: Place) -> tuple[str, float] | None:
        """The slot that holds z of a weight, and β; None where the weight is not averaged."""
        return None

    def _build(self, variables):
        super()._build(variables)
        if not self.averages:
            return
        shows = 1.0  # before the first step all three points are one
        if "_shows_average" in self.__dict__:
            shows = float(ops.convert_to_numpy(self._shows_average))
            self._untrack_variable(self._shows_average)
        self._shows_average: Any = self.add_variable(
            (),
            keras.initializers.Constant(shows),
            "float32",
            aggregation="only_first_replica",
            name="shows_average",
        )

    def _leave(self, variables):
        if self.at_gradient_point:
            self._assign(variables, to_average=True)
        for variable in variables:
            self._in_training.pop(self._var_key(variable), None)

    def apply(self, grads, trainable_variables=None):
        super().apply(grads, trainable_variables)
        if self.averages:
            self._shows_average.assign(0.0)

    def _check_variables_are_known(self, variables):
        was_followed = "_is_followed" in self.__dict__
        super()._check_variables_are_known(variables)
        if not was_followed and "_is_followed" in self.__dict__:
            # TensorFlow has not run this first step yet.
            with backend.updates().eagerly(self._iterations):
                self.to_gradient_point(variables)

    # Where the weights are.

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
        if self.built and self.averages and self.at_gradient_point == to_average:
            self._shows_average.assign(float(to_average))
            self._assign(variables, to_average=to_average)

    def _assign(self, variables, *, to_average: bool):
        now = int(ops.convert_to_numpy(self.iterations))
        for variable in variables:
            index = self._trainable_variables_indices.get(self._var_key(variable))
            if index is None or self._births[index] == now:
                continue  # all three points are one
            averaged = self.fast_weights(self.place(variable))
            if averaged is None:
                continue
            name, beta = averaged
            fast = self._slot_variables[name][index]
            go = self._to_average if to_average else self._to_gradient_point
            variable.assign(go(variable, ops.convert_to_tensor(fast), beta))

    # The way there and back ends at the very bits that it began at.

    @property
    def _in_training(self) -> dict[Any, Any]:
        """By weight, what it is in training, kept while it is the average."""
        return self.__dict__.setdefault("_kept", {})

    def _to_average(self, variable, fast, beta: float):
        w = ops.copy(ops.convert_to_tensor(variable))  # JAX gives its memory away
        self._in_training[self._var_key(variable)] = w
        return _between(w, fast, 1.0 - 1.0 / beta)

    def _to_gradient_point(self, variable, fast, beta: float):
        average = ops.convert_to_tensor(variable)
        w = self._in_training.pop(self._var_key(variable), None)
        # Another average has come from outside.
        if w is None or not ops.all(ops.equal(_between(w, fast, 1.0 - 1.0 / beta), average)):
            return _between(average, fast, 1.0 - beta)
        return w

    def save_own_variables(self, store):
        super().save_own_variables(store)
        for index, variable in enumerate(self._trainable_variables):
            w = self._in_training.get(self._var_key(variable))
            if w is not None:
                store[f"{_IN_TRAINING}{index}"] = ops.convert_to_numpy(
                    ops.cast(w, arithmetic_dtype(w.dtype))
                )

    def _load_beside(self, saved):
        super()._load_beside(saved)
        self._in_training.clear()
        for index, variable in enumerate(self._trainable_variables):
            w = saved.pop(f"{_IN_TRAINING}{index}", None)
            if w is not None:
                self._in_training[self._var_key(variable)] = ops.cast(
                    ops.convert_to_tensor(w[()]), variable.dtype
                )

    # A part in methods of the model that is trained.

    @property
    def has_a_part_in(self):
        own = super().has_a_part_in
        return (*own, _TAKES_STATE, *_LOOKS) if self.averages else own

    def _follow(self, model):
        super()._follow(model)
        if model is not None and self.averages and model.train_function is not None:
            self._begins_at_gradient_point(model)  # Keras has made it before it built the optimizer

    def _begins_at_gradient_point(self, model) -> None:
        if not hasattr(model, _TAKES_STATE):
            model.train_function = _from_gradient_point(model, model.train_function)

    @contextmanager
    def around(self, model, name, arguments):
        with super().around(model, name, arguments):
            if name in _LOOKS:
                with self._looking(model):
                    yield
                return
            if name == _TAKES_STATE and arguments.get("optimizer_variables"):
                self.to_gradient_point(model.trainable_variables)
            yield
            if name == "make_train_function":
                self._begins_at_gradient_point(model)

    @contextmanager
    def _looking(self, model):
        if hasattr(model, "jax_state_sync"):
            model.jax_state_sync()
        trains = self.at_gradient_point
        self._move(self._trainable_variables, to_average=True)
        try:
            yield
        finally:
            if trains:
                self.to_gradient_point(self._trainable_variables)


def _between(w, fast, share: float):
    wide = ops.cast(w, fast.dtype)
    return ops.cast(wide + share * (fast - wide), w.dtype)


def _from_gradient_point(model, train):
    """The model's train function, which goes to where gradients are taken before its first step.

    No earlier: callbacks that load weights, when training begins, load averages.
    """
    trained: Callable[[], Any] = weakref.ref(model)  # as in `follow`

    def first(*arguments):
        model = trained()
        model.train_function = train
        optimizer_of(model).to_gradient_point(model.trainable_variables)
        return train(*arguments)

    return first


class AveragedOptimizer(Following):
    """Trains at y = (1 − β) z + β x, where z is the slot `fast`, and shows the average x.

    Attributes:
        average_field: the name of the field that is β.
    """

    average_field: ClassVar[str]

    def _compose(self, values):
        if values[self.average_field] == 0.0:
            raise ValueError(
                f"{type(self).__name__}: `{self.average_field}` must be > 0: at 0 gradients are "
                "taken at z itself, from which the average x cannot be told. Received: "
                f"{self.average_field}=0.0"
            )
        super()._compose(values)

    def beta_of(self, h):
        return h[self.average_field]

    def shown(self, w, slot, h):
        """The average x, from y and its slots."""
        complement = self.beta_of(h).complement
        return w - complement / (1.0 - complement) * (slot.fast - w)

    def fast_weights(self, place):
        return "fast", float(getattr(self, self.average_field))
