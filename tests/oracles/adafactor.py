from dataclasses import dataclass

import numpy as np

from tests.oracles.case import Case, Reference
from tests.oracles.oracle import Oracle


def rms(x):
    return np.sqrt(np.mean(x**2))


@dataclass(frozen=True)
class Adafactor(Oracle):
    """Shazeer & Stern 2018, Algorithms 4 and 5; the last two axes of a tensor are factored."""

    learning_rate: float = 1e-2
    beta_1: float = 0.0
    decay_exponent: float = 0.8
    epsilon_1: float = 1e-30
    epsilon_2: float = 1e-3
    clip_threshold: float = 1.0
    relative_step: bool = True

    def update(self, w, g, slots, t):
        beta = 1 - t**-self.decay_exponent
        square = g**2 + self.epsilon_1
        if g.ndim > 1:
            rows = beta * slots.get("rows", 0.0) + (1 - beta) * square.mean(-1)
            columns = beta * slots.get("columns", 0.0) + (1 - beta) * square.mean(-2)
            v = np.einsum("...n,...m->...nm", rows, columns) / rows.mean(-1)[..., None, None]
        else:
            v = rows = beta * slots.get("rows", 0.0) + (1 - beta) * square
        u = g / np.sqrt(v)
        u = u / max(1.0, rms(u) / self.clip_threshold)
        rho = min(self.learning_rate, t**-0.5) if self.relative_step else self.learning_rate
        step = max(self.epsilon_2, rms(w)) * rho * u
        new = {"rows": rows, "columns": columns} if g.ndim > 1 else {"rows": rows}
        if self.beta_1:
            step = self.beta_1 * slots.get("momentum", 0.0) + (1 - self.beta_1) * step
            new["momentum"] = step
        return step, new


CASES = [
    Case(
        "adafactor",
        "adafactor",
        Adafactor,
        references=(
            Reference("keras", "Adafactor", {"learning_rate": 1e-2}),
            Reference(
                "keras",
                "Adafactor",
                {"learning_rate": 0.5, "clip_threshold": 0.5, "epsilon_2": 0.1},
                {"learning_rate": 0.5, "clip_threshold": 0.5, "epsilon_2": 0.1},
            ),
            Reference("torch", "Adafactor", {"lr": 1e-2, "eps": (1e-30, 1e-3)}),
            Reference(
                "torch",
                "Adafactor",
                {"lr": 0.1, "eps": (1e-30, 1e-3), "d": 1.1, "weight_decay": 0.5},
                {"learning_rate": 0.1, "clip_threshold": 1.1, "weight_decay": 0.5},
            ),
        ),
        fast=0.5,
    ),
    Case(
        "adafactor-momentum",
        "adafactor",
        Adafactor,
        {"beta_1": 0.9},
        references=(
            Reference(
                "optax",
                "adafactor",
                {"learning_rate": 1e-2, "min_dim_size_to_factor": 1, "momentum": 0.9},
                {"relative_step": False},
                why="leaves the learning rate to schedules",
            ),
        ),
        fast=0.5,
        keras_has_no="Adafactor with momentum",
    ),
]
