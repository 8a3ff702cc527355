"""The verdict of a study: whether what it found is better than the defaults."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_optim_lab.tuning.criterion import Criterion
from keras_optim_lab.tuning.paired import CONFIDENCE, Gain, diverged, gain


@dataclass(frozen=True)
class Verdict:
    """Tuned settings against the defaults, over runs that none of them was chosen by.

    Attributes:
        objective: what is compared.
        default, tuned: its value in every run, in the same order of seeds and folds; NaN of those
            that diverged.
        folds: of the cross-validation in which they were trained, if it was one.
    """

    objective: Criterion
    default: Sequence[float]
    tuned: Sequence[float]
    folds: int | None = None

    @property
    def gain(self) -> Gain:
        """What the tuned settings gain, in units of the objective; positive is better."""
        return gain(self.default, self.tuned, self.objective.direction, self.folds)

    @property
    def better(self) -> bool:
        """Whether the tuned settings are better for sure.

        They are if the confidence interval of their gain is above 0 and they diverged no more
        often; or if they diverged less often, and gain on average where neither did.
        """
        before, after = (diverged(values) for values in (self.default, self.tuned))
        if before != after:
            return after < before and not self.gain.mean < 0
        return self.gain.low > 0

    def __str__(self) -> str:
        if not self.tuned:
            return "no better: keep the defaults (no other settings were trained to the end)"
        found = self._in_words()
        if self.better:
            return f"better: {found}"
        return f"no better: keep the defaults (with the best settings found {found})"

    def _in_words(self) -> str:
        after, before = (_mean(values) for values in (self.tuned, self.default))
        return f"{self.objective.name} {after} against {before} by default, {self._gained()}"

    def _gained(self) -> str:
        found, over = self.gain, _over(len(self.tuned), self.folds)
        reference = [value for value in self.default if math.isfinite(value)]
        if math.isnan(found.mean):
            return over
        # Of numbers that may be negative a share says nothing.
        share = reference and min([*reference, *self.tuned]) > 0
        scale, unit = (100 / float(np.mean(reference)), " %") if share else (1.0, "")
        shown = f"a gain of {scale * found.mean:.3g}{unit}"
        if math.isnan(found.low):
            return f"{shown} in {over}"
        interval = f"{scale * found.low:.3g} … {scale * found.high:.3g}{unit}"
        return f"{shown} ({100 * CONFIDENCE:.0f} % interval {interval}, {over})"


def _mean(values: Sequence[float]) -> str:
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return "diverged"
    shown, lost = f"{np.mean(finite):.4g}", diverged(values)
    return f"{shown} ({lost} of {len(values)} diverged)" if lost else shown


def _over(runs: int, folds: int | None) -> str:
    if folds:
        return f"{runs // folds} × {folds} folds"
    return "1 fresh seed" if runs == 1 else f"{runs} fresh seeds"
