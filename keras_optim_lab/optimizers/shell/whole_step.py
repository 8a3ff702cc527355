"""A whole step as a pure function: the method's own, and what Keras does around it.

`Optimizer.apply` leaves what is around an update of variables to Keras. Rows of a population have
no variables, so that here the same is done to tensors: the factor on the loss is taken back,
gradients are accumulated and clipped, and a moving average of the weights is kept.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
from keras import ops

from keras_optim_lab.optimizers.shell.precision import arithmetic_dtype
from keras_optim_lab.optimizers.shell.step import State, Step

if TYPE_CHECKING:
    from keras_optim_lab.optimizers.shell.optimizer import Optimizer

Tensors = Sequence[Any]

# What is kept beside a method's state, whose names are identifiers.
_AVERAGE, _ACCUMULATED = "average of weights", "accumulated gradients"
_SCALE, _FINITE = "factor on the loss", "finite steps"
CLIPS = "clipnorm", "global_clipnorm", "clipvalue"  # of which a step has one at most


class DynamicScale(NamedTuple):
    """How the factor on a loss of float16 changes: it halves where a gradient is not finite.

    Attributes:
        first: the factor to begin with.
        growth: after so many finite steps in a row it doubles.
    """

    first: float
    growth: int


class WholeStep:
    """One step of an optimizer, as all of its arguments ask for.

    Args:
        optimizer: what is around the step.
        step: the method's own.
        dynamic: how the factor on the loss changes, if it does.
        joined: how many numbers each weight has, where all come as one vector; there may then be
            more axes before, with scalars of the same number of axes.
        constrained: new weights as their constraints have them.

    Attributes:
        numbers: that are read beside the method's hyperparameters, by name, as they were given.
    """

    def __init__(
        self,
        optimizer: "Optimizer",
        step: Step,
        dynamic: DynamicScale | None = None,
        joined: Sequence[int] | None = None,
        constrained: Callable[[list], list] = list,
    ):
        self._step = step
        self._dynamic = dynamic
        self._joined = joined
        self._constrained = constrained
        self._of_all: dict[str, Any] = {} if joined is None else {"axis": -1, "keepdims": True}
        self._clips = next((n for n in CLIPS if getattr(optimizer, n) is not None), None)
        self._every = optimizer.gradient_accumulation_steps or 1
        self._averages = optimizer.use_ema
        self._overwrites = optimizer.ema_overwrite_frequency
        used = [self._clips, "ema_momentum" if self._averages else None]
        if not dynamic and optimizer.loss_scale_factor is not None:
            used.append("loss_scale_factor")
        self.numbers: dict[str, float] = {n: getattr(optimizer, n) for n in used if n is not None}

    def first_state(self) -> State:
        """The state before the first step."""
        state = self._step.first_state()
        slots, shared = dict(state.slots), dict(state.shared)
        for name, kept in ((_AVERAGE, self._averages), (_ACCUMULATED, self._every > 1)):
            if kept:
                slots[name] = [
                    ops.zeros(shape, arithmetic_dtype(dtype)) for shape, dtype in self._step.weights
                ]
        if self._dynamic:
            shared[_SCALE] = ops.full((), self._dynamic.first, "float32")
            shared[_FINITE] = ops.zeros((), "int32")
        return state._replace(slots=slots, shared=shared)

    def loss_scale(self, state: State, held: Mapping[str, Any]) -> Any:
        """The factor on the loss of the next step; None of one that stays as it is."""
        return state.shared[_SCALE] if self._dynamic else held.get("loss_scale_factor")

    def shown(self, weights: Tensors, state: State, held: Mapping[str, Any]) -> list[Any]:
        """The weights as an evaluation is to see them; `fit` does not show it their average."""
        return self._step.shown(weights, self._own(state), self._of_method(held))

    def __call__(
        self, weights: Tensors, gradients: Tensors, state: State, held: Mapping[str, Any]
    ) -> tuple[list[Any], State]:
        """Weights and state after one step.

        Args:
            weights: tensors.
            gradients: of the loss times its factor, if it has one; dense tensors of their shapes.
            state: from `first_state` or the step before.
            held: as of `Step`, and those of `numbers`.
        """
        scale = self.loss_scale(state, held)
        if scale is not None:
            gradients = [g / ops.cast(scale, g.dtype) for g in gradients]
        new_weights, new_state = self._updated(weights, gradients, state, held)
        if self._averages:
            new_weights, new_state = self._averaged(new_weights, new_state, state, held)
        new_weights = self._constrained(new_weights)
        if self._dynamic:
            finite = self._all_finite(gradients)
            kept = weights, state
            new_weights, new_state = _chosen(finite, (new_weights, new_state), kept)
            new_state = self._rescaled(new_state, finite, self._dynamic)
        return new_weights, new_state

    def _updated(self, weights, gradients, state: State, held) -> tuple[list[Any], State]:
        """After the method's step, or none yet where gradients are accumulated."""
        own = self._own(state)
        if self._every == 1:
            clipped = self._clipped(gradients, held)
            new, after = self._step(weights, clipped, own, self._of_method(held))
            return new, self._with(state, after)
        updates = ops.equal((state.step + 1) % self._every, 0)
        total = [g + old for g, old in zip(gradients, state.slots[_ACCUMULATED], strict=True)]
        mean = self._clipped([each / self._every for each in total], held)
        own = own._replace(step=state.step // self._every)
        new, after = self._step(weights, mean, own, self._of_method(held))
        new, after = _chosen(updates, (new, after), ([*weights], own))
        result = self._with(state, after._replace(step=state.step + 1))
        left = [ops.where(updates, ops.zeros_like(each), each) for each in total]
        return new, result._replace(slots={**result.slots, _ACCUMULATED: left})

    def _averaged(self, weights, state: State, before: State, held) -> tuple[list[Any], State]:
        """With the moving average after these weights, which take its place from time to time."""
        count = before.step // self._every
        share = share_of_average(before.step, self._every, held["ema_momentum"])
        averages = [
            old + ops.cast(share, old.dtype) * (ops.cast(new, old.dtype) - old)
            for old, new in zip(state.slots[_AVERAGE], weights, strict=True)
        ]
        if self._overwrites:
            overwrites = ops.equal((count + 1) % self._overwrites, 0)
            weights = [
                ops.where(overwrites, ops.cast(average, w.dtype), w)
                for average, w in zip(averages, weights, strict=True)
            ]
        return weights, state._replace(slots={**state.slots, _AVERAGE: averages})

    # Clipping, by the norm of each weight's gradient, or of all, or number by number.

    def _clipped(self, gradients: Tensors, held: Mapping[str, Any]) -> Tensors:
        if self._clips is None:
            return gradients
        most = held[self._clips]
        if self._clips == "clipvalue":
            return [_between(g, ops.cast(most, g.dtype)) for g in gradients]
        if self._clips == "global_clipnorm":
            norm = ops.sqrt(sum(map(self._square, gradients)))
            return [_shortened(g, norm, most) for g in gradients]
        pieces = self._pieces(gradients)
        clipped = [_shortened(g, ops.sqrt(self._square(g)), most) for g in pieces]
        return clipped if self._joined is None else [ops.concatenate(clipped, axis=-1)]

    def _pieces(self, gradients: Tensors) -> Tensors:
        """Of each weight."""
        if self._joined is None:
            return gradients
        return ops.split(gradients[0], [*accumulate(self._joined)][:-1], axis=-1)

    def _square(self, gradient) -> Any:
        return ops.sum(ops.square(gradient), **self._of_all)

    # The factor on the loss.

    def _all_finite(self, gradients: Tensors) -> Any:
        return reduce(
            ops.logical_and, (ops.all(ops.isfinite(g), **self._of_all) for g in gradients)
        )

    def _rescaled(self, state: State, finite: Any, dynamic: DynamicScale) -> State:
        scale, steps = state.shared[_SCALE], state.shared[_FINITE]
        grows = ops.equal(steps, dynamic.growth - 1)
        scale = scale * ops.where(finite, ops.where(grows, 2.0, 1.0), 0.5)
        steps = ops.where(ops.logical_and(finite, ops.logical_not(grows)), steps + 1, 0)
        return state._replace(shared={**state.shared, _SCALE: scale, _FINITE: steps})

    # The method's own part of the state and of the numbers.

    def _own(self, state: State) -> State:
        slots = {n: own for n, own in state.slots.items() if n not in (_AVERAGE, _ACCUMULATED)}
        shared = {n: own for n, own in state.shared.items() if n not in (_SCALE, _FINITE)}
        return state._replace(slots=slots, shared=shared)

    def _with(self, state: State, own: State) -> State:
        return State(own.step, {**state.slots, **own.slots}, {**state.shared, **own.shared})

    def _of_method(self, held: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in held.items() if name not in self.numbers}


def share_of_average(step: Any, every: int, momentum: Any) -> Any:
    """What of the way to the weights their moving average goes after a step.

    Args:
        step: how many there were before.
        every: steps whose gradients are accumulated to an update; in between it stays.
        momentum: its decay rate; after the first update it is the weights.
    """
    updates = ops.equal((step + 1) % every, 0)
    return ops.where(ops.equal(step // every, 0), 1.0, ops.where(updates, 1.0 - momentum, 0.0))


def _between(gradient: Any, most: Any) -> Any:
    return ops.minimum(ops.maximum(gradient, -most), most)


def _shortened(gradient: Any, norm: Any, most: Any) -> Any:
    """A gradient times what makes the norm, its own or that of all, `most` at most."""
    norm, most = (ops.cast(each, gradient.dtype) for each in (norm, most))
    return gradient * (most / ops.maximum(norm, most))


def _chosen(condition: Any, one: Any, other: Any) -> Any:
    return keras.tree.map_structure(lambda a, b: ops.where(condition, a, b), one, other)
