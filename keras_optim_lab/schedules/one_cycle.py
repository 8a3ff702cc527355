"""Up and down once."""

import math
from typing import Any

import keras
from keras import ops

from keras_optim_lab.schedules.schedule import Schedule, check_number, check_share, check_steps


@keras.saving.register_keras_serializable(package="keras_optim_lab")
class OneCycle(Schedule):
    """From a start to a peak and down to an end, each way half a cosine.

        start + (peak − start) · ½ (1 − cos π i/(R − 1))    in step i of the first R = rise · steps
        peak + (end − peak) · ½ (1 − cos π (i − R + 1)/D)   in the other D

    A short time of large steps in the middle, up to ten times those that a constant rate allows,
    carries training to flat minima; the long fall settles it there. The momentum goes the
    other way: `beta_1=OneCycle(0.85, steps, start=0.95, end=0.95)`.

        rate = kol.schedules.OneCycle(1e-2, steps=2000)
        model.compile(optimizer=kol.Momentum(rate), loss="mse")

    Args:
        peak: the value in the middle, a finite number ≥ 0.
        steps: of the whole training, batches per epoch times epochs: an integer ≥ 1.
        rise: share of the steps on the way to the peak, in [0, 1).
        start: first value; by default a 25th of the peak.
        end: last value; by default a 10,000th of the start.

    Raises:
        TypeError, ValueError: an argument is none of what is said above.

    Reference:
        Smith & Topin, 2017, arXiv:1708.07120; numbers and cosines as in fastai and in PyTorch's
        `OneCycleLR`.
    """

    def __init__(
        self,
        peak: float,
        steps: int,
        rise: float = 0.3,
        start: float | None = None,
        end: float | None = None,
    ):
        owner = type(self).__name__
        self.peak = check_number(owner, "peak", peak)
        self.steps = check_steps(owner, "steps", steps)
        self.rise = check_share(owner, "rise", rise, "the share of the steps on the way up")
        self.start = self.peak / 25 if start is None else check_number(owner, "start", start)
        self.end = self.start / 10_000 if end is None else check_number(owner, "end", end)

    def __call__(self, step: Any) -> Any:
        i = ops.cast(step, "float32")
        top = self.rise * self.steps - 1.0
        up = self.start + (self.peak - self.start) * _half_cosine(i / max(top, 1e-6))
        rest = max(self.steps - 1.0 - max(top, 0.0), 1e-6)
        down = self.peak + (self.end - self.peak) * _half_cosine((i - max(top, 0.0)) / rest)
        return ops.where(i < top, up, down)


def _half_cosine(share: Any) -> Any:
    """½ (1 − cos πx), whose small values keep their digits as a square of a sine."""
    return ops.square(ops.sin(math.pi / 2 * ops.clip(share, 0.0, 1.0)))
