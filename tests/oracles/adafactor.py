from dataclasses import dataclass

import numpy as np

from tests.oracles.oracle import Oracle


def rms(x):
    return np.sqrt(np.mean(x**2))


@dataclass(frozen=True)
class Adafactor(Oracle):
    """Shazeer & Stern 2018, Algorithms 4 and 5; the last two axes of a tensor are factored."""

    learning_rate: float = 1e-2
    beta_1: float = 0.0
    decay_exponent: float = 0.8
    epsilon_1: float = 1e-30
    epsilon_2: float = 1e-3
    clip_threshold: float = 1.0
    relative_step: bool = True

    def update(self, w, g, slots, t):
        beta = 1 - t**-self.decay_exponent
        square = g**2 + self.epsilon_1
        if g.ndim > 1:
            rows = beta * slots.get("rows", 0.0) + (1 - beta) * square.mean(-1)
            columns = beta * slots.get("columns", 0.0) + (1 - beta) * square.mean(-2)
            v = np.einsum("...n,...m->...nm", rows, columns) / rows.mean(-1)[..., None, None]
        else:
            v = rows = beta * slots.get("rows", 0.0) + (1 - beta) * square
        u = g / np.sqrt(v)
        u = u / max(1.0, rms(u) / self.clip_threshold)
        rho = min(self.learning_rate, t**-0.5) if self.relative_step else self.learning_rate
        step = max(self.epsilon_2, rms(w)) * rho * u
        new = {"rows": rows, "columns": columns} if g.ndim > 1 else {"rows": rows}
        if self.beta_1:
            step = self.beta_1 * slots.get("momentum", 0.0) + (1 - self.beta_1) * step
            new["momentum"] = step
        return step, new
