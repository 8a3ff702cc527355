from dataclasses import dataclass

from tests.oracles.case import Case, Reference
from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class GradientDescent(Oracle):
    """Cauchy 1847."""

    learning_rate: float = 0.01

    def step(self, g, slots, t):
        return self.learning_rate * g, {}


CASES = [
    Case(
        "gradient_descent",
        "gradient_descent",
        GradientDescent,
        references=(
            Reference("keras", "SGD", {"learning_rate": 0.01}),
            Reference("torch", "SGD", {"lr": 0.01}),
            Reference("optax", "sgd", {"learning_rate": 0.01}),
            Reference(
                "pytorch_optimizer",
                "SGDW",
                {"lr": 0.1, "weight_decay": 0.5},
                {"learning_rate": 0.1, "weight_decay": 0.5},
            ),
        ),
    ),
]
