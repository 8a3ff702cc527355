from dataclasses import dataclass

import numpy as np

from tests.oracles.case import SEEN, Case, Reference
from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class AdaBound(Oracle):
    """Luo, Xiong, Liu & Sun 2019, with the bias correction and ε of its authors' experiments."""

    learning_rate: float = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    final_learning_rate: float = 0.1
    gamma: float = 1e-3
    epsilon: float = 1e-8
    amsbound: bool = False

    def step(self, g, slots, t):
        m = self.beta_1 * slots.get("momentum", 0.0) + (1 - self.beta_1) * g
        v = self.beta_2 * slots.get("velocity", 0.0) + (1 - self.beta_2) * g**2
        slots = {**slots, "momentum": m, "velocity": v}
        if self.amsbound:
            v = slots["velocity_max"] = np.maximum(slots.get("velocity_max", 0.0), v)
        corrected = self.learning_rate * np.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        lower = self.final_learning_rate * (1 - 1 / (self.gamma * t + 1))
        upper = self.final_learning_rate * (1 + 1 / (self.gamma * t))
        return np.clip(corrected / (np.sqrt(v) + self.epsilon), lower, upper) * m, slots


CASES = [
    Case(
        "adabound",
        "adabound",
        AdaBound,
        references=(
            Reference(
                "pytorch_optimizer",
                "AdaBound",
                {"lr": 1e-3, "final_lr": 0.1, "gamma": 1e-3, "eps": SEEN},
                {"epsilon": SEEN},
            ),
            Reference(
                "pytorch_optimizer",
                "AdaBound",
                {"lr": 1e-3, "final_lr": 1e-3, "gamma": 0.1, "eps": 1e-8, "weight_decay": 0.5},
                {"final_learning_rate": 1e-3, "gamma": 0.1, "weight_decay": 0.5},
            ),
        ),
        keras_has_no="AdaBound",
    ),
    Case(
        "amsbound",
        "adabound",
        AdaBound,
        {"amsbound": True},
        references=(
            Reference(
                "pytorch_optimizer",
                "AdaBound",
                {
                    "lr": 1e-3,
                    "betas": (0.9, 0.9),
                    "final_lr": 1e-2,
                    "gamma": 0.1,
                    "eps": SEEN,
                    "ams_bound": True,
                },
                {"beta_2": 0.9, "final_learning_rate": 1e-2, "gamma": 0.1, "epsilon": SEEN},
            ),
        ),
        keras_has_no="AdaBound",
    ),
]
