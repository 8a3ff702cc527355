from dataclasses import dataclass

import numpy as np

from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class Lion(Oracle):
    """Chen et al. 2023, Algorithm 2."""

    learning_rate: float = 1e-4
    beta_1: float = 0.9
    beta_2: float = 0.99

    def step(self, g, slots, t):
        m = slots.get("momentum", 0.0)
        step = self.learning_rate * np.sign(self.beta_1 * m + (1 - self.beta_1) * g)
        return step, {"momentum": self.beta_2 * m + (1 - self.beta_2) * g}
