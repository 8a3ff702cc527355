"""Steps of weights that are variables, where tensors never change."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any


class Updater:
    """Reads variables, and assigns what a step makes of them; see `interface.Updater`."""

    value: Callable[[Any], Any]

    def __init__(
        self,
        step: Any,
        weights: Sequence[Any],
        slots: Mapping[str, Sequence[Any]],
        shared: Mapping[str, Any],
    ):
        self.step = step
        self.weights = weights
        self.slots = slots
        self.shared = shared

    def can_run_alone(self) -> bool:
        return False

    def run_alone(self, gradients, now, iterations) -> None:
        raise NotImplementedError

    def run(self, gradients, now) -> None:
        count, held = now()
        shared = {name: self.value(variable) for name, variable in self.shared.items()}
        weights, slots = self._read()
        shared, h = self.step.begin(weights, slots, gradients, shared, held, count)
        weights, slots = self.step.advance(weights, slots, gradients, h)
        _assign(self.weights, weights, gradients)
        for name, own in slots.items():
            _assign(self.slots[name], own, gradients)
        # Last: on PyTorch scalars in h may be the variables' own memory.
        for name, variable in self.shared.items():
            variable.assign(shared[name])

    def _read(self) -> tuple[list[Any], dict[str, list[Any]]]:
        slots = {name: self._values(variables) for name, variables in self.slots.items()}
        return self._values(self.weights), slots

    def _values(self, variables) -> list[Any]:
        return [None if variable is None else self.value(variable) for variable in variables]


def _assign(variables, values, gradients) -> None:
    for variable, value, gradient in zip(variables, values, gradients, strict=True):
        if variable is not None and gradient is not None:
            variable.assign(value)
