"""What an experiment has to do, and how it tells how far it is."""

from collections.abc import Callable
from dataclasses import dataclass

# Called as `on_progress(what, done, total)` after every trial, and every epoch of other trainings,
# which count by the share of their epochs.
OnProgress = Callable[[str, float, int], None]


@dataclass(frozen=True)
class Part:
    """A part of an experiment: how many trainings it is made of, and how many are there."""

    what: str
    trainings: int
    done: int

    @property
    def missing(self) -> int:
        return self.trainings - self.done
