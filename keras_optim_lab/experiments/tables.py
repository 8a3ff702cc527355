"""How numbers and settings are written on an experiment's page."""

import math
from collections.abc import Mapping
from typing import Any

from keras_optim_lab.tuning.evaluation import Runs
from keras_optim_lab.tuning.template import Template


def mean_and_spread(runs: Runs, metric: str, digits: int = 4) -> str:
    """`0.0485 ± 0.0061`, and how many runs diverged where some did."""
    mean, spread, diverged = runs.mean(metric), runs.spread(metric), runs.diverged(metric)
    if math.isnan(mean):
        return "diverged"
    shown = f"{mean:.{digits}g}" if math.isnan(spread) else f"{mean:.{digits}g} ± {spread:.2g}"
    return f"{shown} ({diverged} of {len(runs.scores[metric])} diverged)" if diverged else shown


def over_seeds(count: int) -> str:
    return "one seed" if count == 1 else f"mean ± standard deviation over {count} seeds"


def shown_settings(optimizer: str, settings: Mapping[str, Any]) -> str:
    """`Adam(learning_rate=0.001)`, with digits enough to be read."""
    outer, _, inner = Template.of(optimizer).title.partition("(")
    members = [inner[:-1]] if inner else []
    given = [f"{name}={_number(value)}" for name, value in settings.items()]
    return f"{outer}({', '.join([*members, *given])})"


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    # Near 1 the digits of 1 − β are those that count.
    return f"{value:.4g}" if not 0.9 < value < 1 else f"{1 - float(f'{1 - value:.4g}'):.12g}"
