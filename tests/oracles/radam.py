from dataclasses import dataclass
from decimal import Decimal, localcontext

import numpy as np

from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class RAdam(Oracle):
    """Liu et al. 2019, Algorithm 2, with Adam's ε; the paper rectifies from ρ > 4 on."""

    learning_rate: float = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    threshold: float = 4.0

    def step(self, g, slots, t):
        m = self.beta_1 * slots.get("momentum", 0.0) + (1 - self.beta_1) * g
        v = self.beta_2 * slots.get("velocity", 0.0) + (1 - self.beta_2) * g**2
        slots = {"momentum": m, "velocity": v}
        m_hat = m / (1 - self.beta_1**t)
        rho, rho_max = self.gradients_seen(t)
        if rho <= max(self.threshold, 4.0):
            return self.learning_rate * m_hat, slots
        r = np.sqrt((rho - 4) * (rho - 2) * rho_max / ((rho_max - 4) * (rho_max - 2) * rho))
        v_hat = v / (1 - self.beta_2**t)
        return self.learning_rate * r * m_hat / (np.sqrt(v_hat) + self.epsilon), slots

    def gradients_seen(self, t):
        # In 50 digits: the difference of two numbers near 2/(1 − β) has few even in float64.
        with localcontext(prec=50):
            beta = Decimal(str(self.beta_2))
            rho_max = 2 / (1 - beta) - 1
            rho = rho_max - 2 * t * beta**t / (1 - beta**t)
        return float(rho), float(rho_max)
