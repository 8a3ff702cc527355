"""For trainings whose length is not known."""

from typing import Any

import keras
from keras import ops

from keras_optim_lab.schedules.schedule import Schedule, check_number, check_steps


@keras.saving.register_keras_serializable(package="keras_optim_lab")
class InverseSquareRoot(Schedule):
    """A linear rise, then a fall with the root of the steps: for trainings of unknown length.

        peak · min(t/W, √(W/t)),    t = 1, 2, …

    The fall has no end, so that training may go on for as long as it pays.

        rate = kol.schedules.InverseSquareRoot(1e-3, warmup_steps=4000)
        model.compile(optimizer=kol.Adam(rate), loss="mse")

    Args:
        learning_rate: the peak, a finite number ≥ 0.
        warmup_steps: W, the step of the peak: an integer ≥ 1.

    Raises:
        TypeError, ValueError: an argument is none of what is said above.

    Reference:
        Vaswani et al., 2017, arXiv:1706.03762, section 5.3, where the peak is (d W)^(−½) for
        layers of width d.
    """

    def __init__(self, learning_rate: float, warmup_steps: int = 1):
        owner = type(self).__name__
        self.learning_rate = check_number(owner, "learning_rate", learning_rate)
        self.warmup_steps = check_steps(owner, "warmup_steps", warmup_steps)

    def __call__(self, step: Any) -> Any:
        t = (ops.cast(step, "float32") + 1.0) / self.warmup_steps
        return self.learning_rate * ops.minimum(t, 1.0 / ops.sqrt(t))
