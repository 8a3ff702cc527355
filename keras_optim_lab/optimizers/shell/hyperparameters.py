"""Hyperparameters that stay live: numbers in variables, which training reads and callbacks set."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import Variable

from keras_optim_lab.arguments import near_matches
from keras_optim_lab.keras_private import DotNotTrackScope
from keras_optim_lab.optimizers.shell.declaration import KerasOptimizer
from keras_optim_lab.optimizers.shell.field_kinds import Static
from keras_optim_lab.optimizers.shell.method import Method
from keras_optim_lab.optimizers.shell.numeric import Numeric


class LiveHyperparameters(Method, KerasOptimizer):
    """Keeps the checked values of an optimizer's fields, and changes those that may change."""

    def _keep(self, values: Mapping[str, Any]) -> None:
        self.__dict__["_numbers"] = {}
        for name, value in values.items():
            match self.fields[name]:
                case Numeric() as field:
                    self._hold(field, value)
                case Static():
                    self.__dict__[name] = value

    def _hold(self, field: Numeric, value):
        """Keeps a checked value: a number in a variable, a schedule or callable as it is."""
        self._numbers.pop(field.name, None)
        if isinstance(value, float):
            self._numbers[field.name] = value
            value = self.add_variable(
                shape=(),
                initializer=keras.initializers.Constant(field.to_held(value)),
                aggregation="only_first_replica",
                name=field.name,
            )
        setattr(self, field._attribute, value)

    def _set_hyperparameter(self, field: Numeric, value):
        if "_numbers" not in self.__dict__:
            return  # Keras's constructor assigns its own defaults before ours follow
        owner = type(self).__name__
        value = field.check(owner, value)
        source = field.given(self)
        if isinstance(value, float) and isinstance(source, Variable):
            self._numbers[field.name] = value
            source.assign(field.to_held(value))
        elif isinstance(value, float) and source is not None:
            raise TypeError(
                f"{owner}: `{field.name}` is given by {source!r}, so it cannot be set to "
                f"{value!r}. Create the optimizer with a number to change it later."
            )
        elif self.built and (source is None) != (value is None):
            raise ValueError(
                f"{owner}: `{field.name}` cannot change between None and a number once the "
                f"optimizer is built. Create the optimizer with {field.name}=0.0 instead of None."
            )
        else:
            if isinstance(source, Variable):
                self._untrack_variable(source)
            self._hold(field, value)

    def __setattr__(self, name, value):
        if not name.startswith("_") and not hasattr(self, name):
            # Misspelt, or that of an optimizer inside, it would be an attribute that nothing reads.
            settings = self.settings()
            near = near_matches(name, {**self.fields, **settings})
            if name in settings:
                near = f" The {type(settings[name][0]).__name__} inside has it: set it there."
            if near:
                raise AttributeError(f"{type(self).__name__} has no field `{name}`.{near}")
        super().__setattr__(name, value)

    def count_by(self, iterations) -> None:
        """Makes another optimizer's count of steps its own."""
        self._untrack_variable(self._iterations)
        self._iterations = iterations

    def _untrack_variable(self, *variables):
        """As in Keras, of any number. TensorFlow saves no list that has lost some: it gets another.

        It is set as Keras does in its constructor, which a tracked one would replace by a copy.
        """
        for variable in variables:
            super()._untrack_variable(variable)
        test, store = self._tracker.config["variables"]
        with DotNotTrackScope():
            self._variables = [*store]
        self._tracker.config["variables"] = (test, self._variables)
