"""How settings are written on an experiment's page."""

from collections.abc import Mapping
from typing import Any

from keras_optim_lab.tuning.spaces.template import Template


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
