from dataclasses import dataclass, field

import numpy as np

from tests.oracles.case import EPSILON_FIRST, SEEN, Case, Corrected, Reference
from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class Adam(Oracle):
    """Kingma & Ba 2014, Algorithm 1; AMSGrad: Reddi, Kale & Kumar 2018 with bias correction."""

    learning_rate: float = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    amsgrad: bool = False

    def step(self, g, slots, t):
        m = self.beta_1 * slots.get("momentum", 0.0) + (1 - self.beta_1) * g
        v = self.beta_2 * slots.get("velocity", 0.0) + (1 - self.beta_2) * g**2
        slots = {**slots, "momentum": m, "velocity": v}
        if self.amsgrad:
            v = slots["velocity_max"] = np.maximum(slots.get("velocity_max", 0.0), v)
        m_hat = m / (1 - self.beta_1**t)
        v_hat = v / (1 - self.beta_2**t)
        return self.learning_rate * m_hat / (np.sqrt(v_hat) + self.epsilon), slots


@dataclass(frozen=True)
class AdamW(Adam):
    """Loshchilov & Hutter 2017, Algorithm 2."""

    weight_decay: float = field(default=0.01, kw_only=True)


@dataclass(frozen=True)
class OptaxAMSGrad(Oracle):
    """AMSGrad as optax defines it: the maximum is that of the corrected averages."""

    learning_rate: float = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def step(self, g, slots, t):
        m = self.beta_1 * slots.get("m", 0.0) + (1 - self.beta_1) * g
        v = self.beta_2 * slots.get("v", 0.0) + (1 - self.beta_2) * g**2
        v_max = np.maximum(slots.get("v_max", 0.0), v / (1 - self.beta_2**t))
        m_hat = m / (1 - self.beta_1**t)
        step = self.learning_rate * m_hat / (np.sqrt(v_max) + self.epsilon)
        return step, {"m": m, "v": v, "v_max": v_max}


CASES = [
    Case(
        "adam",
        "adam",
        Adam,
        references=(
            Reference(
                "keras",
                "Adam",
                {"learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 0.0},
                {"epsilon": 0.0},
                why=EPSILON_FIRST,
            ),
            Reference(
                "keras",
                "Adam",
                {"learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": SEEN},
                {"epsilon": Corrected(SEEN)},
                why=EPSILON_FIRST,
            ),
            Reference(
                "torch",
                "Adam",
                {"lr": 1e-3, "betas": (0.9, 0.999), "eps": SEEN},
                {"epsilon": SEEN},
            ),
            Reference(
                "optax",
                "adam",
                {"learning_rate": 1e-3, "b1": 0.9, "b2": 0.999, "eps": SEEN},
                {"epsilon": SEEN},
            ),
        ),
    ),
    Case(
        "amsgrad",
        "adam",
        Adam,
        {"amsgrad": True},
        references=(
            Reference(
                "keras",
                "Adam",
                {"learning_rate": 1e-3, "epsilon": 0.0, "beta_2": 0.9, "amsgrad": True},
                {"epsilon": 0.0, "beta_2": 0.9},
                why=EPSILON_FIRST,
            ),
            Reference(
                "keras",
                "Adam",
                {"learning_rate": 1e-3, "epsilon": SEEN, "beta_2": 0.9, "amsgrad": True},
                {"epsilon": Corrected(SEEN, 0.9), "beta_2": 0.9},
                why=EPSILON_FIRST,
            ),
            Reference(
                "torch",
                "Adam",
                {"lr": 1e-3, "betas": (0.9, 0.9), "eps": SEEN, "amsgrad": True},
                {"epsilon": SEEN, "beta_2": 0.9},
            ),
            Reference(
                "optax",
                "amsgrad",
                {"learning_rate": 1e-3, "b2": 0.9, "eps": SEEN, "bias_correction_nu": False},
                {
                    "learning_rate": Corrected(1e-3, 0.9),
                    "epsilon": Corrected(SEEN, 0.9),
                    "beta_2": 0.9,
                },
                why="corrects v before the maximum or not at all, never after it",
            ),
        ),
    ),
    Case(
        "adamw",
        "adamw",
        AdamW,
        references=(
            Reference(
                "keras",
                "AdamW",
                {"learning_rate": 0.01, "weight_decay": 0.5, "epsilon": 0.0},
                {"learning_rate": 0.01, "weight_decay": 0.5, "epsilon": 0.0},
                why=EPSILON_FIRST,
            ),
            Reference(
                "keras",
                "Adam",
                {"learning_rate": 0.01, "weight_decay": 0.5, "epsilon": SEEN},
                {"learning_rate": 0.01, "weight_decay": 0.5, "epsilon": Corrected(SEEN)},
                why=EPSILON_FIRST,
            ),
            Reference(
                "torch",
                "AdamW",
                {"lr": 0.01, "weight_decay": 0.5, "eps": SEEN},
                {"learning_rate": 0.01, "weight_decay": 0.5, "epsilon": SEEN},
            ),
            Reference("torch", "AdamW", {}),
            Reference(
                "optax",
                "adamw",
                {"learning_rate": 0.01, "weight_decay": 0.5, "eps": SEEN},
                {"learning_rate": 0.01, "weight_decay": 0.5, "epsilon": SEEN},
            ),
        ),
    ),
]
