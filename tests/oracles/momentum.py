from dataclasses import dataclass

from tests.oracles.case import Case, Reference
from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class Momentum(Oracle):
    """The notes' moving average; Polyak 1964 (heavy ball); Sutskever et al. 2013 (Nesterov)."""

    learning_rate: float = 0.1
    beta: float = 0.9
    nesterov: bool = False
    heavy_ball: bool = False

    def step(self, g, slots, t):
        share = 1 if self.heavy_ball else 1 - self.beta
        m = self.beta * slots.get("momentum", 0.0) + share * g
        ahead = self.beta * m + share * g
        return self.learning_rate * (ahead if self.nesterov else m), {"momentum": m}


_SUM_OF_STEPS = "adds gradients up undamped, times η"

CASES = [
    Case(
        "momentum",
        "momentum",
        Momentum,
        references=(
            Reference("keras", "SGD", {"learning_rate": 0.01, "momentum": 0.9}, why=_SUM_OF_STEPS),
            Reference("torch", "SGD", {"lr": 0.01, "momentum": 0.9}, why=_SUM_OF_STEPS),
            Reference("optax", "sgd", {"learning_rate": 0.01, "momentum": 0.9}, why=_SUM_OF_STEPS),
            Reference("pytorch_optimizer", "QHM", {"lr": 0.1, "momentum": 0.9, "nu": 1.0}),
        ),
    ),
    Case(
        "momentum-nesterov",
        "momentum",
        Momentum,
        {"nesterov": True},
        references=(
            Reference(
                "keras",
                "SGD",
                {"learning_rate": 0.01, "momentum": 0.9, "nesterov": True},
                why=_SUM_OF_STEPS,
            ),
            Reference(
                "torch", "SGD", {"lr": 0.01, "momentum": 0.9, "nesterov": True}, why=_SUM_OF_STEPS
            ),
            Reference(
                "optax",
                "sgd",
                {"learning_rate": 0.01, "momentum": 0.9, "nesterov": True},
                why=_SUM_OF_STEPS,
            ),
            Reference("pytorch_optimizer", "QHM", {"lr": 0.1, "momentum": 0.9, "nu": 0.9}),
        ),
    ),
    Case(
        "heavy-ball",
        "momentum",
        Momentum,
        {"heavy_ball": True, "learning_rate": 0.01},
        references=(
            Reference("keras", "SGD", {"learning_rate": 0.01, "momentum": 0.9}),
            Reference("torch", "SGD", {"lr": 0.01, "momentum": 0.9}),
            Reference("optax", "sgd", {"learning_rate": 0.01, "momentum": 0.9}),
        ),
    ),
    Case(
        "heavy-ball-nesterov",
        "momentum",
        Momentum,
        {"heavy_ball": True, "nesterov": True},
        references=(
            Reference("keras", "SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
            Reference("torch", "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
            Reference("optax", "sgd", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
        ),
    ),
]
