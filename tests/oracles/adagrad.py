from dataclasses import dataclass

import numpy as np

from tests.oracles.case import EPSILON_INSIDE, SEEN, Case, Reference
from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class Adagrad(Oracle):
    """Duchi, Hazan & Singer 2011, diagonal form."""

    learning_rate: float = 0.01
    initial_accumulator_value: float = 0.0
    epsilon: float = 1e-8

    def step(self, g, slots, t):
        s = slots.get("accumulator", self.initial_accumulator_value) + g**2
        return self.learning_rate * g / (np.sqrt(s) + self.epsilon), {"accumulator": s}


CASES = [
    Case(
        "adagrad",
        "adagrad",
        Adagrad,
        references=(
            Reference(
                "keras",
                "Adagrad",
                {"learning_rate": 0.01, "initial_accumulator_value": 0.0, "epsilon": 0.0},
                {"epsilon": 0.0},
                why=EPSILON_INSIDE,
            ),
            Reference("torch", "Adagrad", {"lr": 0.01, "eps": SEEN}, {"epsilon": SEEN}),
        ),
    ),
    Case(
        "adagrad-from-0.1",
        "adagrad",
        Adagrad,
        {"initial_accumulator_value": 0.1},
        references=(
            Reference(
                "keras",
                "Adagrad",
                {"learning_rate": 0.01, "initial_accumulator_value": 0.1, "epsilon": 0.0},
                {"epsilon": 0.0},
                why=EPSILON_INSIDE,
            ),
            Reference(
                "torch",
                "Adagrad",
                {"lr": 0.01, "initial_accumulator_value": 0.1, "eps": SEEN},
                {"epsilon": SEEN},
            ),
            Reference(
                "optax",
                "adagrad",
                {"learning_rate": 0.01, "initial_accumulator_value": 0.1, "eps": 0.0},
                {"epsilon": 0.0},
                why=EPSILON_INSIDE,
            ),
        ),
    ),
]
