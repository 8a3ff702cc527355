"""Lists of settings as the TOML file that studies read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from keras_optim_lab.experiments import cover

MARK = "# Written by: keras-optim-lab run "
_FIRST = ", ".join(map(str, cover.FIRST))
_ABOUT = f"""\
# Regret is what is left to be gained on a task: (loss − best) / (median − best) of all settings
# that were trained, cut at 1. Said of a list: that of its first {_FIRST} on a task that it was
# not made from, in the mean over tasks, beside as many settings drawn at random. The defaults
# are tried before both."""


@dataclass(frozen=True)
class Portfolio:
    """The list of one optimizer.

    Attributes:
        trained: how it was found, in words.
        settings: by field, in order.
        worth: of "list" and "random" as `cover.left_out` returns it.
        defaults: the regret of the defaults on each task.
    """

    trained: str
    settings: list[dict[str, Any]]
    worth: Mapping[str, NDArray]
    defaults: NDArray

    def mean(self, which: str) -> NDArray:
        """What a list, or as many random settings, leave in the mean over tasks."""
        return self.worth[which].mean(axis=0)

    def comments(self) -> list[str]:
        """What its table says before the settings."""
        shown = {which: " ".join(f"{v:.3f}" for v in self.mean(which)) for which in self.worth}
        return [
            f"# {self.trained}. Regret of the defaults: {self.defaults.mean():.3f}",
            *(f"# {which + ':':7} {numbers}" for which, numbers in shown.items()),
        ]


def inline(settings: Mapping[str, Any]) -> str:
    """`{ learning_rate = 0.003, beta_1 = 0.9 }`; TOML has no None, which is left out."""
    given = {name: value for name, value in settings.items() if value is not None}
    return f"{{ {', '.join(f'{name} = {_value(value)}' for name, value in given.items())} }}"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return inline(value)
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return "\n".join(["[", *(f"    {inline(each)}," for each in value), "]"])
    return json.dumps(value, ensure_ascii=False)  # numbers, texts and lists of them are the same


def written(path: str, made: Mapping[str, Any], found: Mapping[str, Portfolio]) -> str:
    """The file.

    Args:
        path: of the experiment that it is written by.
        made: of what the lists were made.
        found: by optimizer, its list.
    """
    lines = [
        "# Settings of each optimizer that are worth trying first, in this order.",
        f"{MARK}{path}",
        _ABOUT,
        "",
        "[made]",
        *(f"{name} = {_value(value)}" for name, value in made.items()),
    ]
    for name, portfolio in found.items():
        settings = f"settings = {_value(portfolio.settings)}"
        lines += ["", f"[{name}]", *portfolio.comments(), settings]
    return "\n".join(lines) + "\n"
