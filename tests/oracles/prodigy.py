from dataclasses import dataclass

import numpy as np

from tests.oracles.case import Case, Reference
from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class Prodigy(Oracle):
    """Mishchenko & Defazio 2023, Algorithm 4, of one weight; its sums as shares of the first d."""

    shared = ("distance", "progress")

    learning_rate: float = 1.0
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    initial_distance: float = 1e-6

    def next(self, w, g, slots, t):
        d = slots.get("distance", self.initial_distance)
        start = slots["start"] if t > 1 else w
        memory, share = np.sqrt(self.beta_2), self.learning_rate * d**2 / self.initial_distance
        way = self.difference(start, w) if t > 1 else np.zeros_like(w)
        r = memory * slots.get("progress", 0.0) + (1 - memory) * share * np.sum(g * way)
        s = memory * slots.get("gradients", 0.0) + (1 - memory) * share * g
        m = self.beta_1 * slots.get("momentum", 0.0) + (1 - self.beta_1) * d * g
        v = self.beta_2 * slots.get("velocity", 0.0) + (1 - self.beta_2) * (d * g) ** 2
        size = np.sqrt(v) + d * self.epsilon
        step = d * np.divide(m, size, out=np.zeros_like(m), where=size > 0)
        length = np.sum(np.abs(s))
        new_d = max(d, r / length if length else 0.0)
        w = w - self.learning_rate * (step + d * self.weight_decay * w)
        slots = {"momentum": m, "velocity": v, "gradients": s, "start": start}
        return w, {**slots, "distance": new_d, "progress": r}


CASES = [
    Case(
        "prodigy",
        "prodigy",
        Prodigy,
        {"initial_distance": 0.1},
        references=(
            Reference("prodigyopt", "Prodigy", {"lr": 1.0}, {"initial_distance": 1e-6}),
            Reference(
                "prodigyopt",
                "Prodigy",
                {"lr": 0.5, "d0": 1e-2, "betas": (0.8, 0.99), "weight_decay": 0.5},
                {
                    "learning_rate": 0.5,
                    "initial_distance": 1e-2,
                    "beta_1": 0.8,
                    "beta_2": 0.99,
                    "weight_decay": 0.5,
                },
            ),
        ),
        keras_has_no="Prodigy",
        fast=1.0,
    ),
]
