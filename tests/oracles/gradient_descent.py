from dataclasses import dataclass

from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class GradientDescent(Oracle):
    """Cauchy 1847."""

    learning_rate: float = 0.01

    def step(self, g, slots, t):
        return self.learning_rate * g, {}
