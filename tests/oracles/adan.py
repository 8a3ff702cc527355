from dataclasses import dataclass

import numpy as np

from tests.oracles.case import SEEN, Case, Reference
from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class Adan(Oracle):
    """Xie et al. 2022, Algorithm 1 with β for its 1 − β, and its authors' bias correction."""

    learning_rate: float = 1e-3
    beta_1: float = 0.98
    beta_2: float = 0.92
    beta_3: float = 0.99
    epsilon: float = 1e-8

    def step(self, g, slots, t):
        change = self.difference(g, slots["previous"]) if t > 1 else np.zeros_like(g)
        m = self.beta_1 * slots.get("momentum", 0.0) + (1 - self.beta_1) * g
        v = self.beta_2 * slots.get("difference", 0.0) + (1 - self.beta_2) * change
        n = self.beta_3 * slots.get("velocity", 0.0)
        n = n + (1 - self.beta_3) * (g + self.beta_2 * change) ** 2
        m_hat, v_hat = m / (1 - self.beta_1**t), v / (1 - self.beta_2**t)
        n_hat = n / (1 - self.beta_3**t)
        step = (m_hat + self.beta_2 * v_hat) / (np.sqrt(n_hat) + self.epsilon)
        slots = {"momentum": m, "difference": v, "velocity": n, "previous": g}
        return self.learning_rate * step, slots


CASES = [
    Case(
        "adan",
        "adan",
        Adan,
        references=(
            Reference("pytorch_optimizer", "Adan", {"lr": 1e-3, "eps": SEEN}, {"epsilon": SEEN}),
            Reference(
                "pytorch_optimizer",
                "Adan",
                {"lr": 0.01, "weight_decay": 0.5, "weight_decouple": True},
                {"learning_rate": 0.01, "weight_decay": 0.5},
            ),
            Reference(
                "optax",
                "adan",
                {"learning_rate": 1e-3, "b2": 0.5, "eps": SEEN, "eps_root": 0.0},
                {"beta_2": 0.5, "epsilon": SEEN},
                why="weighs the change of the gradient by 1 − β₂ where the paper weighs it by β₂",
            ),
        ),
        keras_has_no="Adan",
    ),
]
