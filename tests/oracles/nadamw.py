from dataclasses import dataclass, field

import numpy as np

from tests.oracles.case import SEEN, Case, Reference
from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class NAdamW(Oracle):
    """Dozat 2016, Algorithm 2 with a constant μ; decay as in Loshchilov & Hutter 2017."""

    learning_rate: float = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = field(default=0.01, kw_only=True)

    def step(self, g, slots, t):
        m = self.beta_1 * slots.get("momentum", 0.0) + (1 - self.beta_1) * g
        v = self.beta_2 * slots.get("velocity", 0.0) + (1 - self.beta_2) * g**2
        m_bar = self.beta_1 * m / (1 - self.beta_1 ** (t + 1))
        m_bar = m_bar + (1 - self.beta_1) * g / (1 - self.beta_1**t)
        step = self.learning_rate * m_bar / (np.sqrt(v / (1 - self.beta_2**t)) + self.epsilon)
        return step, {"momentum": m, "velocity": v}


@dataclass(frozen=True)
class AlgoPerfNAdamW(NAdamW):
    """The baseline of AlgoPerf: both terms are divided by 1 − β₁ᵗ."""

    def step(self, g, slots, t):
        m = self.beta_1 * slots.get("momentum", 0.0) + (1 - self.beta_1) * g
        v = self.beta_2 * slots.get("velocity", 0.0) + (1 - self.beta_2) * g**2
        m_bar = (self.beta_1 * m + (1 - self.beta_1) * g) / (1 - self.beta_1**t)
        step = self.learning_rate * m_bar / (np.sqrt(v / (1 - self.beta_2**t)) + self.epsilon)
        return step, {"momentum": m, "velocity": v}


CASES = [
    Case(
        "nadamw",
        "nadamw",
        NAdamW,
        references=(
            Reference(
                "optax",
                "nadamw",
                {"learning_rate": 0.01, "weight_decay": 0.5, "eps": SEEN},
                {"learning_rate": 0.01, "weight_decay": 0.5, "epsilon": SEEN},
            ),
            Reference(
                "torch",
                "NAdam",
                {
                    "lr": 1e-3,
                    "eps": SEEN,
                    "momentum_decay": 1e6,
                    "weight_decay": 0.01,
                    "decoupled_weight_decay": True,
                },
                {"epsilon": SEEN},
                why="has a schedule, which is over before it begins where it is as fast",
            ),
        ),
        keras_has_no="NAdamW",
    ),
]
