from dataclasses import dataclass

import numpy as np

from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class Adagrad(Oracle):
    """Duchi, Hazan & Singer 2011, diagonal form."""

    learning_rate: float = 0.01
    initial_accumulator_value: float = 0.0
    epsilon: float = 1e-8

    def step(self, g, slots, t):
        s = slots.get("accumulator", self.initial_accumulator_value) + g**2
        return self.learning_rate * g / (np.sqrt(s) + self.epsilon), {"accumulator": s}
