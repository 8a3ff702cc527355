"""What a user says of a search space: ranges and fixed values, checked."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from keras_optim_lab.arguments import as_float, near_matches
from keras_optim_lab.optimizers.shell.numeric import DecayRate, Rate
from keras_optim_lab.schedules import DECAYS, check_decay, check_warmup
from keras_optim_lab.tuning.spaces.configuration import SCHEDULE_DEFAULTS
from keras_optim_lab.tuning.spaces.parameters import complement, field_name
from keras_optim_lab.tuning.spaces.template import Template


def of_field(template: Template, label: str, key: str, value: Any) -> tuple[str, Any]:
    """The parameter that is searched and its distribution, or what fixes the field.

    Args:
        template: whose field it is.
        label: the key that a user gave.
        key: the part of it behind the optimizer's name.
        value: that a user gave.
    """
    plain = field_name(key)
    field = template.fields.get(plain)
    if field is None:
        near = near_matches(plain, [*template.fields, *SCHEDULE_DEFAULTS])
        raise ValueError(
            f"space: {template.title} has no hyperparameter {key!r}.{near} "
            f"It has: {', '.join(template.fields)}; and every study has "
            f"{' and '.join(SCHEDULE_DEFAULTS)}."
        )
    if key != plain and not isinstance(field, DecayRate):
        raise ValueError(f"space: {key!r}: only a decay rate is searched as 1 − β.")
    if isinstance(value, int | float | np.number | np.bool_):
        number = 1.0 - as_float(value) if key != plain else value
        return key, field.check(template.title, number)

    def check(bound: Any) -> None:
        field.check(template.title, bound if key == plain else 1.0 - bound)

    if isinstance(value, BaseDistribution):
        for bound in bounds(value):
            check(bound)
        return key, value
    if not isinstance(value, tuple | list):
        raise TypeError(
            f"space: {label!r} takes an Optuna distribution, a (low, high) pair, or a "
            f"number or bool that fixes it. Received: {value!r}"
        )
    low, high = _pair(label, value)
    if isinstance(field, DecayRate) and key == plain:
        key, low, high = complement(key), 1.0 - high, 1.0 - low
    for bound in (low, high):
        check(bound)
    if not 0 < low <= high:
        raise ValueError(
            f"space: {label!r} is searched on a log scale, so it takes 0 < low ≤ high (for β the "
            f"same of 1 − β). For a linear range give a FloatDistribution. Received: {low}, {high}"
        )
    return key, FloatDistribution(low, high, log=True)


def of_schedule(templates: Sequence[Template], key: str, value: Any) -> Any:
    """The distribution of "schedule" or "warmup", or what fixes it."""
    for template in templates:
        if not any(isinstance(field, Rate) for field in template.numeric.values()):
            raise ValueError(
                f"space: {key!r} needs a learning rate to change, and {template.title} has "
                f"none. Leave out {key!r} or {template.name!r}."
            )
    return _schedule(value) if key == "schedule" else _warmup(value)


def _schedule(value: Any) -> BaseDistribution | str:
    """A name that fixes the decay, or the choice among several."""
    if isinstance(value, str):
        return check_decay("space", "schedule", value)
    names = value.choices if isinstance(value, CategoricalDistribution) else value
    if not isinstance(names, list | tuple) or not names:
        raise TypeError(
            "space: 'schedule' takes a name, or a list or CategoricalDistribution of names: "
            f"{', '.join(DECAYS)}. Received: {value!r}"
        )
    for name in names:
        check_decay("space", "schedule", name)
    if len(set(names)) < len(names):
        raise ValueError(f"space: 'schedule' names one twice. Received: {value!r}")
    return CategoricalDistribution(names)


def _warmup(value: Any) -> BaseDistribution | float:
    """A number that fixes the warm-up, or what is searched."""
    if isinstance(value, BaseDistribution):
        for bound in bounds(value):
            check_warmup("space", bound)
        return value
    if isinstance(value, tuple | list):
        low, high = (check_warmup("space", bound) for bound in _pair("warmup", value))
        if low > high:
            raise ValueError(f"space: 'warmup' takes low ≤ high. Received: {low}, {high}")
        return FloatDistribution(low, high)
    return check_warmup("space", value)


def bounds(distribution: BaseDistribution) -> Sequence[Any]:
    """The choices of a distribution, or its two ends."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    if isinstance(distribution, FloatDistribution):
        return distribution.low, distribution.high
    raise TypeError(
        "space: hyperparameters are searched with a FloatDistribution or a "
        f"CategoricalDistribution. Received: {distribution!r}"
    )


def _pair(label: str, value) -> tuple[float, float]:
    try:
        low, high = map(as_float, value)
    except (TypeError, ValueError):
        raise TypeError(
            f"space: {label!r} must be a (low, high) pair of numbers. Received: {value!r}"
        ) from None
    return low, high
