from dataclasses import dataclass

import numpy as np

from tests.oracles.case import Case, Reference
from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class LARS(Oracle):
    """You, Gitman & Ginsburg 2017, Algorithm 1, for a constant rate; zeros move by the rate."""

    learning_rate: float = 0.1
    momentum: float = 0.9
    trust_coefficient: float = 1e-3

    def next(self, w, g, slots, t):
        size = np.linalg.norm(w)
        slope = np.linalg.norm(g) + self.weight_decay * size
        local = self.trust_coefficient * size / slope if size and slope else 1.0
        m = self.momentum * slots.get("momentum", 0.0)
        m = m + local * (g + self.weight_decay * w)
        return w - self.learning_rate * m, {"momentum": m}


CASES = [
    Case(
        "lars",
        "lars",
        LARS,
        references=(
            Reference("optax", "lars", {"learning_rate": 0.1}),
            Reference(
                "optax",
                "lars",
                {"learning_rate": 0.5, "trust_coefficient": 0.1, "momentum": 0.5},
                {"learning_rate": 0.5, "trust_coefficient": 0.1, "momentum": 0.5},
            ),
        ),
        keras_has_no="LARS",
        fast=100.0,
    ),
]
