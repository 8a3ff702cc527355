"""The shell: turns a docstring, fields, slots and one pure rule into a Keras optimizer.

`fit` calls `apply` (Keras) → `_backend_update_step` (once a step: the scalars) →
`next_weight` (once a bundle of weights) → `rule` (the method itself).
"""

import math
import re
import sys
import warnings
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from operator import attrgetter, is_
from typing import Any

import keras
import numpy as np
from keras import Variable, ops
from keras.src.utils.tracking import DotNotTrackScope

from keras_optim_lab import backend
from keras_optim_lab.arguments import near_matches
from keras_optim_lab.optimizers.shell.bundles import (
    PLAIN,
    Bundle,
    Treatment,
    Weight,
    advance,
    bundles,
)
from keras_optim_lab.optimizers.shell.declaration import Declared, KerasOptimizer
from keras_optim_lab.optimizers.shell.fields import (
    FRACTION,
    ONE_OR_MORE,
    POSITIVE,
    TEXT,
    TWO_OR_MORE,
    YES_OR_NO,
    Field,
    Hyperparameter,
    KerasArgument,
    Numeric,
    Static,
    choice,
    keras_argument,
    nonnegative,
    switch,
)
from keras_optim_lab.optimizers.shell.following import follow, training_model
from keras_optim_lab.optimizers.shell.freezing import (
    carry_over,
    check_same_model,
    differs,
    own_variables,
    rebuild,
)
from keras_optim_lab.optimizers.shell.paths import Whereabouts, as_named_here, path_of
from keras_optim_lab.optimizers.shell.precision import (
    arithmetic_dtype,
    bounded,
    check_real,
    is_half,
    rounded_at_random,
)
from keras_optim_lab.optimizers.shell.slots import Compensation, Place, Record, Slot

_COMPENSATION = Compensation("compensation")

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


class Optimizer(Declared, KerasOptimizer, kw_only=True):
    """An optimizer that is its docstring, its fields, its slots and one pure rule.

    A subclass declares its hyperparameters with `rate`, `decay`, `nonnegative`, `constant` and
    `switch`, names its slots, and defines `rule`. Arithmetic is float32 (float64 for float64
    weights) whatever the dtype of the weights, and so are slots unless `state_dtype` is given.
    """

    weight_decay: Hyperparameter | None = nonnegative(
        default=None, doc="Decoupled weight decay λ ≥ 0: every step also subtracts η λ w."
    )
    execution: str = choice(
        default="auto",
        options=("auto", "compiled", "blocked", "per_tensor"),
        doc="How the rule is run over the weights; the numbers are the same. `auto` compiles it "
        "where that pays.",
    )
    state_dtype: str | None = choice(
        default=None,
        options=("bfloat16",),
        doc="Keep slots in two bytes a number, rounded at random to what is right on average.",
    )
    compensated: bool = switch(
        default=True,
        doc="Keep what rounding takes from weights of half precision, in one more slot of theirs; "
        "without it steps below a 512th of a weight in bfloat16 are lost.",
    )
    clipnorm: float | None = keras_argument(
        default=None, accepts=POSITIVE, doc="Largest norm of each weight's gradient."
    )
    clipvalue: float | None = keras_argument(
        default=None, accepts=POSITIVE, doc="Largest magnitude of each number in a gradient."
    )
    global_clipnorm: float | None = keras_argument(
        default=None, accepts=POSITIVE, doc="Largest norm of all gradients together."
    )
    use_ema: bool = keras_argument(
        default=False,
        accepts=YES_OR_NO,
        doc="Keep a moving average of the weights and end training on it.",
    )
    ema_momentum: float = keras_argument(
        default=0.99, accepts=FRACTION, doc="Decay rate of that average."
    )
    ema_overwrite_frequency: int | None = keras_argument(
        default=None, accepts=ONE_OR_MORE, doc="Every so many steps, overwrite the weights by it."
    )
    loss_scale_factor: float | None = keras_argument(
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

    # The declaration of a method.

    def rule(self, g, w, slot: Record, h: Record) -> tuple[Any, Record]:
        """The method: what to subtract from the weight, and the new slots. Assigns nothing.

        Args:
            g: gradient, a dense tensor. For an elementwise rule it may hold any weight or several
                joined to a vector; for others, one or more gradients of equal shape are stacked
                along a first axis, and each is treated alone.
            w: the weights in the same form.
            slot: their slots, read as `slot.name`, replaced as `slot(name=value)`.
            h: hyperparameters at this step: tensors, `Decay` objects, and `h.t` = 1, 2, …
        """
        raise NotImplementedError(f"{type(self).__name__} defines no rule")

    def prepare(self, shared: Record, h: Record) -> tuple[Record, Record]:
        """Once a step, before any weight: new shared state, and scalars added to `h`."""
        return shared, h

    def survey(
        self, shared: Record, h: Record, gradients: list, weights: list, slots: list[Record]
    ) -> tuple[Record, Record]:
        """Once a step, after `prepare`: the same from all weights, their gradients and slots.

        For what depends on all of them, such as a norm or a distance of the whole model. To an
        elementwise method, what stands for a weight may be a part of one or several joined.
        """
        return shared, h

    def shown(self, w, slot: Record, h: Record):
        """The weight as an evaluation is to see it, where that is not where it is trained."""
        return w

    # Construction.

    def __init__(self, *args, **kwargs):
        owner = type(self).__name__
        values = {
            name: self.fields[name].check(owner, value)
            for name, value in self.bind(args, kwargs).items()
        }
        super().__init__(learning_rate=_not_yet_set, **self._keras_arguments(values))
        self.__dict__["_numbers"] = {}
        for name, value in values.items():
            match self.fields[name]:
                case Numeric() as field:
                    self._hold(field, value)
                case Static():
                    self.__dict__[name] = value
        self._compose(values)

    def _compose(self, values: dict[str, Any]) -> None:
        """For optimizers made of others, from the checked arguments."""

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

    def changed(self, changes: Mapping[str, Any]) -> "Optimizer":
        """A new optimizer of this configuration, but for some fields.

        Raises:
            TypeError, ValueError: there is no such field, or it does not accept the value.
        """
        config = {name: value for name, value in self.get_config().items() if name != "name"}
        return type(self).from_config({**config, **changes})

    def settings(self) -> dict[str, tuple["Optimizer", Field]]:
        """By the name that `changed` knows it by, every tunable field and who has it."""
        return {name: (self, field) for name, field in self.fields.items() if field.tunable}

    @property
    def is_rule_only(self) -> bool:
        """Whether a step is the rule and its weight decay, the same for all weights."""
        return not self.excludes and not any(
            getattr(self, name) != field.default
            for name, field in Optimizer.fields.items()
            if isinstance(field, KerasArgument) and name not in ("name", "ema_momentum")
        )

    @property
    def excludes(self) -> bool:
        """Whether some weights are left out of weight decay."""
        return "_exclusions" in self.__dict__

    def _keras_arguments(self, values: dict[str, Any]) -> dict[str, Any]:
        return {n: v for n, v in values.items() if isinstance(self.fields[n], KerasArgument)}

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

    def declares(self, name: str) -> bool:
        """Whether a field was given as on: not False, not the constant 0."""
        if name in type(self).numeric:
            return self._numbers.get(name) != 0
        return bool(getattr(self, name))

    # State.

    @property
    def built(self) -> bool:
        frame = sys._getframe(1)
        if frame.f_code.co_name == "_symbolic_build":  # all that Keras asks before a fit
            self._follow(frame.f_locals["self"])
        return self.__dict__.get("_built", False)

    @built.setter
    def built(self, value):
        self.__dict__["_built"] = value

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
            with backend.updates().eagerly(self):
                self._carry_over(variables)

    def _build(self, variables):
        self.find(variables, training_model(self))
        self.check_weights(variables)
        super().build(variables)
        self.__dict__.setdefault("_births", self._births_in(variables))
        self._build_state(variables)

    def _carry_over(self, variables) -> None:
        carry_over(self, variables)

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
            with backend.updates().eagerly(self):
                check_same_model(self, model)
                stay = {self._var_key(variable) for variable in model.trainable_variables}
                self._leave([v for v in self._trainable_variables if self._var_key(v) not in stay])
        self.build(model.trainable_variables)

    def _leave(self, variables) -> None:
        """Does what is to be done to weights that are not trained from now on."""

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
        cohorts = {birth: self._add_shared() for birth in sorted({*births}) or [0]}
        self.__dict__["_cohorts"] = cohorts
        self._shared_by_cohort = [*cohorts.values()]  # where TensorFlow's checkpoints find them
        self._shared_variables = self._shared_by_cohort[0]
        self.__dict__["_in_place"] = backend.updates().InPlace(self)
        # Together from the first step on, and nothing is to be done to them after one.
        self.__dict__["_is_free"] = bool(variables and not any(births)) and all(
            getattr(v, "constraint", None) is None and not self._overwrite_variable_with_gradient(v)
            for v in variables
        )
        places = [self.place(variable) for variable in variables]
        parts = self.__dict__["_parts"] = self.parts(places)
        self._plan = bundles(
            [
                Weight(
                    place.shape,
                    (birth, self.kind(place, variable.dtype)),
                    Treatment(self._use_weight_decay(variable), part),
                )
                for variable, place, part, birth in zip(
                    variables, places, parts, births, strict=True
                )
            ],
            elementwise=self.elementwise,
            small=backend.updates().JOINED,
        )

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
        with backend.updates().beside(self, variable):
            return super().add_variable(
                shape,
                keras.initializers.Constant(slot.first_value(self)),
                dtype,
                layout=getattr(variable, "_layout", None) if shape == variable.shape else None,
                name=re.sub("[/:]", "_", f"{path_of(variable)}_{slot.name}"),
            )

    def add_variable(self, shape, initializer="zeros", dtype=None, **kwargs):
        """As in Keras, but averages and sums of half-precision weights are kept in float32."""
        dtype = arithmetic_dtype(dtype or keras.config.floatx())
        return super().add_variable(shape, initializer, dtype, **kwargs)

    @property
    def active_slots(self) -> tuple[Slot, ...]:
        """The slots that this configuration keeps."""
        return tuple(slot for slot in self.weight_slots if slot.exists(self))

    def slots_for(self, dtypes: Iterable[Any]) -> tuple[Slot, ...]:
        """Those that it keeps for weights of these dtypes."""
        rounds = self.compensated and any(map(is_half, dtypes))
        return (*self.active_slots, _COMPENSATION) if rounds else self.active_slots

    def kind(self, place: Place, dtype) -> Hashable:
        """What decides with which other weights of its shape one may be put together."""
        special = (slot for slot in self.active_slots if slot.shape is not None)
        layouts = tuple(slot.layout(self, place, dtype) for slot in special)
        return keras.backend.standardize_dtype(dtype), layouts

    def parts(self, places: Sequence[Place]) -> list[tuple[Hashable, ...]]:
        """Which part of a composed optimizer each of the weights belongs to; see `Treatment`."""
        return [()] * len(places)

    def check_weights(self, variables) -> None:
        """Raises a ValueError for weights that the optimizer cannot train, before it has any."""
        self.check_places([self.place(variable) for variable in variables], self.other_places)

    def state_variables(self) -> list[Variable]:
        """All variables that belong to the weights and not to the optimizer's configuration."""
        return own_variables(self)

    def check_places(self, places: Sequence[Place], others: Sequence[Place] | None = None) -> None:
        """Raises a ValueError for weights that the optimizer cannot train, before any step.

        Args:
            places: of the weights that are to be trained.
            others: of weights that may join them later; None if that is not known.
        """

    def state_bytes(self, places: Iterable[Place], dtype: str = "float32") -> int:
        """Bytes of state for weights of a dtype of at most 32 bits."""
        slots = self.slots_for([dtype])
        layouts = (slot.layout(self, place, dtype) for place in places for slot in slots)
        return sum(
            (2 if is_half(own) else 4) * math.prod(shape) for shape, own in filter(None, layouts)
        )

    @property
    def bytes_per_weight(self) -> float:
        """Bytes of state per weight of a matrix, 1024 × 1024 numbers of float32."""
        return self.state_bytes([Place("kernel", (1024, 1024))]) / 1024**2

    # A step.

    def apply(self, grads, trainable_variables=None):
        if self._is_update_only(grads, trainable_variables):
            self._in_place.step(grads)
        else:
            dense = backend.updates().dense
            super().apply([None if g is None else dense(g) for g in grads], trainable_variables)

    def _is_update_only(self, gradients, variables) -> bool:
        """Whether Keras would only look for what else to do; that takes as long as the update."""
        in_place = self.__dict__.get("_in_place")
        if not in_place or not self._is_free or any(_around_the_update(self)):
            return False
        own = self._trainable_variables
        given = own if variables is None else variables
        return (
            in_place.possible()
            and len(gradients) == len(given) == len(own)
            and all(map(is_, given, own))
            and all(gradient is not None for gradient in gradients)
        )

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        indices = [self._get_variable_index(variable) for variable in trainable_variables]
        backend.updates().on_every_device(self, self._update, grads, indices)

    def _update(self, gradients, indices: list[int]):
        """One step of the weights of these indices, on one device."""
        for birth in self._cohorts:
            own = [k for k, i in enumerate(indices) if self._births[i] == birth]
            if own:
                self._update_cohort(birth, [gradients[k] for k in own], [indices[k] for k in own])

    def _update_cohort(self, birth: int, gradients, indices: list[int]):
        """One step of weights that joined together, after so many steps."""
        variables = {i: self._trainable_variables[i] for i in indices}
        gradients = dict(zip(indices, gradients, strict=True))
        slots = {i: self._slots[i] for i in indices}
        in_place = self._in_place and self._in_place.possible() and self._in_place
        plan = self._plan_for(indices)
        begun = in_place and birth == 0 and in_place.begin(plan, variables, gradients, slots)
        shared, h = begun or self._begin_step(gradients, variables, slots, birth)
        if in_place:
            in_place(plan, variables, gradients, slots, h)
        else:
            write = partial(self._write, plan, variables, slots)
            # XLA has decompositions of matrices only as loops: slower than any step saves.
            own = self.branches and self.execution == "auto"
            backend.updates().run("blocked" if own else self.execution, write, gradients, h)
        # Last: on PyTorch scalars in h may be the variables' own memory.
        for name, variable in self._cohorts[birth].items():
            variable.assign(shared[name])

    def _write(self, plan, variables, slots, gradients, h) -> None:
        values = _tensors(variables)
        states = {i: _tensors(own) for i, own in slots.items()}
        values, states = advance(self, plan, values, gradients, states, h)
        for i, variable in variables.items():
            self.assign(variable, values[i])
            for name, slot in slots[i].items():
                self.assign(slot, states[i][name])

    def _plan_for(self, indices: list[int]) -> list[Bundle]:
        """Bundles of these weights. Those that once had no gradient stay apart from then on."""
        present = set(indices)
        if self.execution == "per_tensor":
            ones = (one for bundle in self._plan for one in bundle.alone())
            return [one for one in ones if one.indices[0] in present]
        if len(present) == len(self._trainable_variables):
            return self._plan
        self._plan = [part for bundle in self._plan for part in bundle.parts(present)]
        return [bundle for bundle in self._plan if bundle.indices[0] in present]

    def _begin_step(
        self, gradients, variables, slots, birth: int
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What this step needs once for all weights: new shared state, and scalars."""
        held = {name: field.current(self) for name, field in self.numeric.items()}
        iterations = self.iterations - birth if birth else self.iterations
        shared, h = self.first_numbers(iterations, held, _tensors(self._cohorts[birth]))
        if not self.surveys:
            return shared, h
        return self.surveyed(
            shared,
            h,
            list(gradients.values()),
            list(_tensors(variables).values()),
            [_tensors(own) for own in slots.values()],
            [self._parts[i] for i in slots],
        )

    @property
    def surveys(self) -> bool:
        """Whether a step depends on all weights together."""
        return type(self).survey is not Optimizer.survey

    @property
    def averages(self) -> bool:
        """Whether an evaluation is to see other weights than training."""
        return type(self).shown is not Optimizer.shown

    def look(
        self,
        shared: Record,
        h: Record,
        gradients: list,
        weights: list,
        slots: list[Record],
        parts: list[tuple[Hashable, ...]],
    ) -> tuple[Record, Record]:
        """The `survey`, of weights that belong to these parts."""
        return self.survey(shared, h, gradients, weights, slots)

    def surveyed(self, shared: dict, h: dict, gradients, weights, slots, parts):
        """New shared state and scalars of a step, as `first_numbers`, after `look`."""
        weights = [_unrounded(w, own) for w, own in zip(weights, slots, strict=True)]
        new_shared, new_h = self.look(
            Record(shared), Record(h), gradients, weights, [*map(Record, slots)], parts
        )
        return dict(new_shared), dict(new_h)

    def first_numbers(self, iterations, held: dict[str, Any], shared: dict[str, Any]):
        """New shared state and the scalars of a step, from and to what compilers know."""
        new_shared, h = self.prepare(Record(shared), self.scalars(held, iterations))
        return dict(new_shared), dict(h)

    def scalars(self, held: dict[str, Any], iterations) -> Record:
        """What a rule reads: each numeric field's held value at this step, and `t`.

        They are float32, or float64 where a tensor among them is.
        """
        dtypes = [value.dtype for value in held.values() if hasattr(value, "dtype")]
        dtype = arithmetic_dtype(keras.backend.result_type("float32", *dtypes))
        t = ops.cast(iterations, dtype) + 1.0
        values = {
            name: None if value is None else self.numeric[name].in_rule(_cast(value, dtype), t)
            for name, value in held.items()
        }
        return Record({**values, "t": t})

    def step(self, g, w, slot: Record, h: Record) -> tuple[Any, Record]:
        """As `rule`, with the decoupled weight decay that is subtracted beside its step."""
        step, slot = self.rule(g, w, slot, h)
        if h.weight_decay is not None and not self.rule_decays:
            step = step + h.learning_rate * h.weight_decay * w
        return step, slot

    def undecayed(self, h: Record) -> Record:
        """The hyperparameters of weights that do not decay."""
        return h(weight_decay=None)

    def at_rate(self, h: Record, factor) -> Record:
        """The hyperparameters with the learning rate times a factor."""
        return h(learning_rate=h.learning_rate * factor)

    def next_weight(self, g, w, slot: Record, h: Record, *, treatment: Treatment = PLAIN, start=0):
        """The weight and its slots after one step: the rule, decoupled weight decay, rounding.

        Args:
            g, w, slot, h: as for `rule`, in any dtype.
            treatment: whether weight decay applies, and what part of the optimizer does.
            start: the place of the first number among those of all weights.
        """
        dtype = arithmetic_dtype(w.dtype)
        if dtype != keras.backend.standardize_dtype(h.t.dtype):
            h = h.cast(dtype)
        full, state = ops.cast(_unrounded(w, slot), dtype), slot.cast(dtype)
        if not treatment.decays:
            h = self.undecayed(h)
        g = ops.cast(g, dtype)
        if self.squares:
            g = bounded(g)
        step, state = self.step(g, full, state, h(part=treatment.part))
        if "compensation" not in slot:
            return ops.cast(full - step, w.dtype), self._stored(state, slot, h, start)
        # By itself what is left over may be below the digits of a float32 weight.
        rounded, rest = ops.cast(w, dtype), state.compensation - step
        new_w = ops.where(ops.equal(step, 0.0), w, ops.cast(rounded + rest, w.dtype))
        state = state(compensation=(rounded - ops.cast(new_w, dtype)) + rest)
        return new_w, self._stored(state, slot, h, start)

    def _stored(self, state: Record, slot: Record, h: Record, start) -> Record:
        """New slots in the dtypes of the old."""
        dtypes = {name: keras.backend.standardize_dtype(old.dtype) for name, old in slot.items()}
        return Record(
            {
                name: rounded_at_random(state[name], h.t, start=start, key=key)
                if dtype == self.state_dtype and name != "compensation"
                else ops.cast(state[name], dtype)
                for key, (name, dtype) in enumerate(dtypes.items())
            }
        )

    def next_numbers(
        self, w, g, slots: dict[str, Any], h: dict[str, Any], start, treatment: Treatment
    ):
        """As `next_weight`, from and to what compilers know."""
        w, slot = self.next_weight(g, w, Record(slots), Record(h), treatment=treatment, start=start)
        return w, dict(slot)

    @property
    def form(self) -> tuple[Any, ...]:
        """What the code of a step depends on; all else are numbers that come into it."""
        choices = (getattr(self, n) for n, f in self.fields.items() if isinstance(f, Static))
        slots = tuple(slot.name for slot in self.active_slots)
        return type(self), tuple(choices), slots, self.weight_decay is None

    def detached(self) -> "Optimizer":
        """An optimizer of the same form without state."""
        return type(self).from_config(self.get_config())

    def _apply_weight_decay(self, variables):
        """Nothing: `next_weight` subtracts it together with the step, in one rounding."""

    def _update_model_variables_moving_average(self, trainable_variables):
        """Keras's average of the weights, in its own precision and once in an accumulated step."""
        updates = ops.equal((self._iterations + 1) % (self.gradient_accumulation_steps or 1), 0)
        share = ops.where(updates, 1.0 - self.ema_momentum, 0.0)
        share = ops.where(ops.equal(self.iterations, 0), 1.0, share)
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
        super().exclude_from_weight_decay(var_list, var_names)
        self.__dict__["_exclusions"] = {
            "paths": [path_of(variable) for variable in var_list or ()],
            "names": sorted(set(var_names or ())),
        }

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
        exclusions = self.__dict__.get("_exclusions", {})
        if "loaded" in exclusions:
            exclusions["loaded"] = as_named_here(exclusions["loaded"], whereabouts.paths)

    @property
    def goes_by_paths(self) -> bool:
        """Whether it depends on a weight's path what is done to it."""
        return self.by_path or self.excludes

    def _use_weight_decay(self, variable):
        exclusions = self.__dict__.get("_exclusions")
        if exclusions is None:
            return True
        if self._var_key(variable) in self._exclude_from_weight_decay:
            return False
        path = self.place(variable).path
        return path not in exclusions.get("loaded", ()) and (
            not any(re.search(pattern, path) for pattern in exclusions["names"])
        )

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
            with backend.updates().eagerly(self):
                rebuild(self, self._trainable_variables, births)

    def get_config(self):
        config = {name: field.config(self) for name, field in self.fields.items()}
        exclusions = self.__dict__.get("_exclusions")
        if exclusions is not None:
            paths = exclusions["paths"] + exclusions.get("loaded", [])
            config["weight_decay_exclusions"] = {"paths": paths, "names": exclusions["names"]}
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
            optimizer.exclude_from_weight_decay(var_names=exclusions["names"])
            optimizer.__dict__["_exclusions"]["loaded"] = exclusions["paths"]
        return optimizer

    def __repr__(self):
        shown = [
            f"{name}={field.shown(self)}"
            for name, field in self.fields.items()
            if name != "name" and (not field.kw_only or field.config(self) != field.default)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


def _cast(value, dtype: str):
    # Before every step of a small model on PyTorch, a cast that changes nothing is seen.
    if isinstance(value, Variable) and value.dtype == dtype:
        return backend.updates().value(value)
    return ops.cast(value, dtype)


def _unrounded(w, slot: Mapping[str, Any]):
    """A weight with what its rounding has taken from it, where that is kept."""
    if "compensation" not in slot:
        return w
    dtype = arithmetic_dtype(w.dtype)
    return ops.cast(w, dtype) + ops.cast(slot["compensation"], dtype)


def _tensors(variables: dict[Any, Any]) -> dict[Any, Any]:
    value = backend.updates().value
    return {key: value(variable) for key, variable in variables.items()}
