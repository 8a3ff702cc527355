from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Oracle:
    """A method with its hyperparameters; their defaults are those of the paper."""

    learning_rate: float
    weight_decay: float = field(default=0.0, kw_only=True)

    def step(self, g, slots, t):
        """What step t = 1, 2, … subtracts from a weight, and the new slots.

        Slots that are missing have their first value.
        """
        raise NotImplementedError

    def next(self, w, g, slots, t):
        """The weight after step t, with decoupled weight decay, and the new slots."""
        step, slots = self.step(g, slots, t)
        return w - step - self.learning_rate * self.weight_decay * w, slots

    def descend(self, w, gradients):
        """The weight after each of the gradients."""
        w, slots = np.asarray(w, "float64"), {}
        for t, g in enumerate(gradients, start=1):
            w, slots = self.next(w, np.asarray(g, "float64"), slots, t)
            yield w
