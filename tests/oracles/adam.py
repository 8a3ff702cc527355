from dataclasses import dataclass, field

import numpy as np

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
