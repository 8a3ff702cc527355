"""What all schedules have in common: configuration, and arguments that are checked."""

import inspect
import sys
from collections.abc import Sequence
from typing import Any

from keras.optimizers.schedules import LearningRateSchedule

from keras_optim_lab.arguments import is_number, near_matches, whole_number


class Schedule(LearningRateSchedule):
    """A schedule whose attributes are the arguments of its constructor."""

    def get_config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({given})"


def check_number(owner: str, argument: str, value: Any) -> float:
    """Returns a finite number ≥ 0 as a float."""
    accepts = "a finite number ≥ 0"
    if not is_number(value):
        raise TypeError(_refusal(owner, argument, value, accepts))
    if not 0 <= value <= sys.float_info.max:
        raise ValueError(_refusal(owner, argument, value, accepts))
    return float(value)


def check_share(owner: str, argument: str, value: Any, what: str) -> float:
    """Returns a number in [0, 1) as a float; `what` says what it is the share of."""
    accepts = f"a number in [0, 1), {what}"
    if not is_number(value):
        raise TypeError(_refusal(owner, argument, value, accepts))
    if not 0 <= value < 1:
        raise ValueError(_refusal(owner, argument, value, accepts))
    return float(value)


def check_steps(owner: str, argument: str, value: Any) -> int:
    """Returns a number of training steps."""
    most = 2**63 - 1  # Keras counts steps in 64 bits
    what = "batches per epoch times epochs"
    return whole_number(argument, value, most=most, what=what, owner=owner)


def check_one_of(owner: str, argument: str, value: Any, known: Sequence[str]) -> str:
    """Returns one of the known words; the message about another lists near ones."""
    accepts = f"one of {', '.join(known)}"
    if not isinstance(value, str):
        raise TypeError(_refusal(owner, argument, value, accepts))
    if value not in known:
        refusal = _refusal(owner, argument, value, accepts)
        raise ValueError(f"{refusal}.{near_matches(value, known)}")
    return value


def _refusal(owner: str, argument: str, value: Any, accepts: str) -> str:
    return f"{owner}: `{argument}` must be {accepts}. Received: {argument}={value!r}"
