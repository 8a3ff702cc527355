"""Settings that cover an optimizer's search space evenly: a Sobol sequence, the defaults first."""

import warnings
from typing import Any

import numpy as np
from optuna.distributions import FloatDistribution
from scipy.stats import qmc

from keras_optim_lab.tuning.spaces.parameters import field_name
from keras_optim_lab.tuning.spaces.space import SearchSpace


def settings(optimizer: str, count: int, seed: int) -> list[dict[str, Any]]:
    """The defaults, then the beginning of a sequence that is the same however long it is.

    Args:
        optimizer: a name from the catalogue.
        count: of them together.
        seed: of the sequence.

    Returns:
        By field, what the constructor takes; numbers of three digits, which a file may hold.
    """
    space = SearchSpace(optimizer)
    searched = {
        key: each
        for key, each in space.distributions.items()
        if isinstance(each, FloatDistribution)
    }
    defaults = space.templates[optimizer].defaults
    found = [{field_name(key): defaults[field_name(key)] for key in searched}]
    with warnings.catch_warnings():
        # A count that is no power of 2 covers less evenly, and may grow later.
        warnings.simplefilter("ignore", UserWarning)
        points = qmc.Sobol(len(searched), seed=seed).random(max(1, count - 1))
    for point in points[: count - 1]:
        drawn = {
            key: _between(share, each)
            for share, (key, each) in zip(point, searched.items(), strict=True)
        }
        found.append(
            {
                field_name(key): value if key == field_name(key) else round(1.0 - value, 12)
                for key, value in drawn.items()
            }
        )
    return found


def _between(share: float, range_: FloatDistribution) -> float:
    """The value at this share of a range, on a logarithmic scale."""
    low, high = np.log(range_.low), np.log(range_.high)
    value = float(f"{np.exp(low + share * (high - low)):.3g}")
    return min(max(value, range_.low), range_.high)
