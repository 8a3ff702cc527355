"""Optimizers as two pure functions, for parameters that live outside a Keras model.

    adam = kol.functional.adam(learning_rate=1e-3)
    state = adam.init(params)
    params, state = adam.update(params, gradients, state)

`params` is any nested container (dict, list, tuple, named tuple) of arrays of the active Keras
backend. Both functions are pure, so `jax.jit(adam.update)`, `jax.vmap`, `tf.function` and
`torch.func.vmap` apply. The arithmetic is that of the optimizer of the same name: one rule.
"""

from collections.abc import Sequence
from types import NoneType
from typing import Any, NamedTuple

import keras
from keras import Variable, ops

from keras_optim_lab.optimizers import Optimizer, catalogue
from keras_optim_lab.optimizers.shell.bundles import Treatment, Weight, advance, bundles
from keras_optim_lab.optimizers.shell.fields import KerasArgument
from keras_optim_lab.optimizers.shell.precision import arithmetic_dtype, check_real
from keras_optim_lab.optimizers.shell.slots import Place, Record, Slot


class State(NamedTuple):
    """What an optimizer remembers: steps taken, slots by name, scalars shared by all weights."""

    step: Any
    slots: dict[str, Any]
    shared: dict[str, Any]


class Functional:
    """An optimizer as `init` and `update`.

    Args:
        optimizer: gives the rule, its switches and the hyperparameters, whose numbers are read
            once, here; it is never changed.
        paths: of the arrays in the order of `keras.tree.flatten`, for rules that tell weights
            apart by them; by default their place in the container, such as "encoder/0/kernel".

    Raises:
        ValueError: the optimizer asks for what only `fit` does, such as clipping.
    """

    def __init__(self, optimizer: Optimizer, paths: Sequence[str] | None = None):
        for name, field in Optimizer.fields.items():
            if isinstance(field, KerasArgument) and name not in ("name", "ema_momentum"):
                value = getattr(optimizer, name)
                if value != field.default:
                    raise ValueError(
                        f"functional: `{name}` is applied by Keras around the rule and has no "
                        f"meaning here. Received: {name}={value!r}; leave it out."
                    )
        if optimizer.needs_objective:
            raise ValueError(
                f"functional: {type(optimizer).__name__} needs the loss itself, not only its "
                "gradient. Use kol.minimize(fun, x0, optimizer), or kol.Model for a network."
            )
        self.optimizer = optimizer
        self._paths = paths
        self._held_numbers = held_numbers(optimizer)

    def init(self, params) -> State:
        """The state before the first step, for parameters of this structure and shape.

        Raises:
            TypeError: an array holds complex numbers or integers.
        """
        opt, places, flat = self.optimizer, self._places(params), keras.tree.flatten(params)
        kinds = [(place.path, array.dtype) for place, array in zip(places, flat, strict=True)]
        check_real(f"functional: {type(opt).__name__}", kinds)
        opt.check_places(places, ())
        dtype = arithmetic_dtype(keras.config.floatx())
        return State(
            step=ops.zeros((), "int32"),
            slots={
                slot.name: keras.tree.pack_sequence_as(
                    params,
                    [self._first(slot, place, p) for place, p in zip(places, flat, strict=True)],
                )
                for slot in opt.slots_for(array.dtype for array in flat)
            },
            shared={
                slot.name: ops.convert_to_tensor(slot.first_value(opt), dtype)
                for slot in opt.shared_slots
            },
        )

    def _first(self, slot: Slot, place: Place, parameter):
        """A slot's first value; where a parameter has none, an array without numbers."""
        layout = slot.layout(self.optimizer, place, parameter.dtype)
        shape, dtype = layout or ((0,), "float32")
        return ops.full(shape, slot.first_value(self.optimizer), dtype=dtype)

    def update(self, params, gradients, state: State, **hyperparameters):
        """Parameters and state after one step.

        Args:
            params: nested container of arrays.
            gradients: arrays of the same structure and shapes.
            state: from `init` or the previous `update`.
            **hyperparameters: numbers or traced scalars that replace the optimizer's own for
                this step, such as `learning_rate=eta`.

        Returns:
            `(params, state)`, new containers of the same structure.

        Raises:
            ValueError: gradients and parameters differ in structure or shape.
            TypeError: a hyperparameter is unknown.
        """
        return self.advance(params, gradients, state, self._held(hyperparameters, state.step))

    def advance(self, params, gradients, state: State, held: dict[str, Any]):
        """As `update`, with every hyperparameter as its variable would hold it.

        A decay rate is held as 1 − β: computed in Python's precision, it keeps digits that a
        traced β has lost.

        Args:
            params, gradients, state: as in `update`.
            held: by name, every numeric hyperparameter; None for one that is not used.
        """
        opt = self.optimizer
        keras.tree.assert_same_structure(params, gradients)
        shared, h = opt.prepare(Record(state.shared), opt.scalars(held, state.step))
        weights = keras.tree.flatten(params)
        gradients = keras.tree.flatten(gradients)
        for w, g in zip(weights, gradients, strict=True):
            _check_same_shape(w, g)
        places = self._places(params)
        parts = opt.parts(places)
        slots = self._slots(places, weights, state)
        new_shared, new_h = opt.surveyed(dict(shared), dict(h), gradients, weights, slots, parts)
        plan = bundles(
            [
                Weight(place.shape, opt.kind(place, w.dtype), Treatment(part=part))
                for place, w, part in zip(places, weights, parts, strict=True)
            ],
            elementwise=opt.elementwise,
        )
        new_weights, new_slots = advance(
            opt,
            plan,
            dict(enumerate(weights)),
            dict(enumerate(gradients)),
            dict(enumerate(slots)),
            new_h,
        )
        return keras.tree.pack_sequence_as(
            params, [new_weights[i] for i in range(len(weights))]
        ), State(
            step=state.step + 1,
            slots={
                name: keras.tree.pack_sequence_as(
                    params,
                    [new_slots[i].get(name, old) for i, old in enumerate(keras.tree.flatten(tree))],
                )
                for name, tree in state.slots.items()
            },
            shared=new_shared,
        )

    def shown(self, params, state: State, held: dict[str, Any]):
        """Parameters as an evaluation is to see them, after a step with the values `held`."""
        opt = self.optimizer
        if not opt.averages:
            return params
        h = opt.scalars(held, state.step)
        weights, places = keras.tree.flatten(params), self._places(params)
        parts = opt.parts(places)
        slots = self._slots(places, weights, state)
        shown = [
            opt.shown(w, Record(own), h(part=part))
            for w, own, part in zip(weights, slots, parts, strict=True)
        ]
        return keras.tree.pack_sequence_as(params, shown)

    def _slots(self, places, weights, state: State) -> list[dict[str, Any]]:
        """The slots of each weight by name, without those that it has not."""
        opt = self.optimizer
        found: list[dict[str, Any]] = [{} for _ in weights]
        for slot in opt.slots_for(w.dtype for w in weights):
            values = keras.tree.flatten(state.slots[slot.name])
            for own, place, w, value in zip(found, places, weights, values, strict=True):
                if slot.layout(opt, place, w.dtype):
                    own[slot.name] = value
        return found

    def _places(self, params) -> list[Place]:
        """Where each array stands: its path within the containers, unless it was told."""
        found = keras.tree.flatten_with_path(params)
        paths = self._paths or ["/".join(map(str, path)) for path, _ in found]
        return [
            Place(path, tuple(array.shape)) for path, (_, array) in zip(paths, found, strict=True)
        ]

    def _held(self, hyperparameters: dict[str, Any], step) -> dict[str, Any]:
        fields = self.optimizer.numeric
        unknown = hyperparameters.keys() - fields.keys()
        if unknown:
            raise TypeError(
                f"functional: no hyperparameter {sorted(unknown)[0]!r}; there are {list(fields)}"
            )
        held = dict(self._held_numbers)
        for name, field in fields.items():
            if name in hyperparameters:
                held[name] = field.to_held(hyperparameters[name])
        return at_step(self.optimizer, held, step)


def held_numbers(optimizer: Optimizer) -> dict[str, float | None]:
    """The hyperparameters that are numbers or None, as their variables hold them."""
    return {
        name: None if field.given(optimizer) is None else field.to_held(field.number(optimizer))
        for name, field in optimizer.numeric.items()
        if isinstance(field.given(optimizer), Variable | NoneType)
    }


def at_step(optimizer: Optimizer, held: dict[str, Any], step) -> dict[str, Any]:
    """Those hyperparameters, and what schedules and callables give for the others at a step."""
    return {
        name: held[name] if name in held else field.evaluate(field.given(optimizer), step)
        for name, field in optimizer.numeric.items()
    }


def _check_same_shape(parameter, gradient) -> None:
    # Broadcasting would make something of them, and change the parameter's shape.
    if tuple(parameter.shape) != tuple(gradient.shape):
        raise ValueError(
            f"functional: a gradient of shape {tuple(gradient.shape)} belongs to a parameter of "
            f"shape {tuple(parameter.shape)}; the shapes must be equal."
        )


def __getattr__(name: str):
    try:
        entry = catalogue.entry(name)
    except ValueError as error:
        raise AttributeError(str(error)) from None

    def of(*args, **kwargs) -> Functional:
        return Functional(entry.cls(*args, **kwargs))

    of.__name__ = of.__qualname__ = name
    of.__doc__ = entry.cls.__doc__
    of.__signature__ = entry.cls.__signature__  # type: ignore[attr-defined]
    return of


def __dir__():
    return [*globals(), *catalogue.names()]
