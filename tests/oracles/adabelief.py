from dataclasses import dataclass

import numpy as np

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
