"""A stored study is continued by the same plan only; what differs is said in words."""

from collections.abc import Iterator, Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    json_to_distribution,
)

from keras_optim_lab.tuning.spaces.space import field_name
from keras_optim_lab.tuning.spaces.template import Template


def is_empty(study: optuna.Study, direction: str) -> bool:
    """Whether the study was created and no more, so that any plan of this direction fits it."""
    directions = [held.name.lower() for held in study.directions]
    system_attrs = study._storage.get_study_system_attrs(study._study_id)
    held = study.user_attrs or system_attrs or study.get_trials(deepcopy=False)
    return directions == [direction] and not held


def check_same_plan(name: str, stored: Mapping[str, Any] | None, plan: Mapping[str, Any]) -> None:
    """Refuses a plan that is not the stored one of the study `name`.

    Raises:
        ValueError: another part of it; or the study was made by something else.
    """
    if stored is None:
        raise ValueError(
            f"The storage holds a study {name!r} that was not made by keras_optim_lab. "
            "Choose another name."
        )
    stored = {"seeds_per_trial": 1, **stored}
    for part, wanted in plan.items():
        held = stored.get(part)
        if held != wanted:
            words = f"{held}, not {wanted}"
            if part == "space" and held:
                words = "; ".join(_differences(held, wanted))
            raise ValueError(
                f"The study {name!r} exists with another {part}: {words}. "
                "Choose another name for a new study, or the same settings to continue this one."
            )


def _differences(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    if held["optimizers"] != wanted["optimizers"]:
        yield f"it tunes {', '.join(held['optimizers'])}, not {', '.join(wanted['optimizers'])}"
        return
    before, after = _in_words(held), _in_words(wanted)
    for setting in {**before, **after}:
        old, new = (words.get(setting, "left as it is") for words in (before, after))
        if old != new:
            yield f"{setting} is {old}, not {new}"


def _in_words(space: Mapping[str, Any]) -> dict[str, str]:
    """By setting, what a described space makes of it."""
    several = len(space["optimizers"]) > 1
    words = {}
    for name, config in space.get("given", {}).items():
        words[name] = repr(Template.from_config(name, config).given)
    for label, text in space["distributions"].items():
        words[field_name(label)] = _searched(label, json_to_distribution(text))
    for name, values in space["fixed"].items():
        for key, value in values.items():
            words[f"{name}.{key}" if several else key] = f"fixed at {value}"
    for key, value in space.get("schedule", {}).items():
        words[key] = f"fixed at {value}"
    return words


def _searched(label: str, distribution: BaseDistribution) -> str:
    whole = "" if label == field_name(label) else "as 1 − β "
    match distribution:
        case CategoricalDistribution(choices=choices):
            return f"one of {', '.join(map(str, choices))}"
        case FloatDistribution(low=low, high=high, log=log, step=None):
            return f"searched {whole}in {low} … {high}{' by its logarithm' if log else ''}"
    return f"searched {whole}in {distribution}"
