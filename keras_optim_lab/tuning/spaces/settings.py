"""Settings in an optimizer's own words, as the parameters of a trial that has them."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from keras_optim_lab.arguments import as_float, is_number, near_matches
from keras_optim_lab.tuning.spaces.parameters import bounds, field_name
from keras_optim_lab.tuning.spaces.recipe import NAMES, USUAL, check_owner, checked_recipe
from keras_optim_lab.tuning.spaces.space import SearchSpace
from keras_optim_lab.tuning.spaces.template import Template

_OPTIMIZER = "optimizer"


def as_params(space: SearchSpace, settings: Any, argument: str) -> dict[str, Any]:
    """The parameters by which a trial chooses these settings.

    What they do not name is as by default, or at the nearest end of its range.

    Args:
        space: that the trial chooses from.
        settings: by the names of the optimizer's arguments, such as `learning_rate` and `beta_1`,
            or with its name in front, `adam.beta_1`; those of the recipe; and `optimizer`, which
            of several one has to say in one way or the other.
        argument: what they were given as, for errors.

    Raises:
        TypeError, ValueError: a name is unknown, or a value outside of what the space has.
    """
    if not isinstance(settings, Mapping):
        raise TypeError(
            f'{argument}: settings are a dict such as {{"learning_rate": 3e-3, "beta_1": 0.95}}. '
            f"Received: {settings!r}"
        )
    name = _optimizer(space, settings, argument)
    template = space.templates[name]
    hyperparameters: dict[str, Any] = {}
    recipe: dict[str, Any] = {}
    for label, value in settings.items():
        if label == _OPTIMIZER:
            continue
        if label in USUAL:
            recipe[label] = checked_recipe(argument, label, value)
            continue
        owner, key = space.owner(label)
        if key not in template.fields:  # some optimizers have a warm-up of their own
            check_owner(argument, label)
        if owner not in (None, name):
            raise ValueError(f"{argument}: {label!r} in settings of {name!r}. Leave it out.")
        field, checked = _checked(template, key, value, argument)
        hyperparameters[field] = checked
    params = {_OPTIMIZER: name} if len(space.optimizers) > 1 else {}
    for key, distribution in space.spaces[name].items():
        like = template.fields[field_name(key)].none_is_like
        params[space.label(name, key)] = _searched(
            distribution, key, hyperparameters, template.defaults, argument, like
        )
    for key, distribution in space.searched_recipe.items():
        params[key] = _searched(distribution, key, recipe, space.own, argument)
    _check_the_rest(space, params, {**hyperparameters, **recipe}, argument)
    return params


def default_params(space: SearchSpace, name: str) -> dict[str, Any]:
    """The parameters of a trial that is the optimizer as it was given, or by default.

    Raises:
        ValueError: the space does not have it.
    """
    defaults = {f"{name}.{key}": value for key, value in space.templates[name].defaults.items()}
    own = {key: value for key, value in space.own.items() if value is not None}
    every = {_OPTIMIZER: name, **defaults, **own}
    return as_params(space, every, f"the defaults of {name}")


def _optimizer(space: SearchSpace, settings: Mapping[str, Any], argument: str) -> str:
    """Which of the optimizers the settings are of."""
    named = settings.get(_OPTIMIZER)
    if named is None:
        owners = {space.owner(label)[0] for label in settings} - {None}
        if not owners and len(space.optimizers) == 1:
            return space.optimizers[0]
        if len(owners) != 1:
            raise ValueError(
                f"{argument}: several optimizers are searched, so settings name theirs: "
                f'{{"optimizer": {space.optimizers[0]!r}, ...}}. Received: {dict(settings)!r}'
            )
        (named,) = owners
    if named not in space.optimizers:
        raise ValueError(
            f"{argument}: the optimizer {named!r} is not searched."
            f"{near_matches(str(named), space.optimizers)} Searched: {', '.join(space.optimizers)}."
        )
    return named


def _checked(template: Template, key: str, value: Any, argument: str) -> tuple[str, Any]:
    """The field that is meant and its value."""
    name = field_name(key)
    field = template.fields.get(name)
    if field is None:
        near = near_matches(name, [*template.fields, *USUAL])
        raise ValueError(
            f"{argument}: {template.title} has no hyperparameter {key!r}.{near} "
            f"It has: {', '.join(template.fields)}; and every study has {NAMES}."
        )
    if key != name:
        value = 1.0 - as_float(value)
    if value == template.defaults[name]:
        return name, value
    return name, field.check(f"{argument}: {template.title}", value)


def _searched(
    distribution: BaseDistribution,
    key: str,
    given: Mapping[str, Any],
    defaults: Mapping[str, Any],
    argument: str,
    none_is_like: float = 0.0,
) -> Any:
    """The value of one parameter: the given one, or else the nearest to the default."""
    name = field_name(key)

    def turned(value: Any) -> Any:
        return value if key == name or value is None else 1.0 - value

    wanted = turned(given.get(name, defaults[name]))
    inside = nearest(distribution, wanted, none_is_like)
    if name in given and not _same(inside, wanted):
        options = [turned(each) for each in bounds(distribution)]
        numbers = not isinstance(distribution, CategoricalDistribution)
        words = "{:.6g} … {:.6g}".format(*sorted(options)) if numbers else str(options)
        raise ValueError(
            f"{argument}: {name}={given[name]!r} is outside of what the study searches, {words}. "
            f"Change it, or what is searched: space={{{name!r}: ...}}."
        )
    return inside


def nearest(distribution: BaseDistribution, value: Any, none_is_like: float = 0.0) -> Any:
    """The value of a distribution that is nearest to this one; of numbers, None is like one."""
    if isinstance(distribution, CategoricalDistribution):
        options = bounds(distribution)
        if value in options or not all(map(is_number, [value, *options])):
            return value if value in options else options[0]
        return min(options, key=lambda each: abs(each - value))
    low, high = bounds(distribution)
    number = min(max(none_is_like if value is None else float(value), low), high)
    if isinstance(distribution, IntDistribution):
        return low + round((number - low) / distribution.step) * distribution.step
    step = getattr(distribution, "step", None)
    return number if step is None else low + round((number - low) / step) * step


def _check_the_rest(
    space: SearchSpace, params: Mapping[str, Any], given: Mapping[str, Any], argument: str
) -> None:
    """Refuses what is given and not searched, unless trials have it anyway."""
    chosen = space.decode(params)
    of_trials = {
        **chosen.template.defaults,
        **chosen.hyperparameters,
        **space.own,
        **{key: value for key, value in asdict(chosen.recipe).items() if value is not None},
    }
    for name, value in given.items():
        if not _same(of_trials[name], value):
            raise ValueError(
                f"{argument}: {name}={value!r}, and the study does not search {name}, which is "
                f"{of_trials[name]!r} in every trial. Leave it out, or give it a range: "
                f"space={{{name!r}: ...}}."
            )


def _same(one: Any, other: Any) -> bool:
    numbers = all(isinstance(each, int | float) for each in (one, other))
    return math.isclose(one, other, rel_tol=1e-9) if numbers else one == other
