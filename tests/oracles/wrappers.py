from dataclasses import dataclass

import numpy as np

from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class Around:
    """A method around another, `inner`, whose slots it hands on under their names."""

    inner: Oracle

    def descend(self, w, gradients):
        """The weight after each of the gradients."""
        w, slots = np.asarray(w, "float64"), {}
        for t, g in enumerate(gradients, start=1):
            w, slots = self.next(w, np.asarray(g, "float64"), slots, t)
            yield w


@dataclass(frozen=True)
class Lookahead(Around):
    """Zhang et al. 2019, Algorithm 1."""

    steps: int = 5
    share: float = 0.5

    def next(self, w, g, slots, t):
        slow = slots.get("slow", w)
        w, slots = self.inner.next(w, g, slots, t)
        if t % self.steps == 0:
            w = slow = slow + self.share * (w - slow)
        return w, {**slots, "slow": slow}


@dataclass(frozen=True)
class Cautious(Around):
    """Liang et al. 2024, with the authors' mean; decay is outside."""

    def next(self, w, g, slots, t):
        step, slots = self.inner.update(w, g, slots, t)
        agrees = step * g > 0
        step = step * agrees / max(agrees.mean(), 1e-3)
        return w - step - self.inner.learning_rate * self.inner.weight_decay * w, slots


@dataclass(frozen=True)
class CentralizedGradients(Around):
    """Yong et al. 2020, equation 1, with the outputs on the last axis."""

    def next(self, w, g, slots, t):
        if g.ndim > 1:
            g = g - g.reshape(-1, g.shape[-1]).mean(axis=0)
        return self.inner.next(w, g, slots, t)


@dataclass(frozen=True)
class AdaptiveClipping(Around):
    """Brock et al. 2021, equation 3, unit by unit."""

    clipping: float = 0.01
    epsilon: float = 1e-3

    def next(self, w, g, slots, t):
        factor = self.factor(w, g)
        if w.ndim > 1:
            units = [x.reshape(-1, x.shape[-1]).T for x in (w, g)]
            factor = np.array([self.factor(*each) for each in zip(*units, strict=True)])
        return self.inner.next(w, g * factor, slots, t)

    def factor(self, w, g):
        most = self.clipping * max(np.linalg.norm(w), self.epsilon)
        return min(1.0, most / max(np.linalg.norm(g), 1e-6))


@dataclass(frozen=True)
class SkipNonFinite(Around):
    """Steps with finite gradients only; of one weight, as here, or of all together."""

    def next(self, w, g, slots, t):
        taken = slots.get("taken", 0)
        if not np.all(np.isfinite(g)):
            return w, slots
        w, slots = self.inner.next(w, g, slots, taken + 1)
        return w, {**slots, "taken": taken + 1}
