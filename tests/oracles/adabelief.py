from dataclasses import dataclass

import numpy as np

from tests.oracles.case import Case, Reference
from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class AdaBelief(Oracle):
    """Zhuang et al. 2020, Algorithm 2."""

    learning_rate: float = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-16

    def step(self, g, slots, t):
        m = self.beta_1 * slots.get("momentum", 0.0) + (1 - self.beta_1) * g
        s = self.beta_2 * slots.get("surprise", 0.0)
        s = s + (1 - self.beta_2) * self.difference(g, m) ** 2 + self.epsilon
        m_hat, s_hat = m / (1 - self.beta_1**t), s / (1 - self.beta_2**t)
        step = self.learning_rate * m_hat / (np.sqrt(s_hat) + self.epsilon)
        return step, {"momentum": m, "surprise": s}


CASES = [
    Case(
        "adabelief",
        "adabelief",
        AdaBelief,
        references=(
            Reference("optax", "adabelief", {"learning_rate": 1e-3}),
            Reference(
                "optax",
                "adabelief",
                {"learning_rate": 1e-3, "eps": 1e-3, "eps_root": 1e-3},
                {"epsilon": 1e-3},
            ),
            Reference(
                "pytorch_optimizer",
                "AdaBelief",
                {"lr": 0.01, "eps": 1e-3, "weight_decay": 0.5},
                {"learning_rate": 0.01, "epsilon": 1e-3, "weight_decay": 0.5},
            ),
        ),
        keras_has_no="AdaBelief",
    ),
]
