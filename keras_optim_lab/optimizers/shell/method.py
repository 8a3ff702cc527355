"""A method: its declaration, its pure rule, and what follows from them for one bundle of weights.

Nothing here knows how training goes: `step.Step` puts a method's parts together to a step.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import keras
from keras import Variable, ops

from keras_optim_lab import backend
from keras_optim_lab.optimizers.shell.bundles import PLAIN, Treatment
from keras_optim_lab.optimizers.shell.declaration import Declared
from keras_optim_lab.optimizers.shell.field_kinds import Field, Static
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, choice, nonnegative, switch
from keras_optim_lab.optimizers.shell.precision import (
    arithmetic_dtype,
    bounded,
    is_half,
    rounded_at_random,
)
from keras_optim_lab.optimizers.shell.record import Record
from keras_optim_lab.optimizers.shell.slots import Compensation, Place, Slot

_COMPENSATION = Compensation("compensation")


class Method(Declared, kw_only=True):
    """What a subclass declares: hyperparameters, slots, and one pure rule.

    Arithmetic is float32 (float64 for float64 weights) whatever the dtype of the weights, and so
    are slots unless `state_dtype` is given.
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

    # By field, the number that it was given.
    _numbers: dict[str, float | None] = {}  # noqa: RUF012

    # What a method may define.

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

    def check_places(self, places: Sequence[Place], others: Sequence[Place] | None = None) -> None:
        """Raises a ValueError for weights that the method cannot train, before any step.

        Args:
            places: of the weights that are to be trained.
            others: of weights that may join them later; None if that is not known.
        """

    # What it says of itself.

    def settings(self) -> dict[str, tuple["Method", Field]]:
        """By the name that `changed` knows it by, every tunable field and who has it."""
        return {
            name: (self, field) for name, field in self.fields.items() if field.may_be_set(self)
        }

    def declares(self, name: str) -> bool:
        """Whether a field was given as on: not False, not the constant 0."""
        if name in type(self).numeric:
            return self._numbers.get(name) != 0
        return bool(getattr(self, name))

    @property
    def form(self) -> tuple[Any, ...]:
        """What the code of a step depends on; all else are numbers that come into it."""
        choices = (getattr(self, n) for n, f in self.fields.items() if isinstance(f, Static))
        slots = tuple(slot.name for slot in self.active_slots)
        return type(self), tuple(choices), slots, self.weight_decay is None

    @property
    def surveys(self) -> bool:
        """Whether a step depends on all weights together."""
        return type(self).survey is not Method.survey

    @property
    def averages(self) -> bool:
        """Whether an evaluation is to see other weights than training."""
        return type(self).shown is not Method.shown

    # Its state.

    @property
    def active_slots(self) -> tuple[Slot, ...]:
        """The slots that this configuration keeps."""
        return tuple(slot for slot in self.weight_slots if slot.exists(self))

    def slots_for(self, dtypes: Iterable[Any]) -> tuple[Slot, ...]:
        """Those that it keeps for weights of these dtypes."""
        rounds = self.compensated and any(map(is_half, dtypes))
        return (*self.active_slots, _COMPENSATION) if rounds else self.active_slots

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

    # Its weights.

    def kind(self, place: Place, dtype) -> Hashable:
        """What decides with which other weights of its shape one may be put together."""
        special = (slot for slot in self.active_slots if slot.shape is not None)
        layouts = tuple(slot.layout(self, place, dtype) for slot in special)
        return keras.backend.standardize_dtype(dtype), layouts

    def parts(self, places: Sequence[Place]) -> list[tuple[Hashable, ...]]:
        """Which part of a composed optimizer each of the weights belongs to; see `Treatment`."""
        return [()] * len(places)

    # Its hyperparameters.

    def held(self, count, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Every hyperparameter as its variable holds it after `count` steps; None if not in use.

        Args:
            count: steps that were taken, for schedules.
            given: in place of its own, those held already.
        """
        given = given or {}
        return {
            name: given[name] if name in given else field.at(self, count)
            for name, field in self.numeric.items()
        }

    def held_numbers(self) -> dict[str, float | None]:
        """Those that are numbers or None, with all digits that they were given with."""
        return {
            name: None if source is None else field.to_held(field.number(self))
            for name, field in self.numeric.items()
            if isinstance(source := field.given(self), Variable | None)
        }

    def scalars(self, held: Mapping[str, Any], count) -> Record:
        """What a rule reads: each numeric field's held value at this step, and `t`.

        They are float32, or float64 where a tensor among them is.
        """
        dtypes = [value.dtype for value in held.values() if hasattr(value, "dtype")]
        dtype = arithmetic_dtype(keras.backend.result_type("float32", *dtypes))
        t = ops.cast(count, dtype) + 1.0
        values = {
            name: None if value is None else self.numeric[name].in_rule(_cast(value, dtype), t)
            for name, value in held.items()
        }
        return Record({**values, "t": t})

    def undecayed(self, h: Record) -> Record:
        """The hyperparameters of weights that do not decay."""
        return h(weight_decay=None)

    def at_rate(self, h: Record, factor) -> Record:
        """The hyperparameters with the learning rate times a factor."""
        return h(learning_rate=h.learning_rate * factor)

    # What a step asks of it.

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

    def decayed_rule(self, g, w, slot: Record, h: Record) -> tuple[Any, Record]:
        """As `rule`, with the decoupled weight decay that is subtracted beside its step."""
        step, slot = self.rule(g, w, slot, h)
        return self.decayed(step, w, h), slot

    def decayed(self, step, w, h: Record):
        """The step of a rule with decoupled weight decay, unless the rule takes care of it."""
        if h.weight_decay is None or self.rule_decays:
            return step
        return step + h.learning_rate * h.weight_decay * w

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
        full, state = ops.cast(unrounded(w, slot), dtype), slot.cast(dtype)
        if not treatment.decays:
            h = self.undecayed(h)
        g = ops.cast(g, dtype)
        if self.squares:
            g = bounded(g)
        h = h(part=treatment.part)
        step, state = self.rule(g, full, state, h)
        step = self.decayed(step, full, h)
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


def unrounded(w, slot: Record):
    """A weight with what its rounding has taken from it, where that is kept."""
    if "compensation" not in slot:
        return w
    dtype = arithmetic_dtype(w.dtype)
    return ops.cast(w, dtype) + ops.cast(slot.compensation, dtype)


def _cast(value, dtype: str):
    # Before every step of a small model on PyTorch, a cast that changes nothing is seen.
    if isinstance(value, Variable) and value.dtype == dtype:
        return backend.updates().value(value)
    return ops.cast(value, dtype)
