from dataclasses import dataclass
from decimal import Decimal, localcontext

import numpy as np

from tests.oracles.case import EPSILON_FIRST, SEEN, Case, Corrected, Reference
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


_LATER = "scales from ρ > 5 on"

CASES = [
    Case(
        "radam",
        "radam",
        RAdam,
        references=(
            Reference(
                "torch",
                "RAdam",
                {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 0.0},
                {"threshold": 5.0, "epsilon": 0.0},
                why=f"{_LATER}; {EPSILON_FIRST}",
            ),
            Reference(
                "torch",
                "RAdam",
                {"lr": 1e-3, "betas": (0.9, 0.999), "eps": SEEN},
                {"threshold": 5.0, "epsilon": Corrected(SEEN)},
                why=f"{_LATER}; {EPSILON_FIRST}",
            ),
            Reference(
                "optax",
                "radam",
                {"learning_rate": 1e-3, "eps": SEEN},
                {"threshold": 5.0, "epsilon": SEEN},
                why=_LATER,
            ),
            Reference(
                "optax",
                "radam",
                {"learning_rate": 1e-3, "eps": SEEN, "threshold": 4.0},
                {"epsilon": SEEN},
            ),
            Reference(
                "pytorch_optimizer",
                "RAdam",
                {"lr": 1e-3, "n_sma_threshold": 4, "degenerated_to_sgd": True, "eps": SEEN},
                {"epsilon": Corrected(SEEN)},
                why=f"takes no step at all before it scales, unless told to; {EPSILON_FIRST}",
            ),
        ),
        keras_has_no="RAdam",
    ),
]
