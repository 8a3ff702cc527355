"""Optimizers as two pure functions, for parameters that live outside a Keras model.

    adam = kol.functional.adam(learning_rate=1e-3)
    state = adam.init(params)
    params, state = adam.update(params, gradients, state)

`params` is any nested container (dict, list, tuple, named tuple) of arrays of the active Keras
backend. Both functions are pure, so `jax.jit(adam.update)`, `jax.vmap`, `tf.function` and
`torch.func.vmap` apply. The arithmetic is that of the optimizer of the same name: one rule.
"""

from types import NoneType
from typing import Any, NamedTuple

import keras
from keras import Variable, ops

from keras_optim_lab.optimizers import Optimizer, catalogue
from keras_optim_lab.optimizers.fields import KerasArgument
from keras_optim_lab.optimizers.slots import Place, Record, Slot


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

    Raises:
        ValueError: the optimizer asks for what only `fit` does, such as clipping.
    """

    def __init__(self, optimizer: Optimizer):
        for name, field in optimizer.fields.items():
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
        self._held_numbers = held_numbers(optimizer)

    def init(self, params) -> State:
        """The state before the first step, for parameters of this structure and shape."""
        opt = self.optimizer

        def filled(slot: Slot):
            value = slot.first_value(opt)
            return keras.tree.pack_sequence_as(
                params,
                [
                    ops.full(slot.shape_at(opt, place), value, dtype=opt.state_dtype(p.dtype))
                    for place, p in zip(places, keras.tree.flatten(params), strict=True)
                ],
            )

        places = _places(params)

        return State(
            step=ops.zeros((), "int32"),
            slots={slot.name: filled(slot) for slot in opt.active_slots},
            shared={
                slot.name: ops.convert_to_tensor(slot.first_value(opt), "float32")
                for slot in opt.shared_slots
            },
        )

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
        h = opt.scalars(held, state.step)
        shared, h = opt.prepare(Record(state.shared), h)
        weights = keras.tree.flatten(params)
        slots = [keras.tree.flatten(tree) for tree in state.slots.values()]
        new_weights, new_slots = [], []
        for i, (w, g) in enumerate(zip(weights, keras.tree.flatten(gradients), strict=True)):
            slot = Record(dict(zip(state.slots, (tree[i] for tree in slots), strict=True)))
            _check_same_shape(w, g)
            dtype = opt.state_dtype(w.dtype)
            new_w, slot = opt.next_weight(ops.cast(g, dtype), ops.cast(w, dtype), slot, h)
            new_weights.append(ops.cast(new_w, w.dtype))
            new_slots.append(slot)
        return keras.tree.pack_sequence_as(params, new_weights), State(
            step=state.step + 1,
            slots={
                name: keras.tree.pack_sequence_as(params, [slot[name] for slot in new_slots])
                for name in state.slots
            },
            shared=dict(shared),
        )

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


def _places(params) -> list[Place]:
    """Where each array stands, in the order of `keras.tree.flatten`: "encoder/0/kernel"."""
    return [
        Place("/".join(map(str, path)), tuple(array.shape))
        for path, array in keras.tree.flatten_with_path(params)
    ]


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
