from dataclasses import dataclass, field

import numpy as np

from tests.oracles.case import SEEN, Case, Reference
from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class LAMB(Oracle):
    """You et al. 2019, Algorithm 2, with φ(z) = z."""

    learning_rate: float = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-6
    weight_decay: float = field(default=0.01, kw_only=True)

    def next(self, w, g, slots, t):
        m = self.beta_1 * slots.get("momentum", 0.0) + (1 - self.beta_1) * g
        v = self.beta_2 * slots.get("velocity", 0.0) + (1 - self.beta_2) * g**2
        m_hat, v_hat = m / (1 - self.beta_1**t), v / (1 - self.beta_2**t)
        u = m_hat / (np.sqrt(v_hat) + self.epsilon) + self.weight_decay * w
        size, length = np.linalg.norm(w), np.linalg.norm(u)
        trust = size / length if size and length else 1.0
        return w - self.learning_rate * trust * u, {"momentum": m, "velocity": v}


CASES = [
    Case(
        "lamb",
        "lamb",
        LAMB,
        references=(
            Reference(
                "keras",
                "Lamb",
                {"learning_rate": 0.01, "epsilon": SEEN},
                {"learning_rate": 0.01, "epsilon": SEEN, "weight_decay": 0.0},
                why="applies weight decay outside of the trust ratio",
            ),
            Reference(
                "optax",
                "lamb",
                {"learning_rate": 0.01, "eps": SEEN, "weight_decay": 0.5},
                {"learning_rate": 0.01, "epsilon": SEEN, "weight_decay": 0.5},
            ),
        ),
    ),
]
