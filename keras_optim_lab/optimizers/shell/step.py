"""One step of a method on all weights: a pure function, which every driver of it calls."""

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.optimizers.shell.bundles import Bundle, Treatment, Weight, bundles
from keras_optim_lab.optimizers.shell.method import Method, unrounded
from keras_optim_lab.optimizers.shell.precision import arithmetic_dtype
from keras_optim_lab.optimizers.shell.record import Record
from keras_optim_lab.optimizers.shell.slots import Place

_NONE = ((0,), "float32")  # the layout of a slot that a weight has not


Slots = Mapping[str, Sequence[Any]]  # by name, those of each weight


class State(NamedTuple):
    """What an optimizer remembers: steps taken, slots by name, scalars shared by all weights.

    Each of the slots is a list of arrays, or a container like the weights' own, in which a weight
    that has no such slot has an array without numbers, or None.
    """

    step: Any
    slots: dict[str, Any]
    shared: dict[str, Any]


class Step:
    """One step of a method on weights that stand at these places.

    Args:
        method: gives the rule and its choices.
        places: where the weights stand, and their shapes.
        dtypes: of the weights.
        decays: by weight, whether weight decay applies; by default it does.
        parts: of a composed optimizer, to which each weight belongs; by default as it says.
        small: for elementwise rules, weights of at most so many numbers are joined.
        start: how many numbers other steps of the optimizer have, whose random bits differ.

    Attributes:
        weights: their shapes and dtypes.
    """

    def __init__(
        self,
        method: Method,
        places: Sequence[Place],
        dtypes: Sequence[Any],
        *,
        decays: Sequence[bool] | None = None,
        parts: Sequence[tuple[Hashable, ...]] | None = None,
        small: int = 0,
        start: int = 0,
    ):
        backend.updates().register(Record)
        self.method = method
        self.weights = [(place.shape, dtype) for place, dtype in zip(places, dtypes, strict=True)]
        self.parts = [*(method.parts(places) if parts is None else parts)]
        self._slots = method.slots_for(dtypes)
        self.layouts = {
            slot.name: [*map(partial(slot.layout, method), places, dtypes)] for slot in self._slots
        }
        treatments = map(Treatment, decays or [True] * len(places), self.parts)
        weights = [
            Weight(place.shape, method.kind(place, dtype), treatment)
            for place, dtype, treatment in zip(places, dtypes, treatments, strict=True)
        ]
        self._plan = bundles(weights, elementwise=method.elementwise, small=small, start=start)
        if method.execution == "per_tensor":
            self._plan = [one for bundle in self._plan for one in bundle.alone()]

    def first_state(self) -> State:
        """The state before the first step; where a weight lacks a slot, an array of no numbers."""
        dtype = arithmetic_dtype(keras.config.floatx())
        return State(
            step=ops.zeros((), "int32"),
            slots={
                slot.name: [
                    ops.full(shape, slot.first_value(self.method), dtype=own)
                    for shape, own in (layout or _NONE for layout in self.layouts[slot.name])
                ]
                for slot in self._slots
            },
            shared={
                slot.name: ops.convert_to_tensor(slot.first_value(self.method), dtype)
                for slot in self.method.shared_slots
            },
        )

    def __call__(
        self,
        weights: Sequence[Any],
        gradients: Sequence[Any],
        state: State,
        held: Mapping[str, Any],
    ) -> tuple[list[Any], State]:
        """Weights and state after one step.

        Args:
            weights: tensors.
            gradients: dense tensors of their shapes; a weight whose gradient is None stays.
            state: from `first_state` or the step before.
            held: every hyperparameter as its variable holds it; see `Method.held`.
        """
        count, slots, shared = state
        new_shared, h = self.begin(weights, slots, gradients, shared, held, count)
        new_weights, new_slots = self.advance(weights, slots, gradients, h)
        return new_weights, State(count + 1, new_slots, dict(new_shared))

    def advance(
        self, weights: Sequence[Any], slots: Slots, gradients: Sequence[Any], h: Record
    ) -> tuple[list[Any], dict[str, Any]]:
        """New weights and slots, from the scalars of the step."""
        new_weights, new_slots = [*weights], {name: [*own] for name, own in slots.items()}
        for bundle in self.plan(gradients):
            members = bundle.indices
            w, slot = self.method.next_weight(
                bundle.pack([gradients[i] for i in members]),
                bundle.pack([weights[i] for i in members]),
                Record({n: bundle.pack([slots[n][i] for i in members]) for n in self.has(bundle)}),
                h,
                treatment=bundle.treatment,
                start=bundle.start,
            )
            for into, packed in ((new_weights, w), *((new_slots[n], v) for n, v in slot.items())):
                for i, value in zip(members, bundle.unpack(packed), strict=True):
                    into[i] = value
        return new_weights, new_slots

    def begin(
        self, weights, slots: Slots, gradients, shared: Mapping[str, Any], held, count
    ) -> tuple[Record, Record]:
        """What a step needs once for all weights: new shared state, and scalars."""
        new_shared, h = self.prepared(shared, held, count)
        if not self.method.surveys:
            return new_shared, h
        there = [i for i, gradient in enumerate(gradients) if gradient is not None]
        return self.surveyed(
            new_shared,
            h,
            [gradients[i] for i in there],
            [weights[i] for i in there],
            [self.slots_of(i, slots) for i in there],
            [self.parts[i] for i in there],
        )

    def prepared(self, shared: Mapping[str, Any], held, count) -> tuple[Record, Record]:
        """Of these, what depends on no weight."""
        return self.method.prepare(Record(shared), self.method.scalars(held, count))

    def surveyed(
        self, shared: Mapping[str, Any], h: Record, gradients, weights, slots, parts
    ) -> tuple[Record, Record]:
        """What becomes of `shared` and `h` when all weights have been seen."""
        records = [*map(Record, slots)]
        weights = [unrounded(w, slot) for w, slot in zip(weights, records, strict=True)]
        return self.method.look(Record(shared), h, gradients, weights, records, parts)

    def shown(self, weights: Sequence[Any], state: State, held: Mapping[str, Any]) -> list[Any]:
        """The weights as an evaluation is to see them, after a step with the values `held`."""
        if not self.method.averages:
            return [*weights]
        h = self.method.scalars(held, state.step)
        return [
            self.method.shown(w, self.slots_of(i, state.slots), h(part=part))
            for i, (w, part) in enumerate(zip(weights, self.parts, strict=True))
        ]

    def slots_of(self, i: int, slots: Slots) -> Record:
        """The slots that one weight has."""
        return Record({n: slots[n][i] for n, layouts in self.layouts.items() if layouts[i]})

    def has(self, bundle: Bundle) -> list[str]:
        """The names of a bundle's slots."""
        return [name for name, layouts in self.layouts.items() if layouts[bundle.indices[0]]]

    def plan(self, gradients: Sequence[Any]) -> list[Bundle]:
        """Bundles of the weights with gradients. Those that once had none stay apart from then."""
        if not any(gradient is None for gradient in gradients):
            return self._plan
        there = {i for i, gradient in enumerate(gradients) if gradient is not None}
        self._plan = [part for bundle in self._plan for part in bundle.parts(there)]
        return [bundle for bundle in self._plan if bundle.indices[0] in there]
