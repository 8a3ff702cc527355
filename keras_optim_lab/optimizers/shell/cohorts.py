"""Weights that began to be trained together: a cohort has a step of its own, and its own count."""

from collections.abc import Sequence
from typing import Any

from keras import Variable

from keras_optim_lab import backend
from keras_optim_lab.optimizers.shell.step import Step


class Cohort:
    """Weights that joined an optimizer after as many steps: `birth`.

    Attributes:
        shared: the variables of the state that they share.
        updater: takes their steps; see `backend.interface`.
    """

    def __init__(
        self,
        birth: int,
        indices: Sequence[int],
        step: Step,
        weights: Sequence[Any],
        slots: dict[str, list[Variable | None]],
        shared: dict[str, Variable],
    ):
        self.birth = birth
        self.shared = shared
        self._indices = indices
        own = {name: [values[i] for i in indices] for name, values in slots.items()}
        self.updater = backend.updates().Updater(step, [weights[i] for i in indices], own, shared)

    def take_step(self, gradients: dict[int, Any], now) -> None:
        """A step of those of its weights that have gradients, which are given by their indices."""
        own = [gradients.get(i) for i in self._indices]
        if any(gradient is not None for gradient in own):
            self.updater.run(own, now)
