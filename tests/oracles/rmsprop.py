from dataclasses import dataclass

import numpy as np

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
