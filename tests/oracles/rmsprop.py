from dataclasses import dataclass

import numpy as np

from tests.oracles.case import EPSILON_INSIDE, SEEN, Case, Reference
from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class RMSprop(Oracle):
    """Tieleman & Hinton 2012, lecture 6.5; centered: Graves 2013, equations 38-45."""

    learning_rate: float = 1e-3
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-8
    centered: bool = False

    def step(self, g, slots, t):
        v = self.rho * slots.get("velocity", 0.0) + (1 - self.rho) * g**2
        slots = {**slots, "velocity": v}
        if self.centered:
            a = self.rho * slots.get("average", 0.0) + (1 - self.rho) * g
            slots["average"] = a
            v = v - a**2
        step = g / (np.sqrt(v) + self.epsilon)
        if self.momentum:
            step = self.momentum * slots.get("momentum", 0.0) + step
            slots["momentum"] = step
        return self.learning_rate * step, slots


CASES = [
    Case(
        "rmsprop",
        "rmsprop",
        RMSprop,
        references=(
            Reference(
                "keras",
                "RMSprop",
                {"learning_rate": 1e-3, "rho": 0.9, "epsilon": 0.0},
                {"epsilon": 0.0},
                why=EPSILON_INSIDE,
            ),
            Reference(
                "torch", "RMSprop", {"lr": 1e-3, "alpha": 0.9, "eps": SEEN}, {"epsilon": SEEN}
            ),
            Reference(
                "optax",
                "rmsprop",
                {"learning_rate": 1e-3, "decay": 0.9, "eps": SEEN, "eps_in_sqrt": False},
                {"epsilon": SEEN},
            ),
        ),
    ),
    Case(
        "rmsprop-momentum",
        "rmsprop",
        RMSprop,
        {"momentum": 0.9},
        references=(
            Reference(
                "keras",
                "RMSprop",
                {"learning_rate": 1e-3, "rho": 0.9, "momentum": 0.9, "epsilon": 0.0},
                {"epsilon": 0.0},
                why=EPSILON_INSIDE,
            ),
            Reference(
                "torch",
                "RMSprop",
                {"lr": 1e-3, "alpha": 0.9, "momentum": 0.9, "eps": SEEN},
                {"epsilon": SEEN},
            ),
            Reference(
                "optax",
                "rmsprop",
                {
                    "learning_rate": 1e-3,
                    "decay": 0.9,
                    "momentum": 0.9,
                    "eps": SEEN,
                    "eps_in_sqrt": False,
                },
                {"epsilon": SEEN},
            ),
        ),
    ),
    Case(
        "rmsprop-centered",
        "rmsprop",
        RMSprop,
        {"centered": True},
        references=(
            Reference(
                "keras",
                "RMSprop",
                {"learning_rate": 1e-3, "rho": 0.9, "centered": True, "epsilon": 0.0},
                {"epsilon": 0.0},
                why=EPSILON_INSIDE,
            ),
            Reference(
                "torch",
                "RMSprop",
                {"lr": 1e-3, "alpha": 0.9, "momentum": 0.8, "centered": True, "eps": SEEN},
                {"epsilon": SEEN, "momentum": 0.8},
            ),
            Reference(
                "optax",
                "rmsprop",
                {
                    "learning_rate": 1e-3,
                    "decay": 0.9,
                    "eps": SEEN,
                    "eps_in_sqrt": False,
                    "centered": True,
                },
                {"epsilon": SEEN},
            ),
        ),
    ),
]
