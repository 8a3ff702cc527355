from dataclasses import dataclass

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
