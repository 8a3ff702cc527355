from dataclasses import dataclass

import numpy as np

from tests.oracles.case import Case, Reference
from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class ADOPT(Oracle):
    """Taniguchi et al. 2024, Algorithm 2 with clipping; its step 0 is step 1 here."""

    learning_rate: float = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.9999
    epsilon: float = 1e-6

    def step(self, g, slots, t):
        if t == 1:
            return np.zeros_like(g), {"momentum": np.zeros_like(g), "velocity": g**2}
        limit = (t - 1) ** 0.25
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = g / np.maximum(np.sqrt(slots["velocity"]), self.epsilon)
        scaled = np.clip(np.where(g == 0, 0.0, scaled), -limit, limit)
        m = self.beta_1 * slots["momentum"] + (1 - self.beta_1) * scaled
        v = self.beta_2 * slots["velocity"] + (1 - self.beta_2) * g**2
        return self.learning_rate * m, {"momentum": m, "velocity": v}


CASES = [
    Case(
        "adopt",
        "adopt",
        ADOPT,
        references=(
            Reference(
                "optax.contrib", "adopt", {"learning_rate": 1e-3, "eps": 1.0}, {"epsilon": 1.0}
            ),
            Reference(
                "optax.contrib", "adopt", {"learning_rate": 1e-3, "b2": 0.5}, {"beta_2": 0.5}
            ),
            Reference(
                "pytorch_optimizer",
                "ADOPT",
                {"lr": 1e-3, "clip_lambda": lambda step: (step - 1) ** 0.25},
                why="counts the clip from its first gradient, which takes no step",
            ),
        ),
        keras_has_no="ADOPT",
        fast=0.5,
    ),
]
