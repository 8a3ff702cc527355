"""Optimizers as two pure functions, for parameters that live outside a Keras model.

    adam = kol.functional.adam(learning_rate=1e-3)
    state = adam.init(params)
    params, state = adam.update(params, gradients, state)

`params` is any nested container (dict, list, tuple, named tuple) of arrays of the active Keras
backend. Both functions are pure, so `jax.jit(adam.update)`, `jax.vmap`, `tf.function` and
`torch.func.vmap` apply. The arithmetic is that of the optimizer of the same name: one rule.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_optim_lab.optimizers import Optimizer, catalogue
from keras_optim_lab.optimizers.shell.field_kinds import KerasArgument
from keras_optim_lab.optimizers.shell.precision import check_real
from keras_optim_lab.optimizers.shell.slots import Place
from keras_optim_lab.optimizers.shell.step import State, Step

__all__ = ["Functional", "State"]


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
        self._numbers = optimizer.held_numbers()
        self._steps: dict[Any, Step] = {}

    def init(self, params: Any) -> State:
        """The state before the first step, for parameters of this structure and shape.

        Raises:
            TypeError: an array holds complex numbers or integers.
        """
        places = self._places(params)
        dtypes = [array.dtype for array in keras.tree.flatten(params)]
        paths = [place.path for place in places]
        owner = f"functional: {type(self.optimizer).__name__}"
        check_real(owner, zip(paths, dtypes, strict=True))
        self.optimizer.check_places(places, ())
        return _packed(params, self._step(params).first_state())

    def update(
        self, params: Any, gradients: Any, state: State, **hyperparameters: Any
    ) -> tuple[Any, State]:
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

    def advance(
        self, params: Any, gradients: Any, state: State, held: dict[str, Any]
    ) -> tuple[Any, State]:
        """As `update`, with every hyperparameter as its variable would hold it.

        A decay rate is held as 1 − β: computed in Python's precision, it keeps digits that a
        traced β has lost.

        Args:
            params, gradients, state: as in `update`.
            held: by name, every numeric hyperparameter; None for one that is not used.
        """
        keras.tree.assert_same_structure(params, gradients)
        weights, gradients = keras.tree.flatten(params), keras.tree.flatten(gradients)
        for w, g in zip(weights, gradients, strict=True):
            _check_same_shape(w, g)
        weights, state = self._step(params)(weights, gradients, _flat(state), held)
        return keras.tree.pack_sequence_as(params, weights), _packed(params, state)

    def shown(self, params: Any, state: State, held: dict[str, Any]) -> Any:
        """Parameters as an evaluation is to see them, after a step with the values `held`."""
        shown = self._step(params).shown(keras.tree.flatten(params), _flat(state), held)
        return keras.tree.pack_sequence_as(params, shown)

    def _step(self, params: Any) -> Step:
        places = self._places(params)
        dtypes = [keras.backend.standardize_dtype(w.dtype) for w in keras.tree.flatten(params)]
        key = (*places, *dtypes)
        if key not in self._steps:
            self._steps[key] = Step(self.optimizer, places, dtypes)
        return self._steps[key]

    def _places(self, params: Any) -> list[Place]:
        """Where each array stands: its path within the containers, unless it was told."""
        found = keras.tree.flatten_with_path(params)
        paths = self._paths or ["/".join(map(str, path)) for path, _ in found]
        return [
            Place(path, tuple(array.shape)) for path, (_, array) in zip(paths, found, strict=True)
        ]

    def _held(self, hyperparameters: dict[str, Any], step: Any) -> dict[str, Any]:
        fields = self.optimizer.numeric
        unknown = hyperparameters.keys() - fields.keys()
        if unknown:
            raise TypeError(
                f"functional: no hyperparameter {sorted(unknown)[0]!r}; there are {list(fields)}"
            )
        given = {name: fields[name].to_held(value) for name, value in hyperparameters.items()}
        return self.optimizer.held(step, {**self._numbers, **given})


def _flat(state: State) -> State:
    """With lists of slots."""
    return state._replace(slots={n: keras.tree.flatten(own) for n, own in state.slots.items()})


def _packed(params: Any, state: State) -> State:
    """With slots in containers like the parameters'."""
    packed = {n: keras.tree.pack_sequence_as(params, own) for n, own in state.slots.items()}
    return state._replace(slots=packed)


def _check_same_shape(parameter: Any, gradient: Any) -> None:
    # Broadcasting would make something of them, and change the parameter's shape.
    if tuple(parameter.shape) != tuple(gradient.shape):
        raise ValueError(
            f"functional: a gradient of shape {tuple(gradient.shape)} belongs to a parameter of "
            f"shape {tuple(parameter.shape)}; the shapes must be equal."
        )


def __getattr__(name: str) -> Callable[..., Functional]:
    try:
        entry = catalogue.entry(name)
    except ValueError as error:
        raise AttributeError(str(error)) from None

    def of(*args: Any, **kwargs: Any) -> Functional:
        return Functional(entry.cls(*args, **kwargs))

    of.__name__ = of.__qualname__ = name
    of.__doc__ = entry.cls.__doc__
    of.__signature__ = entry.cls.__signature__  # type: ignore[attr-defined]
    return of


def __dir__() -> list[str]:
    return [*globals(), *catalogue.names()]
