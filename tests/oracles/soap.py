from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from tests.oracles.case import Case, Reference
from tests.oracles.kronecker import multiplied, packed, squares, unpacked, without_single
from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class SOAP(Oracle):
    """Vyas et al. 2024, Algorithm 3 with bias correction; the authors' code skips step 1."""

    undetermined: ClassVar[tuple[str, ...]] = ("bases",)

    learning_rate: float = 3e-3
    beta_1: float = 0.95
    beta_2: float = 0.95
    epsilon: float = 1e-8
    precondition_every: int = 10
    max_dimension: int = 10_000
    weight_decay: float = field(default=0.01, kw_only=True)

    def step(self, g, slots, t):
        x = without_single(g)
        lengths = [] if g.ndim < 2 else [n for n in x.shape if n <= self.max_dimension]
        rotates = [g.ndim > 1 and n <= self.max_dimension for n in x.shape]
        own = iter(unpacked(slots["bases"], lengths) if lengths and "bases" in slots else ())
        bases = [
            next(own, np.eye(n)) if has else np.eye(n)
            for n, has in zip(x.shape, rotates, strict=True)
        ]
        m, v = (slots.get(name, np.zeros(g.shape)) for name in ("momentum", "velocity"))
        step = np.zeros(g.shape)
        if t > 1:
            m = self.beta_1 * m + (1 - self.beta_1) * g
            rotated = multiplied(x, bases).reshape(g.shape)
            v = self.beta_2 * v + (1 - self.beta_2) * rotated**2
            m_hat, v_hat = m / (1 - self.beta_1 ** (t - 1)), v / (1 - self.beta_2 ** (t - 1))
            size = np.sqrt(v_hat).reshape(x.shape) + self.epsilon
            step = multiplied(m_hat.reshape(x.shape), bases) / size
            step = multiplied(step, [basis.T for basis in bases]).reshape(g.shape)
            if self.magnitudes_only:  # a number is as uncertain as the largest that it may be
                step = np.ones(g.shape)
        new = {"momentum": m, "velocity": v}
        if not lengths:
            return self.learning_rate * step, new
        products = packed([p for p, has in zip(squares(x), rotates, strict=True) if has])
        statistics = self.beta_2 * slots.get("statistics", 0.0) + (1 - self.beta_2) * products
        matrices = iter(unpacked(statistics, lengths))
        v = v.reshape(x.shape)
        for axis, has in enumerate(rotates):
            if not has:
                continue
            matrix = next(matrices)
            if t == 1:
                bases[axis] = np.linalg.eigh(matrix)[1][:, ::-1]
            elif (t - 1) % self.precondition_every == 0:
                product = matrix @ bases[axis]
                order = np.argsort(-np.sum(bases[axis] * product, axis=0))
                bases[axis] = np.linalg.qr(product[:, order])[0]
                v = np.take(v, order, axis)
        new["velocity"] = v.reshape(g.shape)
        kept = packed([basis for basis, has in zip(bases, rotates, strict=True) if has])
        return self.learning_rate * step, {**new, "statistics": statistics, "bases": kept}


# Roots and eigenvectors are the more uncertain the nearer to singular their matrix is; these
# rows keep away from that.
CASES = [
    Case(
        "soap",
        "soap",
        SOAP,
        {"precondition_every": 2, "max_dimension": 3},
        references=(
            Reference(
                "pytorch_optimizer",
                "SOAP",
                {"precondition_frequency": 2, "eps": 0.0, "weight_decay": 0.0},
                {"epsilon": 0.0, "weight_decay": 0.0},
                why="adds ε before the bias correction and does not decay in the first step",
            ),
        ),
        keras_has_no="SOAP",
        tolerance=1e-4,
        decades=(0, 0),
    ),
]
