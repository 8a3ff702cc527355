from dataclasses import dataclass

import numpy as np

from tests.oracles.case import SEEN, Case, Reference
from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class Nadam(Oracle):
    """Dozat 2016, Algorithm 2, with the schedule of its experiments."""

    learning_rate: float = 2e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    momentum_decay: float = 4e-3

    def mu(self, t):
        return self.beta_1 * (1 - 0.5 * 0.96 ** (t * self.momentum_decay))

    def step(self, g, slots, t):
        m = self.beta_1 * slots.get("momentum", 0.0) + (1 - self.beta_1) * g
        v = self.beta_2 * slots.get("velocity", 0.0) + (1 - self.beta_2) * g**2
        product = 1.0
        for i in range(1, t + 1):
            product *= self.mu(i)
        m_bar = self.mu(t + 1) * m / (1 - product * self.mu(t + 1))
        m_bar = m_bar + (1 - self.mu(t)) * g / (1 - product)
        v_hat = v / (1 - self.beta_2**t)
        step = self.learning_rate * m_bar / (np.sqrt(v_hat) + self.epsilon)
        return step, {"momentum": m, "velocity": v}


CASES = [
    Case(
        "nadam",
        "nadam",
        Nadam,
        references=(
            Reference(
                "keras",
                "Nadam",
                {"learning_rate": 2e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": SEEN},
                {"momentum_decay": 1.0, "epsilon": SEEN},
                why="has the schedule 0.96^t",
            ),
            Reference(
                "torch",
                "NAdam",
                {"lr": 2e-3, "betas": (0.9, 0.999), "momentum_decay": 4e-3, "eps": SEEN},
                {"epsilon": SEEN},
            ),
            Reference(
                "torch",
                "NAdam",
                {"lr": 0.01, "eps": SEEN, "weight_decay": 0.5, "decoupled_weight_decay": True},
                {"learning_rate": 0.01, "epsilon": SEEN, "weight_decay": 0.5},
            ),
            Reference(
                "optax",
                "nadam",
                {"learning_rate": 2e-3, "eps": SEEN},
                {"epsilon": SEEN, "momentum_decay": 1e6},
                why="has no schedule: μ is β₁ from the first step on",
            ),
        ),
    ),
]
