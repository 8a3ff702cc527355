from dataclasses import dataclass

import numpy as np

from tests.oracles.case import Case, Reference
from tests.oracles.kronecker import multiplied, packed, squares, unpacked, without_single
from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class Shampoo(Oracle):
    """Gupta et al. 2018, Algorithm 2 (with `sums`); Shi et al. 2023, Algorithm 2, with the relative
    ε of Anil et al. 2020. Not in blocks."""

    learning_rate: float = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-6
    graft_epsilon: float = 1e-8
    precondition_every: int = 100
    grafting: str = "adam"
    sums: bool = False

    def step(self, g, slots, t):
        m = self.beta_1 * slots.get("momentum", 0.0) + (1 - self.beta_1) * g
        m_hat = m / (1 - self.beta_1**t)
        step, new = m_hat, {"momentum": m}
        if g.ndim < 2 or self.grafting == "adam":
            v = self.beta_2 * slots.get("velocity", 0.0) + (1 - self.beta_2) * g**2
            step = m_hat / (np.sqrt(v / (1 - self.beta_2**t)) + self.graft_epsilon)
            new["velocity"] = v
        if g.ndim < 2:
            return self.learning_rate * step, new
        x = without_single(g)
        share = 1 if self.sums else 1 - self.beta_2
        memory = 1 if self.sums else self.beta_2
        statistics = memory * slots.get("statistics", 0.0) + share * packed(squares(x))
        roots = slots.get("roots")
        if t % self.precondition_every == 0:
            seen = statistics if self.sums else statistics / (1 - self.beta_2**t)
            power = 2 * x.ndim
            roots = packed([self.root(matrix, power) for matrix in unpacked(seen, x.shape)])
        if t >= self.precondition_every:
            parts = unpacked(roots, x.shape)
            own = multiplied(without_single(m_hat), parts).reshape(g.shape)
            if self.magnitudes_only:  # a number is as uncertain as the largest that it may be
                longest = np.prod([np.linalg.norm(part) for part in parts])
                own = np.full(g.shape, longest * np.linalg.norm(m_hat))
            if self.grafting != "none":
                own = own * np.linalg.norm(step) / np.linalg.norm(own)
            step = own
        roots = np.zeros_like(statistics) if roots is None else roots
        return self.learning_rate * step, {**new, "statistics": statistics, "roots": roots}

    def root(self, matrix, power):
        if self.magnitudes_only:
            floor = self.epsilon * (1 if self.sums else np.trace(matrix) / len(matrix))
            return np.full_like(matrix, (floor or 1.0) ** (-1 / power))
        values, vectors = np.linalg.eigh(matrix)
        values = values + self.epsilon * (1 if self.sums else values[-1])
        return vectors * values ** (-1 / power) @ vectors.T


# Roots and eigenvectors are the more uncertain the nearer to singular their matrix is; these
# rows keep away from that.
CASES = [
    Case(
        "shampoo",
        "shampoo",
        Shampoo,
        {"precondition_every": 2, "epsilon": 1e-3},
        references=(
            Reference(
                "pytorch_optimizer",
                "ScalableShampoo",
                {
                    "lr": 1e-3,
                    "betas": (0.0, 0.9),
                    "start_preconditioning_step": 2,
                    "preconditioning_compute_steps": 2,
                    "shape_interpretation": False,
                    "graft_type": 1,
                    "nesterov": False,
                    "matrix_eps": 0.0,
                    "use_svd": True,
                },
                {"beta_1": 0.0, "beta_2": 0.9, "epsilon": 0.0, "grafting": "momentum"},
                why="applies momentum after P and Q, and grafts from a v that it does not correct",
            ),
        ),
        keras_has_no="Shampoo",
        tolerance=1e-4,
        decades=(0, 0),
    ),
    Case(
        "shampoo-of-2018",
        "shampoo",
        Shampoo,
        {
            "precondition_every": 1,
            "epsilon": 1e-2,
            "grafting": "none",
            "sums": True,
            "beta_1": 0.0,
        },
        references=(
            Reference(
                "pytorch_optimizer",
                "Shampoo",
                {"lr": 1e-3, "matrix_eps": 1e-2},
            ),
        ),
        keras_has_no="Shampoo",
        tolerance=1e-4,
        decades=(0, 0),
    ),
]
