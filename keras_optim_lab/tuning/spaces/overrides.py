"""What a user says of a search space: ranges and fixed values, checked."""

from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution

from keras_optim_lab.arguments import as_float, near_matches
from keras_optim_lab.optimizers.shell.numeric import DecayRate
from keras_optim_lab.tuning.spaces.parameters import (
    bounds_of_numbers,
    complement,
    field_name,
    pair,
)
from keras_optim_lab.tuning.spaces.recipe import NAMES, USUAL
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
        near = near_matches(plain, [*template.fields, *USUAL])
        raise ValueError(
            f"space: {template.title} has no hyperparameter {key!r}.{near} "
            f"It has: {', '.join(template.fields)}; and every study has {NAMES}."
        )
    if key != plain and not isinstance(field, DecayRate):
        raise ValueError(f"space: {key!r}: only a decay rate is searched as 1 − β.")
    if isinstance(value, int | float | np.number | np.bool_):
        number = 1.0 - as_float(value) if key != plain else value
        return key, field.check(template.title, number)

    def check(bound: Any) -> None:
        field.check(template.title, bound if key == plain else 1.0 - bound)

    if isinstance(value, BaseDistribution):
        for bound in bounds_of_numbers(value):
            check(bound)
        return key, value
    if not isinstance(value, tuple | list):
        raise TypeError(
            f"space: {label!r} takes an Optuna distribution, a (low, high) pair, or a "
            f"number or bool that fixes it. Received: {value!r}"
        )
    low, high = pair(label, value)
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
