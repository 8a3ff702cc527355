"""Parameters of a trial: what they are called, and how it chooses them."""

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from keras_optim_lab.arguments import as_float

_COMPLEMENT = "1-"


def complement(name: str) -> str:
    """What the parameter of a decay rate is called: `1-beta_1`, and `group_1.1-beta_1`."""
    inside, dot, last = name.rpartition(".")
    return f"{inside}{dot}{_COMPLEMENT}{last}"


def field_name(key: str) -> str:
    """The name of the field that a parameter is of."""
    inside, dot, last = key.rpartition(".")
    return f"{inside}{dot}{last.removeprefix(_COMPLEMENT)}"


def field_value(key: str, value: Any) -> Any:
    """What the field is, where the parameter is this."""
    return value if key == field_name(key) else 1.0 - value


def suggest_parameter(trial: optuna.trial.BaseTrial, name: str, distribution: BaseDistribution):
    """Lets a trial choose one value of a distribution."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(name, low, high, step=step, log=log)
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(name, low, high, step=step, log=log)
    raise TypeError(f"{name!r}: Optuna has no method that suggests from {distribution!r}.")


def bounds(distribution: BaseDistribution) -> Sequence[Any]:
    """The choices of a distribution, or its two ends."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low, distribution.high


def bounds_of_numbers(distribution: BaseDistribution) -> Sequence[Any]:
    """The same of what an optimizer's number may be searched with.

    Raises:
        TypeError: it is another distribution.
    """
    if isinstance(distribution, CategoricalDistribution | FloatDistribution):
        return bounds(distribution)
    raise TypeError(
        "space: hyperparameters are searched with a FloatDistribution or a "
        f"CategoricalDistribution. Received: {distribution!r}"
    )


def pair(label: str, value: Any) -> tuple[float, float]:
    """The two numbers of a range that a user gave."""
    try:
        low, high = map(as_float, value)
    except (TypeError, ValueError):
        raise TypeError(
            f"space: {label!r} must be a (low, high) pair of numbers. Received: {value!r}"
        ) from None
    return low, high
