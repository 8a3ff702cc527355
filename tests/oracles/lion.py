from dataclasses import dataclass

import numpy as np

from tests.oracles.case import Case, Reference
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


CASES = [
    Case(
        "lion",
        "lion",
        Lion,
        references=(
            Reference("keras", "Lion", {"learning_rate": 1e-4, "beta_1": 0.9, "beta_2": 0.99}),
            Reference("optax", "lion", {"learning_rate": 1e-4, "weight_decay": 0.0}),
            Reference(
                "optax",
                "lion",
                {"learning_rate": 0.01, "b1": 0.5, "b2": 0.8, "weight_decay": 0.5},
                {"learning_rate": 0.01, "beta_1": 0.5, "beta_2": 0.8, "weight_decay": 0.5},
            ),
            Reference("pytorch_optimizer", "Lion", {"lr": 1e-4, "weight_decay": 0.0}),
        ),
    ),
]
