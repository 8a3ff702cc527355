from dataclasses import dataclass

import numpy as np

from tests.oracles.case import Case, Reference
from tests.oracles.oracle import Oracle


def newton_schulz(x, steps):
    """Jordan et al. 2024: five steps of a quintic that ends near the orthogonal factor."""
    if x.shape[0] > x.shape[1]:
        return newton_schulz(x.T, steps).T
    x = x / (np.linalg.norm(x) + 1e-7)
    for _ in range(steps):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x


@dataclass(frozen=True)
class Muon(Oracle):
    """Jordan et al. 2024; with `match_rms` Liu et al. 2025. Vectors are left to Adam."""

    learning_rate: float = 2e-2
    momentum: float = 0.95
    nesterov: bool = True
    match_rms: bool = False
    steps: int = 5
    adam_ratio: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def step(self, g, slots, t):
        if g.ndim < 2:
            m = self.beta_1 * slots.get("momentum", 0.0) + (1 - self.beta_1) * g
            v = self.beta_2 * slots.get("velocity", 0.0) + (1 - self.beta_2) * g**2
            m_hat, v_hat = m / (1 - self.beta_1**t), v / (1 - self.beta_2**t)
            step = self.adam_ratio * m_hat / (np.sqrt(v_hat) + self.epsilon)
            return self.learning_rate * step, {"momentum": m, "velocity": v}
        m = self.momentum * slots.get("momentum", 0.0) + (1 - self.momentum) * g
        ahead = self.momentum * m + (1 - self.momentum) * g if self.nesterov else m
        inputs, outputs = g.size // g.shape[-1], g.shape[-1]
        direction = newton_schulz(ahead.reshape(inputs, outputs), self.steps)
        scale = max(1, outputs / inputs) ** 0.5
        if self.match_rms:
            scale = 0.2 * max(inputs, outputs) ** 0.5
        if self.magnitudes_only:  # a number is as uncertain as the largest that it may be
            direction = np.ones_like(direction)
        step = self.learning_rate * scale * direction.reshape(g.shape)
        return step, {"momentum": m}


CASES = [
    Case(
        "muon",
        "muon",
        Muon,
        references=(
            Reference(
                "keras",
                "Muon",
                {"learning_rate": 0.02, "weight_decay": 0.5},
                {"match_rms": True, "weight_decay": 0.5},
            ),
            Reference(
                "torch",
                "Muon",
                {"lr": 0.02, "weight_decay": 0.5, "adjust_lr_fn": "match_rms_adamw"},
                {"match_rms": True, "weight_decay": 0.5},
                why="rounds the iteration to bfloat16; here it is told not to",
            ),
        ),
        tolerance=1e-4,
        fast=0.3,
    ),
    Case(
        "muon-without-nesterov",
        "muon",
        Muon,
        {"nesterov": False},
        references=(
            Reference(
                "optax.contrib",
                "muon",
                {"learning_rate": 0.02, "nesterov": False, "weight_decay": 0.5},
                {"weight_decay": 0.5},
            ),
            Reference(
                "keras",
                "Muon",
                {"learning_rate": 0.02, "nesterov": False, "weight_decay": 0.5},
                {"match_rms": True, "weight_decay": 0.5},
            ),
        ),
        tolerance=1e-4,
        fast=0.3,
    ),
]
