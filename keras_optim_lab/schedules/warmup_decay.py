"""Warm-up, then a decay over a training whose length is known."""

import math
from typing import Any

import keras
from keras import ops

from keras_optim_lab.schedules.schedule import (
    Schedule,
    check_number,
    check_one_of,
    check_share,
    check_steps,
)

DECAYS = ("constant", "linear", "cosine")


def factor(iterations: Any, steps: Any, warmup: Any, decay: Any) -> Any:
    """The learning rate as a share of its peak.

        kol.schedules.factor(np.arange(10), 10, 0.2, kol.schedules.DECAYS.index("cosine"))

    By steps i it is

        rise  = min(1, (i + 1) / max(1, W)),    W = warmup · steps
        left  = min(1, max(0, steps − i) / (steps − W))
        share = rise · {1, left, sin²(π/2 · left)}[decay]

    Step i = W − 1 ends the warm-up at the peak, step i = W begins the decay from there, and at
    i = steps a decay has reached 0: the last step of the training, i = steps − 1, still moves the
    weights. sin² is half a cosine, ½ (1 + cos π (1 − left)), whose small values keep their digits.

    Every argument may be a traced scalar, so that one program serves all schedules, or an array
    that broadcasts with the others.

    Args:
        iterations: i, the steps taken before this one: 0, 1, …
        steps: of the whole training, at least 1.
        warmup: share of them in [0, 1).
        decay: index into `DECAYS`.

    Returns:
        The share, in [0, 1]: a float32 tensor of the arguments' shape.
    """
    i, steps, warmup = (ops.cast(number, "float32") for number in (iterations, steps, warmup))
    risen = warmup * steps
    rise = ops.minimum((i + 1.0) / ops.maximum(risen, 1.0), 1.0)
    left = ops.minimum(ops.maximum(steps - i, 0.0) / (steps - risen), 1.0)
    cosine = ops.square(ops.sin(math.pi / 2 * left))
    shape = ops.where(ops.equal(decay, DECAYS.index("linear")), left, 1.0)
    return rise * ops.where(ops.equal(decay, DECAYS.index("cosine")), cosine, shape)


@keras.saving.register_keras_serializable(package="keras_optim_lab")
class WarmupDecay(Schedule):
    """A linear rise to the peak, and a fall from it that ends with the training.

    With W = `warmup` · `steps`, η is peak/W, 2 peak/W, …, peak in the first W steps. In the
    others, k = 0, 1, … of D = `steps` − W, it is

        peak                        "constant"
        peak · (1 − k/D)            "linear"
        peak · ½ (1 + cos π k/D)    "cosine"

    so that every step of the training has η > 0. After `steps` steps η stays at its end: the peak,
    or 0. W need not be whole; `factor` has the formula for any.

        rate = kol.schedules.WarmupDecay(1e-2, steps=2000, warmup=0.1, decay="cosine")
        model.compile(optimizer=kol.Adam(rate), loss="mse")

    Args:
        learning_rate: the peak, a finite number ≥ 0.
        steps: of the whole training, batches per epoch times epochs: an integer ≥ 1.
        warmup: share of the steps in which η rises, in [0, 1).
        decay: "constant", "linear" or "cosine".

    Raises:
        TypeError, ValueError: an argument is none of what is said above.

    Reference:
        Linear warm-up: Goyal et al., 2017, arXiv:1706.02677, section 2.2. Half a cosine:
        Loshchilov & Hutter, 2017, arXiv:1608.03983, equation 5 with ηmin = 0 and no restart.
    """

    def __init__(
        self, learning_rate: float, steps: int, warmup: float = 0.0, decay: str = "constant"
    ):
        owner = type(self).__name__
        self.learning_rate = check_number(owner, "learning_rate", learning_rate)
        self.steps = check_steps(owner, "steps", steps)
        self.warmup = check_warmup(owner, warmup)
        self.decay = check_decay(owner, "decay", decay)

    def __call__(self, step: Any) -> Any:
        code = DECAYS.index(self.decay)
        return self.learning_rate * factor(step, self.steps, self.warmup, code)


def check_decay(owner: str, argument: str, value: Any) -> str:
    """Returns the name of a decay; raises TypeError or ValueError where it is none."""
    return check_one_of(owner, argument, value, DECAYS)


def check_warmup(owner: str, value: Any) -> float:
    """Returns a share of the steps as a float; raises TypeError or ValueError outside [0, 1)."""
    return check_share(owner, "warmup", value, "the share of the steps in which η rises")
