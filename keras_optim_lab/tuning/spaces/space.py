"""Search spaces: Optuna distributions made from an optimizer's fields.

A decay rate is searched as 1 − β on a log scale, because 0.9, 0.99 and 0.999 are as far from each
other as 0.1, 0.01 and 0.001; the parameter is then called `1-beta_1`.

The recipe, `schedule` and `warmup` of the learning rate, `batch_size` and `epochs`, belongs to the
study: it is the same choice for every optimizer.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import product
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    distribution_to_json,
    json_to_distribution,
)

from keras_optim_lab.arguments import near_matches, whole_number
from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.optimizers.shell.numeric import DecayRate, Rate
from keras_optim_lab.optimizers.shell.whole_step import CLIPS
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.spaces.overrides import of_field
from keras_optim_lab.tuning.spaces.parameters import (
    bounds,
    complement,
    field_name,
    field_value,
    suggest_parameter,
)
from keras_optim_lab.tuning.spaces.recipe import (
    AS_USUAL,
    SCHEDULE,
    USUAL,
    Recipe,
    check_owner,
    of_recipe,
)
from keras_optim_lab.tuning.spaces.template import Template

# What may be searched.
Searched = str | Optimizer | Sequence[str | Optimizer]


class SearchSpace:
    """What a study may choose: one optimizer with its hyperparameters, or one of several.

    With several optimizers the parameter `optimizer` comes first, and those of each carry its
    name: `adam.learning_rate`. Those of the recipe never do.

    Args:
        optimizers: a name from the catalogue, which may be "lookahead(adam)"; an optimizer, of
            which a study changes what has a range and leaves the rest; or a sequence of these. A
            number of an optimizer inside has the name that it has in the whole, such as
            "lookahead.share" and "group_1.learning_rate". Groups of the default's class follow it
            in what they have in common.
        overrides: by field name (`"adam.beta_1"` for one of several optimizers), an Optuna
            distribution, a `(low, high)` pair, or a number or bool that fixes the field. A pair is
            log-uniform like the field's own range. A field without a range of its own may be given
            one. `"1-beta_1"` stands for the complement of `beta_1`.

            Two more keys give the learning rate a schedule, `schedules.WarmupDecay` over the whole
            training. `"schedule"`: "constant", "linear" or "cosine", or a list or
            CategoricalDistribution of these to search. `"warmup"`: the share of the steps in which
            the rate rises first; a number in [0, 1), or a `(low, high)` pair, which is searched
            linearly, or a distribution of such numbers.

            And two are of the training itself, in place of what the task says. `"batch_size"`: a
            number of samples, or a list or CategoricalDistribution of these to search.
            `"epochs"`: a whole number, a `(low, high)` pair, which is searched by its logarithm,
            or an IntDistribution or CategoricalDistribution.
        own: the recipe of the task that is trained; without one there is neither of the last two.

    Raises:
        TypeError, ValueError: a name is unknown (the message lists near ones) or a range leaves
            what the field accepts.
    """

    def __init__(
        self,
        optimizers: Searched,
        overrides: Mapping[str, Any] | None = None,
        own: Recipe = AS_USUAL,
    ):
        given = _listed(optimizers)
        templates = [Template.of(each) for each in given]
        self.optimizers = [each.name for each in templates]
        self.templates = dict(zip(self.optimizers, templates, strict=True))
        if len(self.templates) < len(self.optimizers):
            raise ValueError(f"`optimizer` names one twice. Received: {given}")
        self.spaces = {each.name: _default_space(each) for each in templates}
        self.fixed: dict[str, dict[str, Any]] = {name: {} for name in self.optimizers}
        # By names of the recipe, each a distribution or what it is fixed to; not what is usual.
        self.recipe: dict[str, Any] = {}
        self._own = own
        if not isinstance(overrides, Mapping | None):
            raise TypeError(
                '`space` must be a dict such as {"beta_1": (0.5, 0.99)}. '
                f"Received: space={overrides!r}"
            )
        for key, value in (overrides or {}).items():
            self._override(key, value)
        for name in self.optimizers:
            self._check_clips(name)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Every parameter of the study with its Optuna distribution."""
        every: dict[str, BaseDistribution] = {}
        if len(self.optimizers) > 1:
            every["optimizer"] = CategoricalDistribution(self.optimizers)
        for name in self.optimizers:
            every.update(self.hyperparameters(name))
        return {**every, **self.searched_recipe}

    def hyperparameters(self, optimizer: str) -> dict[str, BaseDistribution]:
        """The parameters of the study that belong to one optimizer."""
        space = self.spaces[optimizer]
        return {self.label(optimizer, key): distribution for key, distribution in space.items()}

    def defaults(self, optimizer: str) -> dict[str, Any]:
        """The values of these parameters that make the optimizer as it is by default."""
        defaults = self.templates[optimizer].defaults
        values = {}
        for key in self.spaces[optimizer]:
            default = defaults[field_name(key)]
            values[self.label(optimizer, key)] = default if key in defaults else 1.0 - default
        return values

    def untuned(self, optimizer: str) -> Configuration:
        """The optimizer as it is by default or was given, with what the study speaks of by name."""
        template = self.templates[optimizer]
        named = [*map(field_name, self.spaces[optimizer]), *self.fixed[optimizer]]
        values = {name: template.defaults[name] for name in named if name in template.defaults}
        recipe = Recipe(**{key: self.own[key] for key in self.recipe})
        return Configuration(optimizer, values, recipe, tuple(self.recipe), template)

    @property
    def own(self) -> dict[str, Any]:
        """The recipe of the task, by name."""
        return asdict(self._own)

    @property
    def scheduled(self) -> tuple[str, ...]:
        """What it says of the schedule of the learning rate, by name."""
        return tuple(key for key in SCHEDULE if key in self.recipe)

    @property
    def searched_recipe(self) -> dict[str, BaseDistribution]:
        """The parameters that belong to the recipe."""
        return {
            key: self.recipe[key]
            for key in USUAL
            if isinstance(self.recipe.get(key), BaseDistribution)
        }

    @property
    def most_epochs(self) -> int | None:
        """Of the longest training that a trial may choose; None for the task's own."""
        epochs = self.recipe.get("epochs")
        return max(bounds(epochs)) if isinstance(epochs, BaseDistribution) else epochs

    @property
    def structures(self) -> list[Configuration]:
        """One configuration of every structure that a trial may choose."""
        found: dict[Hashable, Configuration] = {}
        size = self.recipe.get("batch_size")
        sizes: Sequence[Any] = bounds(size) if isinstance(size, BaseDistribution) else [size]
        for name, space in self.spaces.items():
            choices = [
                each.choices if isinstance(each, CategoricalDistribution) else [bounds(each)[1]]
                for each in space.values()
            ]
            for values in product(*choices):
                chosen = dict(zip(space, values, strict=True))
                configuration = self._configuration(name, chosen, AS_USUAL)
                found.setdefault(configuration.structure, configuration)
        recipes = [Recipe(batch_size=size) for size in sizes]
        return [replace(each, recipe=recipe) for each in found.values() for recipe in recipes]

    def suggest(self, trial: optuna.trial.BaseTrial, prefix: str = "") -> Configuration:
        """Lets a trial choose, by names that begin with `prefix`."""
        name = self.optimizers[0]
        if len(self.optimizers) > 1:
            name = trial.suggest_categorical(f"{prefix}optimizer", self.optimizers)
        searched = {**self.hyperparameters(name), **self.searched_recipe}
        chosen = {
            label: suggest_parameter(trial, prefix + label, distribution)
            for label, distribution in searched.items()
        }
        return self.decode({"optimizer": name, **chosen})

    def decode(self, params: Mapping[str, Any]) -> Configuration:
        """What a trial of these parameters has chosen."""
        name = params.get("optimizer", self.optimizers[0])
        chosen = {key: params[self.label(name, key)] for key in self.spaces[name]}
        recipe = {key: params.get(key, value) for key, value in self.recipe.items()}
        return self._configuration(name, chosen, Recipe(**recipe))

    def check_steps(self, function: str, steps: Any) -> int | None:
        """Returns the steps of the training that a user gave to `function`, checked.

        Raises:
            TypeError, ValueError: they are no count, or a schedule needs them and they are None.
        """
        if steps is not None:
            return whole_number("steps", steps)
        if self.scheduled:
            raise ValueError(
                f"space: {' and '.join(map(repr, self.scheduled))} needs to know how many steps "
                f"the training has. Pass {function}(..., steps=batches per epoch × epochs)."
            )
        return None

    def describe(self) -> dict[str, Any]:
        """The space as plain data, equal for equal spaces."""
        fixed_recipe = {
            key: value
            for key, value in self.recipe.items()
            if not isinstance(value, BaseDistribution)
        }
        description = {
            "optimizers": self.optimizers,
            "distributions": {
                name: distribution_to_json(dist) for name, dist in self.distributions.items()
            },
            "fixed": self.fixed,
        }
        given = {n: each.config for n, each in self.templates.items() if each.given is not None}
        # Studies without are described as they were before there was any.
        others = {"schedule": fixed_recipe, "given": given}
        return {**description, **{key: value for key, value in others.items() if value}}

    @classmethod
    def from_description(
        cls, description: Mapping[str, Any], own: Recipe = AS_USUAL
    ) -> "SearchSpace":
        """The space that `describe` described, of a task with this recipe."""
        given = description.get("given", {})
        names = description["optimizers"]
        space = cls([Template.from_config(n, given.get(n)).given or n for n in names], own=own)
        space.fixed = description["fixed"]
        space.spaces = {name: {} for name in space.optimizers}
        space.recipe = dict(description.get("schedule", {}))
        for label, json in description["distributions"].items():
            if label in USUAL:
                space.recipe[label] = json_to_distribution(json)
            elif label != "optimizer":
                name, key = space.owner(label)
                space.spaces[name or names[0]][key] = json_to_distribution(json)
        return space

    def owner(self, label: str) -> tuple[str | None, str]:
        """The optimizer that a label names, if it names one, and the rest of it."""
        if not isinstance(label, str):
            raise TypeError(f"space: its keys are names of hyperparameters. Received: {label!r}")
        for name in self.optimizers:
            if label.startswith(f"{name}."):
                return name, label.removeprefix(f"{name}.")
        return None, label

    def label(self, optimizer: str, key: str) -> str:
        """What the study calls a parameter of one optimizer."""
        return f"{optimizer}.{key}" if len(self.optimizers) > 1 else key

    def _configuration(
        self, optimizer: str, chosen: Mapping[str, Any], recipe: Recipe
    ) -> Configuration:
        template = self.templates[optimizer]
        searched = {field_name(key): field_value(key, value) for key, value in chosen.items()}
        hyperparameters = template.completed({**searched, **self.fixed[optimizer]})
        return Configuration(optimizer, hyperparameters, recipe, tuple(self.recipe), template)

    def _override(self, label: str, value: Any) -> None:
        if label in USUAL:
            if label in SCHEDULE:
                self._check_rates(label)
            chosen = of_recipe(label, value, self._own)
            if isinstance(chosen, BaseDistribution) or chosen != self.own[label]:
                self.recipe[label] = chosen
            return
        owner, key = self.owner(label)
        check_owner("space", label)
        prefix, dot, _ = key.rpartition(".")
        known = (name for each in self.templates.values() for name in each.fields)
        if dot and not any(name.startswith(f"{prefix}.") for name in known):
            raise ValueError(
                f"space: {label!r} speaks of {prefix!r}, which is not searched."
                f"{near_matches(prefix, self.optimizers)} Searched: {', '.join(self.optimizers)}."
            )
        for name in [owner] if owner else self.optimizers:
            parameter, chosen = of_field(self.templates[name], label, key, value)
            field = field_name(key)
            for former in (field, complement(field)):
                self.spaces[name].pop(former, None)
            self.fixed[name].pop(field, None)
            if isinstance(chosen, BaseDistribution):
                self.spaces[name][parameter] = chosen
            else:
                self.fixed[name][field] = chosen

    def _check_rates(self, label: str) -> None:
        """Raises a ValueError where there is no learning rate that a schedule could change."""
        for template in self.templates.values():
            if not any(isinstance(field, Rate) for field in template.numeric.values()):
                raise ValueError(
                    f"space: {label!r} needs a learning rate to change, and {template.title} has "
                    f"none. Leave out {label!r} or {template.name!r}."
                )

    def _check_clips(self, name: str) -> None:
        """Raises a ValueError where gradients would be clipped in two ways."""
        chosen = {**self.templates[name].defaults, **self.spaces[name], **self.fixed[name]}
        clips = [clip for clip in CLIPS if chosen.get(clip) is not None]
        if len(clips) > 1:
            raise ValueError(
                f"space: {' and '.join(map(repr, clips))} of {self.templates[name].title} exclude "
                "each other: gradients are clipped in one way. Leave one of them out."
            )


def _listed(optimizers: Any) -> list[str | Optimizer]:
    several = [optimizers] if isinstance(optimizers, str | Optimizer) else optimizers
    if not isinstance(several, Sequence) or not all(
        isinstance(each, str | Optimizer) for each in several
    ):
        raise TypeError(
            '`optimizer` must be a name from the catalogue, such as "adam", an optimizer of this '
            f"package, or a list of these. Received: optimizer={optimizers!r}"
        )
    if not several:
        raise ValueError("`optimizer` must name at least one optimizer. Received: []")
    return list(several)


def _default_space(template: Template) -> dict[str, BaseDistribution]:
    return {
        complement(name) if isinstance(field, DecayRate) else name: FloatDistribution(
            field.search.low, field.search.high, log=True
        )
        for name, field in template.numeric.items()
        if field.search is not None and name not in template.leaders
    }
