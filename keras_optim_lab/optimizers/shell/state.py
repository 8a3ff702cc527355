"""The variables of an optimizer's state: by weight, and for all weights that joined together."""

import math
import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import keras
from keras import Variable, ops

from keras_optim_lab import backend
from keras_optim_lab.optimizers.shell.following import FollowsModel
from keras_optim_lab.optimizers.shell.paths import as_named_here, path_of
from keras_optim_lab.optimizers.shell.precision import arithmetic_dtype
from keras_optim_lab.optimizers.shell.slots import Slot
from keras_optim_lab.optimizers.shell.step import Step

# What Keras keeps for a weight; no slots, whose names are identifiers.
AVERAGE, _ACCUMULATED = "Keras's average", "Keras's accumulated gradient"


class Cohort(NamedTuple):
    """Weights that joined an optimizer after as many steps.

    Attributes:
        birth: after how many.
        indices: which of the optimizer's weights they are.
        shared: the variables of the state that they share.
        updater: takes their steps; see `backend.interface`.
    """

    birth: int
    indices: Sequence[int]
    shared: dict[str, Variable]
    updater: Any


class KeepsState(FollowsModel):
    """Makes the variables of a method's state, and cohorts of the weights that they belong to."""

    def _build_state(self, variables):
        births = self._births
        self._slot_variables = {
            slot.name: [self._add_slot(slot, variable) for variable in variables]
            for slot in self.slots_for(variable.dtype for variable in variables)
        }
        self.__dict__["_slots"] = [
            {name: own[i] for name, own in self._slot_variables.items() if own[i] is not None}
            for i in range(len(variables))
        ]
        # TensorFlow's checkpoints find them here.
        self._shared_by_cohort = [self._add_shared() for _ in sorted({*births}) or [0]]
        self._shared_variables = self._shared_by_cohort[0]
        self.__dict__["_cohorts"] = self._cohorts_of(variables)
        # Together from the first step on, and nothing is to be done to them after one.
        self.__dict__["_is_free"] = bool(variables and not any(births)) and all(
            getattr(v, "constraint", None) is None and not self._overwrite_variable_with_gradient(v)
            for v in variables
        )

    def _cohorts_of(self, variables) -> list[Cohort]:
        places = [self.place(variable) for variable in variables]
        parts = self.parts(places)
        found, births, start = [], sorted({*self._births}) or [0], 0
        for birth, shared in zip(births, self._shared_by_cohort, strict=True):
            own = [i for i, its in enumerate(self._births) if its == birth]
            step = Step(
                self,
                [places[i] for i in own],
                [variables[i].dtype for i in own],
                decays=[self._use_weight_decay(variables[i]) for i in own],
                parts=[parts[i] for i in own],
                small=backend.updates().JOINED,
                start=start,
            )
            start += sum(math.prod(places[i].shape) for i in own)
            slots = {
                name: [values[i] for i in own] for name, values in self._slot_variables.items()
            }
            weights = [variables[i] for i in own]
            updater = backend.updates().Updater(step, weights, slots, shared)
            found.append(Cohort(birth, own, shared, updater))
        return found

    def _add_shared(self) -> dict[str, Variable]:
        return {
            slot.name: self.add_variable(
                shape=(),
                initializer=keras.initializers.Constant(slot.first_value(self)),
                aggregation="only_first_replica",
                name=slot.name,
            )
            for slot in self.shared_slots
        }

    def _births_in(self, variables) -> list[int]:
        """By weight, after how many steps it joined; earlier versions kept it with the fields."""
        loaded = {path: n for n, own in self.__dict__.get("_loaded_births", []) for path in own}
        paths = [self.place(variable).path for variable in variables]
        births = dict(zip(as_named_here([*loaded], paths), loaded.values(), strict=True))
        return [births.get(path, 0) for path in paths]

    def _add_slot(self, slot: Slot, variable):
        layout = slot.layout(self, self.place(variable), variable.dtype)
        if layout is None or self._overwrite_variable_with_gradient(variable):
            return None
        shape, dtype = layout
        with backend.updates().beside(variable):
            return super().add_variable(
                shape,
                partial(ops.full, fill_value=slot.first_value(self)),
                dtype,
                layout=getattr(variable, "_layout", None) if shape == variable.shape else None,
                name=re.sub("[/:]", "_", f"{path_of(variable)}_{slot.name}"),
            )

    def add_variable(self, shape, initializer="zeros", dtype=None, **kwargs):
        """As in Keras, but averages and sums of half-precision weights are kept in float32."""
        dtype = arithmetic_dtype(dtype or keras.config.floatx())
        return super().add_variable(shape, initializer, dtype, **kwargs)

    def states(self) -> Iterator[dict[str, Variable]]:
        """By name, all that is kept for each weight."""
        around = {}
        if self.use_ema:
            around[AVERAGE] = self._model_variables_moving_average
        if self.gradient_accumulation_steps:
            around[_ACCUMULATED] = self._accumulated_gradients
        for i, slots in enumerate(self._slots):
            yield {**slots, **{n: own[i] for n, own in around.items() if own[i] is not None}}

    def state_variables(self) -> list[Variable]:
        """All variables that belong to the weights and not to the optimizer's configuration."""
        of_weights = [variable for own in self.states() for variable in own.values()]
        return of_weights + [v for cohort in self._cohorts for v in cohort.shared.values()]
