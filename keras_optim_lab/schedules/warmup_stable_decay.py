"""A long constant rate with a short decay at its end."""

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

SHAPES = ("linear", "sqrt")


@keras.saving.register_keras_serializable(package="keras_optim_lab")
class WarmupStableDecay(Schedule):
    """A linear rise, a long constant rate, and a fall in the last share of the training (WSD).

    With W = `warmup` · `steps` and D = `decay` · `steps`, η rises to the peak in the first W steps
    and stays there. In step k = 0, 1, … of the last D it is

        peak · (1 − k/D)       "linear"
        peak · (1 − √(k/D))    "sqrt"

    The long middle does not depend on the length of the training: a checkpoint of it can be
    continued for as long as one likes, and cooled down at any time. After `steps` steps η is 0.

        rate = kol.schedules.WarmupStableDecay(1e-3, steps=2000, warmup=0.05, decay=0.2)
        model.compile(optimizer=kol.AdamW(rate), loss="mse")

    Args:
        learning_rate: the peak, a finite number ≥ 0.
        steps: of the whole training, batches per epoch times epochs: an integer ≥ 1.
        warmup: share of the steps in which η rises, in [0, 1).
        decay: share of the steps in which it falls, in [0, 1); with `warmup` at most 1.
        shape: "linear" or "sqrt".

    Raises:
        TypeError, ValueError: an argument is none of what is said above.

    Reference:
        Hu et al., 2024, arXiv:2404.06395, section 4; the root: Hägele et al., 2024,
        arXiv:2405.18392, equation 1.
    """

    def __init__(
        self,
        learning_rate: float,
        steps: int,
        warmup: float = 0.0,
        decay: float = 0.2,
        shape: str = "linear",
    ):
        owner = type(self).__name__
        self.learning_rate = check_number(owner, "learning_rate", learning_rate)
        self.steps = check_steps(owner, "steps", steps)
        self.warmup = check_share(owner, "warmup", warmup, "the share of the steps of the rise")
        self.decay = check_share(owner, "decay", decay, "the share of the steps of the fall")
        self.shape = check_one_of(owner, "shape", shape, SHAPES)
        if warmup + decay > 1:
            raise ValueError(
                f"{owner}: `warmup` and `decay` are shares of the same steps and may be 1 "
                f"together. Received: warmup={warmup!r}, decay={decay!r}"
            )

    def __call__(self, step: Any) -> Any:
        i = ops.cast(step, "float32")
        rise = ops.minimum((i + 1.0) / max(self.warmup * self.steps, 1.0), 1.0)
        falling = self.decay * self.steps
        gone = ops.clip((i - (self.steps - falling)) / max(falling, 1e-6), 0.0, 1.0)
        fall = ops.sqrt(gone) if self.shape == "sqrt" else gone
        return self.learning_rate * rise * (1.0 - fall)
