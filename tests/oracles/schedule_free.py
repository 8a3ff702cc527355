from dataclasses import dataclass

import numpy as np

from tests.oracles.case import SEEN, Case, Reference
from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class ScheduleFree(Oracle):
    """Defazio et al. 2024, with y as the weight."""

    shared = ("weight_sum", "largest_rate")

    def share(self, slots, t):
        eta = self.learning_rate * (min(t / self.warmup, 1) if self.warmup else 1)
        largest = max(slots.get("largest_rate", 0.0), eta)
        total = slots.get("weight_sum", 0.0) + largest**2
        return eta, largest**2 / total, {"largest_rate": largest, "weight_sum": total}

    def next(self, w, g, slots, t):
        eta, c, shared = self.share(slots, t)
        z = slots["fast"] if t > 1 else w
        direction, own = self.direction(g, slots, t)
        direction = direction + self.weight_decay * w
        beta = self.beta
        if self.magnitudes_only:
            y = w + c * (w + z) + (1 + beta) * eta * np.abs(direction)
            return y, {**own, **shared, "fast": z + eta * np.abs(direction)}
        x = w + (1 - 1 / beta) * (z - w)  # from y = (1 − β) z + β x
        z = z - eta * direction
        x = (1 - c) * x + c * z
        return (1 - beta) * z + beta * x, {**own, **shared, "fast": z}


@dataclass(frozen=True)
class ScheduleFreeSGD(ScheduleFree):
    """Section 4.1."""

    learning_rate: float = 1.0
    momentum: float = 0.9
    warmup: float = 0.0

    @property
    def beta(self):
        return self.momentum

    def direction(self, g, slots, t):
        return g, {}


@dataclass(frozen=True)
class ScheduleFreeAdamW(ScheduleFree):
    """Algorithm 1."""

    learning_rate: float = 2.5e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    warmup: float = 0.0

    @property
    def beta(self):
        return self.beta_1

    def direction(self, g, slots, t):
        v = self.beta_2 * slots.get("velocity", 0.0) + (1 - self.beta_2) * g**2
        return g / (np.sqrt(v / (1 - self.beta_2**t)) + self.epsilon), {"velocity": v}


CASES = [
    Case(
        "schedule_free_sgd",
        "schedule_free_sgd",
        ScheduleFreeSGD,
        {"learning_rate": 0.1},
        references=(
            Reference("schedulefree", "SGDScheduleFreeReference", {"lr": 0.1}),
            Reference(
                "schedulefree",
                "SGDScheduleFree",
                {"lr": 0.1, "momentum": 0.5, "warmup_steps": 5, "weight_decay": 0.5},
                {"momentum": 0.5, "warmup": 5.0, "weight_decay": 0.5},
            ),
        ),
        keras_has_no="ScheduleFreeSGD",
        fast=1.0,
    ),
    Case(
        "schedule_free_adamw",
        "schedule_free_adamw",
        ScheduleFreeAdamW,
        references=(
            Reference(
                "schedulefree",
                "AdamWScheduleFreeReference",
                {"lr": 2.5e-3, "eps": SEEN},
                {"epsilon": SEEN},
            ),
            Reference(
                "schedulefree",
                "AdamWScheduleFree",
                {"lr": 0.01, "betas": (0.5, 0.9), "warmup_steps": 5, "weight_decay": 0.5},
                {
                    "learning_rate": 0.01,
                    "beta_1": 0.5,
                    "beta_2": 0.9,
                    "warmup": 5.0,
                    "weight_decay": 0.5,
                },
            ),
        ),
        fast=0.2,
        keras_has_no="ScheduleFreeAdamW that averages",
    ),
]
