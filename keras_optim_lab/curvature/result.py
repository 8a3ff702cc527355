"""What a minimization has found."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_optim_lab.shown import Row, Shown, components


@dataclass(frozen=True)
class Path:
    """Where a minimization went: the start, then the end of every step, in their order.

    Attributes:
        x: positions, nested as the start, each array with a first axis of nit + 1; for a start that
            is one array, `path.x[-1]` is where the last step has led.
        fun: the function's values there, of shape (nit + 1,), as they were seen: those of a noisy
            function with its noise.
    """

    x: Any
    fun: np.ndarray

    def __len__(self) -> int:
        return len(self.fun)


@dataclass(frozen=True)
class MinimizeResult(Shown):
    """What `minimize` found, in SciPy's names.

    Attributes:
        x: the point with the lowest value among the start and the ends of all steps, not the last
            one; NumPy arrays, nested as the start. Where `fun` is noisy its value is a lucky draw:
            take the end, or an average of the last positions, from `path`.
        fun: the function there; for residuals r, ½ Σ r².
        jac: its gradient there, nested as `x`.
        nit: steps taken.
        nfev, njev, nhev: evaluations of the function, of its gradient, and products with its
            Hessian (or Gauss–Newton matrix), those within line searches included.
        status: why it ended, in a word: "gradient" (it is zero), "gtol", "ftol", "xtol" or
            "precision" (no decrease is left that rounding would show), which are successes; or
            "steps", "no decrease", "unbounded", "not finite", "curvature" (not finite) or "higher"
            (than x, where it has converged).
        success: whether x is a stationary point, as far as the tolerances go.
        message: why it ended, in a sentence.
        path: every position and value on the way.
    """

    x: Any
    fun: float
    jac: Any
    nit: int
    nfev: int
    njev: int
    nhev: int
    status: str
    success: bool
    message: str
    path: Path

    @property
    def headline(self) -> str:
        return f"{self.message} f = {self.fun:.6g} after {self.nit} steps"

    def records(self) -> list[Row]:
        one = isinstance(self.path.x, np.ndarray)
        return [
            {
                "step": step,
                "fun": float(value),
                **(components("x", self.path.x[step]) if one else {}),
            }
            for step, value in enumerate(self.path.fun)
        ]

    def _draw(self, axes: Any) -> None:
        above = self.path.fun - np.nanmin(self.path.fun)
        axes.plot(above, marker="o", ms=2)
        axes.set(xlabel="step", ylabel="f − lowest f", yscale="log")

    def __repr__(self) -> str:
        shown = ("message", "success", "status", "fun", "x", "nit", "jac", "nfev", "njev", "nhev")
        return "\n".join(f"{name:>8}: {getattr(self, name)}" for name in shown)
