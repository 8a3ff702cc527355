"""Parameters of a trial: what they are called, and how it chooses them."""

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

_COMPLEMENT = "1-"


def complement(name: str) -> str:
    """What the parameter of a decay rate is called: `1-beta_1`, and `group_1.1-beta_1`."""
    inside, dot, last = name.rpartition(".")
    return f"{inside}{dot}{_COMPLEMENT}{last}"


def field_name(key: str) -> str:
    """The name of the field that a parameter is of."""
    inside, dot, last = key.rpartition(".")
    return f"{inside}{dot}{last.removeprefix(_COMPLEMENT)}"


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
