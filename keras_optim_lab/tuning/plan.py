"""The plan of a study; it is continued by the same one only, and what differs is said in words."""

from collections.abc import Iterator, Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    json_to_distribution,
)

from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning.criterion import Criterion
from keras_optim_lab.tuning.spaces.parameters import field_name
from keras_optim_lab.tuning.spaces.space import SearchSpace
from keras_optim_lab.tuning.spaces.template import Template
from keras_optim_lab.tuning.start import PLAN, START, difference
from keras_optim_lab.tuning.storages.buffered import BufferedStorage

CHOICES = "choices"  # and the names of its sampler and pruner, for other processes

_UNSAID: dict[str, Any] = {"seeds_per_trial": 1, "folds": None}  # what a plan may leave out


def of_study(
    task: Task,
    objective: Criterion,
    space: SearchSpace,
    seeds_per_trial: int,
    folds: int | None,
    start: Any,
) -> dict[str, Any]:
    """What a study does, in plain data; equal for the same."""
    plan = {
        "task": task.name,
        "objective": objective.name,
        "direction": objective.direction,
        "epochs": task.epochs,
        "batch_size": task.batch_size,
        "space": space.describe(),
        "seeds_per_trial": seeds_per_trial,
        START: start,
    }
    return plan if folds is None else {**plan, "folds": folds}


def begin_or_check(
    study: optuna.Study, storage: BufferedStorage, plan: Mapping[str, Any], seed: int, choices: Any
) -> None:
    """Begins a new study by a plan; one that has begun must have the same.

    Raises:
        ValueError: it has another plan, or was made by something else.
    """
    study_id = storage.get_study_id_from_name(study.study_name)
    # Whoever created it may have been killed before it had a plan, or be about to write one.
    directions = [each.name.lower() for each in study.directions]
    used = (
        study.user_attrs
        or storage.get_study_system_attrs(study_id)
        or study.get_trials(deepcopy=False)
    )
    begun = {PLAN: {**plan, "seed": seed}, CHOICES: choices}
    if directions == [plan["direction"]] and not used and storage.claim(study_id, begun):
        return
    name, stored = study.study_name, study.user_attrs.get(PLAN)
    if stored is None:
        raise ValueError(
            f"The storage holds a study {name!r} that was not made by keras_optim_lab. "
            "Choose another name."
        )
    by_name = isinstance(plan[START], str)  # studies from before there was a start have none
    stored = {**_UNSAID, START: plan[START] if by_name else "none", **stored}
    for part, wanted in {**_UNSAID, **plan}.items():
        former = stored.get(part)
        if former != wanted:
            words = f"{former}, not {wanted}"
            if part == "space" and former:
                words = "; ".join(_differences(former, wanted))
            part = "number of folds" if part == "folds" else part
            if part == START:
                words = difference(former, wanted)
            raise ValueError(
                f"The study {name!r} exists with another {part}: {words}. "
                "Choose another name for a new study, or the same settings to continue this one."
            )


def _differences(former: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    if former["optimizers"] != wanted["optimizers"]:
        tuned, other = (", ".join(each["optimizers"]) for each in (former, wanted))
        yield f"it tunes {tuned}, not {other}"
        return
    before, after = _in_words(former), _in_words(wanted)
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
        case (
            FloatDistribution(low=low, high=high, log=log, step=None)
            | IntDistribution(low=low, high=high, log=log, step=1)
        ):
            return f"searched {whole}in {low} … {high}{' by its logarithm' if log else ''}"
    return f"searched {whole}in {distribution}"
