"""How long a search may take: wall-clock time, of which a share is kept back for its end."""

import math
import time
from typing import Any

from keras_optim_lab.arguments import is_number

# The share of the time of `tune` for what comes after the last trial.
KEPT_BACK = 0.2


class Budget:
    """Time that runs from here on.

    Args:
        minutes: of all together; None for as long as it takes.
        kept_back: the share of them that trials leave to what comes after.

    Raises:
        TypeError, ValueError: the minutes are no number above 0.
    """

    def __init__(self, minutes: Any = None, kept_back: float = 0.0):
        if minutes is not None and not is_number(minutes):
            raise TypeError(f"`minutes` must be a number > 0. Received: minutes={minutes!r}")
        if minutes is not None and not 0 < minutes < math.inf:
            raise ValueError(
                "`minutes` must be a number > 0, the time that the study may take; leave it out "
                f"for as long as its trials take. Received: minutes={minutes!r}"
            )
        self.minutes = None if minutes is None else float(minutes)
        self._seconds = math.inf if self.minutes is None else 60.0 * self.minutes
        self._kept_back = kept_back
        self._begun = time.monotonic()
        self._training = 0.0

    @property
    def left(self) -> float:
        """Seconds until all must have ended, 0 at least; infinite without a limit."""
        return max(0.0, self._begun + self._seconds - time.monotonic())

    def trained(self, seconds: float) -> None:
        """Tells how long one training took."""
        self._training = seconds

    @property
    def has_time_for_another(self) -> bool:
        """Whether a training that begins now ends in time, as far as is known."""
        return self.left_for_trials > self._training

    def holds(self, trainings: int) -> bool:
        """Whether so many more end in time, the share of what comes after trials included."""
        return trainings * self._training <= self.left

    @property
    def left_for_trials(self) -> float:
        """Seconds until the last trial must have ended."""
        ends = self._begun + (1.0 - self._kept_back) * self._seconds
        return max(0.0, ends - time.monotonic())
