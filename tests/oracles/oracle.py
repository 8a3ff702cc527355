from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np


@dataclass(frozen=True)
class Oracle:
    """A method with its hyperparameters; their defaults are those of the paper.

    Tensors of any shape are treated one by one.
    """

    shared: ClassVar[tuple[str, ...]] = ()  # scalars of all weights that it counts as slots
    # Slots of which only the effect is defined, as of eigenvectors, which have no sign.
    undetermined: ClassVar[tuple[str, ...]] = ()

    learning_rate: float
    weight_decay: float = field(default=0.0, kw_only=True)
    magnitudes_only: bool = field(default=False, kw_only=True, repr=False)

    def step(self, g, slots, t):
        """What step t = 1, 2, … subtracts from a weight, and the new slots.

        Slots that are missing have their first value.
        """
        raise NotImplementedError

    def update(self, w, g, slots, t):
        """The same where the weight itself matters."""
        return self.step(g, slots, t)

    def next(self, w, g, slots, t):
        """The weight after step t, with decoupled weight decay, and the new slots."""
        step, slots = self.update(w, g, slots, t)
        return w - step - self.learning_rate * self.weight_decay * w, slots

    def difference(self, a, b):
        """a − b, or the most that it can be where only magnitudes are known."""
        return a + b if self.magnitudes_only else a - b

    def largest(self, w, g, slots, t):
        """As `next` from the magnitudes of all numbers, so that nothing cancels: how much each
        new slot is made of, and how much the step."""
        w, g, slots = np.abs(w), np.abs(g), {name: np.abs(slot) for name, slot in slots.items()}
        new_w, slots = replace(self, magnitudes_only=True).next(w, g, slots, t)
        return np.abs(new_w - w), slots

    def descend(self, w, gradients):
        """The weight after each of the gradients."""
        w, slots = np.asarray(w, "float64"), {}
        for t, g in enumerate(gradients, start=1):
            w, slots = self.next(w, np.asarray(g, "float64"), slots, t)
            yield w
