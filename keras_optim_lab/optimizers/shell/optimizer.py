"""The shell: a Keras optimizer around a method's pure step.

`fit` calls `apply` (Keras) → `_backend_update_step` → the backend's `run` → `Step.advance` →
`next_weight` (once a bundle of weights) → `rule` (the method itself).
"""

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from operator import attrgetter, is_
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.optimizers.shell.exclusions import Exclusions
from keras_optim_lab.optimizers.shell.field_kinds import KerasArgument
from keras_optim_lab.optimizers.shell.fields import (
    FRACTION,
    ONE_OR_MORE,
    POSITIVE,
    TEXT,
    TWO_OR_MORE,
    YES_OR_NO,
    keras_argument,
    keras_number,
)
from keras_optim_lab.optimizers.shell.following import differs, training_model
from keras_optim_lab.optimizers.shell.freezing import carry_over, rebuild
from keras_optim_lab.optimizers.shell.paths import Whereabouts, path_of
from keras_optim_lab.optimizers.shell.precision import check_real
from keras_optim_lab.optimizers.shell.slots import Place
from keras_optim_lab.optimizers.shell.state import KeepsState
from keras_optim_lab.optimizers.shell.whole_step import share_of_average

# By weight, after how many steps it joined: beside the variables in a file.
_JOINED_AFTER = "joined_after"

# Arguments for which Keras does more in a step than to update every weight.
_around_the_update = attrgetter(
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "use_ema",
    "loss_scale_factor",
    "gradient_accumulation_steps",
)


def _not_yet_set():
    raise RuntimeError("The learning rate is read before the optimizer has been constructed.")


class Optimizer(KeepsState, kw_only=True):
    """An optimizer that is its docstring, its fields, its slots and one pure rule.

    A subclass declares its hyperparameters with `rate`, `decay`, `nonnegative`, `constant` and
    `switch`, names its slots, and defines `rule`; see `Method`.
    """

    clipnorm: float | None = keras_number(
        default=None, accepts=POSITIVE, doc="Largest norm of each weight's gradient."
    )
    clipvalue: float | None = keras_number(
        default=None, accepts=POSITIVE, doc="Largest magnitude of each number in a gradient."
    )
    global_clipnorm: float | None = keras_number(
        default=None, accepts=POSITIVE, doc="Largest norm of all gradients together."
    )
    use_ema: bool = keras_argument(
        default=False,
        accepts=YES_OR_NO,
        doc="Keep a moving average of the weights and end training on it.",
    )
    ema_momentum: float = keras_number(
        default=0.99, accepts=FRACTION, doc="Decay rate of that average.", needs="use_ema"
    )
    ema_overwrite_frequency: int | None = keras_argument(
        default=None, accepts=ONE_OR_MORE, doc="Every so many steps, overwrite the weights by it."
    )
    loss_scale_factor: float | None = keras_number(
        default=None, accepts=POSITIVE, doc="Factor on the loss, taken back from the gradients."
    )
    gradient_accumulation_steps: int | None = keras_argument(
        default=None,
        accepts=TWO_OR_MORE,
        doc="Update once in so many steps, with their mean gradient.",
    )
    name: str | None = keras_argument(
        default=None, accepts=TEXT, doc="Name of the optimizer and of its variables."
    )

    _exclusions: Exclusions | None = None

    # Construction.

    def __init__(self, *args, **kwargs):
        owner = type(self).__name__
        values = {
            name: self.fields[name].check(owner, value)
            for name, value in self.bind(args, kwargs).items()
        }
        keras_arguments = self._keras_arguments(values)
        super().__init__(learning_rate=_not_yet_set, **keras_arguments)  # type: ignore[call-arg]
        self._keep(values)
        self._compose(values)

    def _compose(self, values: dict[str, Any]) -> None:
        """For optimizers made of others, from the checked arguments."""

    def changed(self, changes: Mapping[str, Any]) -> "Optimizer":
        """A new optimizer of this configuration, but for some fields.

        Raises:
            TypeError, ValueError: there is no such field, or it does not accept the value.
        """
        config = {name: value for name, value in self.get_config().items() if name != "name"}
        return type(self).from_config({**config, **changes})

    @property
    def excludes(self) -> bool:
        """Whether some weights are left out of weight decay."""
        return self._exclusions is not None

    def _keras_arguments(self, values: dict[str, Any]) -> dict[str, Any]:
        return {n: v for n, v in values.items() if isinstance(self.fields[n], KerasArgument)}

    # State.

    def build(self, variables):
        """Creates the state for these weights.

        Called again with other weights, after layers were frozen or unfrozen, it keeps the state of
        those that stay; `fit` does so by itself.

        Raises:
            TypeError: a weight holds complex numbers or integers.
        """
        check_real(type(self).__name__, [(path_of(v), v.dtype) for v in variables])
        if not self.__dict__.get("_built", False):
            self._build(variables)
            self._follow(training_model(self))
        elif differs(self, variables):
            with backend.updates().eagerly(self._iterations):
                self._carry_over(variables)

    def _build(self, variables):
        self.find(variables, training_model(self))
        self.check_weights(variables)
        super().build(variables)
        self.__dict__.setdefault("_births", self._births_in(variables))
        self._build_state(variables)

    def _carry_over(self, variables) -> None:
        carry_over(self, variables)

    def check_weights(self, variables) -> None:
        """Raises a ValueError for weights that the optimizer cannot train, before it has any."""
        self.check_places([self.place(variable) for variable in variables], self.other_places)

    # A step.

    def apply(self, grads, trainable_variables=None):
        if self._is_update_only(grads, trainable_variables):
            (cohort,) = self._cohorts
            cohort.updater.run_alone(grads, self._now, self._iterations)
        else:
            dense = backend.updates().dense
            super().apply([None if g is None else dense(g) for g in grads], trainable_variables)

    def _is_update_only(self, gradients, variables) -> bool:
        """Whether Keras would only look for what else to do; that takes as long as the update."""
        if not self.__dict__.get("_is_free") or any(_around_the_update(self)):
            return False
        own = self._trainable_variables
        given = own if variables is None else variables
        return (
            self._cohorts[0].updater.can_run_alone()
            and len(gradients) == len(given) == len(own)
            and all(map(is_, given, own))
            and all(gradient is not None for gradient in gradients)
        )

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        indices = [self._get_variable_index(variable) for variable in trainable_variables]
        gradients = dict(zip(indices, grads, strict=True))
        for cohort in self._cohorts:
            own = [gradients.get(i) for i in cohort.indices]
            if any(gradient is not None for gradient in own):
                cohort.updater.run(own, partial(self._now, cohort.birth))

    def _now(self, birth: int = 0) -> tuple[Any, dict[str, Any]]:
        """How many steps a cohort has taken, and the hyperparameters as they are held."""
        count = self.iterations - birth if birth else self.iterations
        return count, self.held(self._iterations)

    def _apply_weight_decay(self, variables):
        """Nothing: `next_weight` subtracts it together with the step, in one rounding."""

    def _update_model_variables_moving_average(self, trainable_variables):
        """Keras's average of the weights, in its own precision and once in an accumulated step."""
        every = self.gradient_accumulation_steps or 1
        share = share_of_average(self._iterations, every, self.ema_momentum)
        for variable, average in zip(
            trainable_variables, self._model_variables_moving_average, strict=True
        ):
            if average is not None:
                old = ops.convert_to_tensor(average)
                new = ops.cast(variable, average.dtype)
                self.assign(average, old + ops.cast(share, old.dtype) * (new - old))

    def _overwrite_model_variables_with_average_value(self, trainable_variables):
        for variable in trainable_variables:
            index = self._trainable_variables_indices.get(self._var_key(variable))
            average = None if index is None else self._model_variables_moving_average[index]
            if average is not None:  # a copy: JAX gives the memory of both away
                self.assign(variable, ops.copy(ops.convert_to_tensor(average)))

    # Weight decay of some weights only.

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """Leaves weights out of weight decay; call it before the optimizer is built.

        Args:
            var_list: variables to leave out.
            var_names: regular expressions; a weight whose path (such as
                `"encoder/layer_norm/gamma"`) contains a match is left out.

        Raises:
            ValueError: the optimizer is built already, so that the call would have no effect.
        """
        if self.built:
            raise ValueError(
                f"{type(self).__name__}: `exclude_from_weight_decay` was called after the "
                "optimizer was built and would have no effect. Call it before `fit`, right "
                "after creating the optimizer."
            )
        variables = [*(var_list or ())]
        keys = map(self._var_key, variables)
        self._exclusions = Exclusions([*map(path_of, variables)], keys, var_names or ())

    def decays(self, place: Place, key: Hashable = None) -> bool:
        """Whether weight decay applies to a weight, by where it stands and what Keras calls it."""
        return self._exclusions is None or not self._exclusions.have(key, place.path)

    def _use_weight_decay(self, variable):
        return self.decays(self.place(variable), self._var_key(variable))

    # Where weights stand.

    @property
    def _whereabouts(self) -> Whereabouts:
        return self.__dict__.setdefault("_found", Whereabouts(self))

    def find(self, variables: Sequence[Any], model: keras.Model | None) -> None:
        """Finds where weights stand that are to be trained, in a model, if it is known."""
        self._whereabouts.find(variables, model)
        self._go_by(self._whereabouts)

    @property
    def other_places(self) -> list[Place] | None:
        """Of weights of the model that may be trained later; None if they are not known."""
        return self._whereabouts.others

    def place(self, variable) -> Place:
        """Where a weight stands, by the path at which it was first found."""
        return self._whereabouts.of(variable)

    def _go_by(self, whereabouts: Whereabouts) -> None:
        """Finds there what is known by its path."""
        self.__dict__["_found"] = whereabouts
        if self._exclusions is not None:
            self._exclusions.go_by(whereabouts.paths)

    @property
    def goes_by_paths(self) -> bool:
        """Whether it depends on a weight's path what is done to it."""
        return self.by_path or self.excludes

    # Serialization.

    def save_own_variables(self, store):
        super().save_own_variables(store)
        if any(self.__dict__.get("_births", ())):
            store[_JOINED_AFTER] = np.asarray(self._births)

    def load_own_variables(self, store):
        saved = {name: store[name] for name in store.keys()}  # noqa: SIM118
        self._load_beside(saved)
        super().load_own_variables(saved)

    def _load_beside(self, saved: dict[str, Any]) -> None:
        """Takes out what there is beside the variables."""
        own = self.__dict__.get("_births", [])
        births = self._births_in(self._trainable_variables)
        births = [int(birth) for birth in saved.pop(_JOINED_AFTER, births)]
        if births != own and len(births) == len(own):
            with backend.updates().eagerly(self._iterations):
                rebuild(self, self._trainable_variables, births)

    def get_config(self):
        config = {name: field.config(self) for name, field in self.fields.items()}
        if self._exclusions is not None:
            config["weight_decay_exclusions"] = self._exclusions.config()
        if self.goes_by_paths and self._whereabouts.owner is self:
            model = None if self.__dict__.get("_built", False) else training_model(self)
            if model is not None and model.built:  # saved before its first step
                self._whereabouts.find(model.trainable_variables, model)
            if weights := self._whereabouts.config():
                config["weights"] = weights
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = {
            name: cls.fields[name].from_config(value, custom_objects)
            if name in cls.fields
            else value
            for name, value in config.items()
        }
        exclusions = config.pop("weight_decay_exclusions", None)
        births = config.pop("joined_after", [])
        weights = config.pop("weights", None)
        optimizer = cls(**config)
        if weights is not None:
            optimizer.__dict__["_found"] = Whereabouts(optimizer, weights)
        if births:
            optimizer.__dict__["_loaded_births"] = births
        if exclusions is not None:
            optimizer._exclusions = Exclusions.from_config(exclusions)
        return optimizer

    def __repr__(self):
        shown = [
            f"{name}={field.shown(self)}"
            for name, field in self.fields.items()
            if name != "name" and (not field.kw_only or field.config(self) != field.default)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"
