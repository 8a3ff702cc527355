import math
from dataclasses import dataclass

import numpy as np

from tests.oracles.case import SEEN, Case, Reference
from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class AdEMAMix(Oracle):
    """Pagliardini, Ablin & Grangier 2024, Algorithm 1 with schedulers of the same length."""

    learning_rate: float = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    beta_3: float = 0.9999
    alpha: float = 5.0
    warmup: float = 0.0
    epsilon: float = 1e-8

    def alpha_at(self, t):
        return min(t * self.alpha / self.warmup, self.alpha) if self.warmup else self.alpha

    def beta_3_at(self, t):
        if t >= self.warmup:
            return self.beta_3
        start, end, risen = math.log(self.beta_1), math.log(self.beta_3), t / self.warmup
        return min(math.exp(start * end / ((1 - risen) * end + risen * start)), self.beta_3)

    def step(self, g, slots, t):
        beta_3 = self.beta_3_at(t)
        m = self.beta_1 * slots.get("momentum", 0.0) + (1 - self.beta_1) * g
        slow = beta_3 * slots.get("slow_momentum", 0.0) + (1 - beta_3) * g
        v = self.beta_2 * slots.get("velocity", 0.0) + (1 - self.beta_2) * g**2
        m_hat, v_hat = m / (1 - self.beta_1**t), v / (1 - self.beta_2**t)
        step = (m_hat + self.alpha_at(t) * slow) / (np.sqrt(v_hat) + self.epsilon)
        return self.learning_rate * step, {"momentum": m, "slow_momentum": slow, "velocity": v}


CASES = [
    Case(
        "ademamix",
        "ademamix",
        AdEMAMix,
        references=(
            Reference(
                "optax.contrib",
                "ademamix",
                {"learning_rate": 1e-3, "b3": 0.9, "eps": SEEN, "weight_decay": 0.5},
                {"beta_3": 0.9, "epsilon": SEEN, "weight_decay": 0.5},
            ),
            Reference(
                "pytorch_optimizer",
                "AdEMAMix",
                {"lr": 1e-3, "betas": (0.9, 0.999, 0.99), "t_alpha_beta3": 8.0, "eps": SEEN},
                {"beta_3": 0.99, "warmup": 8.0, "epsilon": SEEN},
            ),
        ),
        keras_has_no="AdEMAMix",
    ),
]
