"""Search spaces: Optuna distributions made from an optimizer's fields.

A decay rate is searched as 1 − β on a log scale, because 0.9, 0.99 and 0.999 are as far from each
other as 0.1, 0.01 and 0.001; the parameter is then called `1-beta_1`.

The schedule of the learning rate, `schedule` and `warmup`, belongs to the study: it is the same
choice for every optimizer.
"""

from collections.abc import Hashable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)

from keras_optim_lab.arguments import as_float, near_matches, whole_number
from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.optimizers.shell.fields import DecayRate, Rate
from keras_optim_lab.schedules import DECAYS, check_decay, check_warmup
from keras_optim_lab.tuning.spaces.configuration import SCHEDULE_DEFAULTS, Configuration
from keras_optim_lab.tuning.spaces.template import Template

# What may be searched.
Searched = str | Optimizer | Sequence[str | Optimizer]

_COMPLEMENT = "1-"


class SearchSpace:
    """What a study may choose: one optimizer with its hyperparameters, or one of several.

    With several optimizers the parameter `optimizer` comes first, and those of each carry its
    name: `adam.learning_rate`. Those of the schedule never do.

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

    Raises:
        TypeError, ValueError: a name is unknown (the message lists near ones) or a range leaves
            what the field accepts.
    """

    def __init__(self, optimizers: Searched, overrides: Mapping[str, Any] | None = None):
        given = _listed(optimizers)
        templates = [Template.of(each) for each in given]
        self.optimizers = [each.name for each in templates]
        self.templates = dict(zip(self.optimizers, templates, strict=True))
        if len(self.templates) < len(self.optimizers):
            raise ValueError(f"`optimizer` names one twice. Received: {given}")
        self.spaces = {each.name: _default_space(each) for each in templates}
        self.fixed: dict[str, dict[str, Any]] = {name: {} for name in self.optimizers}
        # "schedule" and "warmup", each a distribution or what it is fixed to; not the defaults.
        self.schedule: dict[str, Any] = {}
        if not isinstance(overrides, Mapping | None):
            raise TypeError(
                '`space` must be a dict such as {"beta_1": (0.5, 0.99)}. '
                f"Received: space={overrides!r}"
            )
        for key, value in (overrides or {}).items():
            if key in SCHEDULE_DEFAULTS:
                self._override_schedule(key, value)
            else:
                self._override(key, value)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Every parameter of the study with its Optuna distribution."""
        every: dict[str, BaseDistribution] = {}
        if len(self.optimizers) > 1:
            every["optimizer"] = CategoricalDistribution(self.optimizers)
        for name in self.optimizers:
            every.update(self.hyperparameters(name))
        return {**every, **self.searched_schedule}

    def hyperparameters(self, optimizer: str) -> dict[str, BaseDistribution]:
        """The parameters of the study that belong to one optimizer."""
        space = self.spaces[optimizer]
        return {self._label(optimizer, key): distribution for key, distribution in space.items()}

    def defaults(self, optimizer: str) -> dict[str, Any]:
        """The values of these parameters that make the optimizer as it is by default."""
        defaults = self.templates[optimizer].defaults
        values = {}
        for key in self.spaces[optimizer]:
            default = defaults[field_name(key)]
            values[self._label(optimizer, key)] = default if key in defaults else 1.0 - default
        return values

    @property
    def searched_schedule(self) -> dict[str, BaseDistribution]:
        """Those that belong to the schedule of the learning rate."""
        return {
            key: self.schedule[key]
            for key in SCHEDULE_DEFAULTS
            if isinstance(self.schedule.get(key), BaseDistribution)
        }

    @property
    def forms(self) -> list[Configuration]:
        """One configuration of every form that a trial may choose."""
        found: dict[Hashable, Configuration] = {}
        for name, space in self.spaces.items():
            choices = [
                each.choices if isinstance(each, CategoricalDistribution) else [_bounds(each)[1]]
                for each in space.values()
            ]
            for values in product(*choices):
                chosen = dict(zip(space, values, strict=True))
                configuration = self._configuration(name, chosen)
                found.setdefault(configuration.form, configuration)
        return list(found.values())

    def suggest(self, trial: optuna.trial.BaseTrial, prefix: str = "") -> Configuration:
        """Lets a trial choose, by names that begin with `prefix`."""
        name = self.optimizers[0]
        if len(self.optimizers) > 1:
            name = trial.suggest_categorical(f"{prefix}optimizer", self.optimizers)
        searched = {**self.hyperparameters(name), **self.searched_schedule}
        chosen = {
            label: suggest_parameter(trial, prefix + label, distribution)
            for label, distribution in searched.items()
        }
        return self.decode({"optimizer": name, **chosen})

    def decode(self, params: Mapping[str, Any]) -> Configuration:
        """What a trial of these parameters has chosen."""
        name = params.get("optimizer", self.optimizers[0])
        chosen = {key: params[self._label(name, key)] for key in self.spaces[name]}
        schedule = {key: params.get(key, value) for key, value in self.schedule.items()}
        return self._configuration(
            name,
            chosen,
            decay=schedule.get("schedule", "constant"),
            warmup=schedule.get("warmup", 0.0),
            stated=tuple(schedule),
        )

    def check_steps(self, function: str, steps: Any) -> int | None:
        """Returns the steps of the training that a user gave to `function`, checked.

        Raises:
            TypeError, ValueError: they are no count, or a schedule needs them and they are None.
        """
        if steps is not None:
            return whole_number("steps", steps)
        if self.schedule:
            raise ValueError(
                f"space: {' and '.join(map(repr, self.schedule))} needs to know how many steps "
                f"the training has. Pass {function}(..., steps=batches per epoch × epochs)."
            )
        return None

    def describe(self) -> dict[str, Any]:
        """The space as plain data, equal for equal spaces."""
        fixed_schedule = {
            key: value
            for key, value in self.schedule.items()
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
        # Studies without a schedule are described as they were before there was one.
        others = {"schedule": fixed_schedule, "given": given}
        return {**description, **{key: value for key, value in others.items() if value}}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> "SearchSpace":
        """The space that `describe` described."""
        given = description.get("given", {})
        names = description["optimizers"]
        space = cls([Template.from_config(n, given.get(n)).given or n for n in names])
        space.fixed = description["fixed"]
        space.spaces = {name: {} for name in space.optimizers}
        space.schedule = dict(description.get("schedule", {}))
        for label, json in description["distributions"].items():
            if label in SCHEDULE_DEFAULTS:
                space.schedule[label] = json_to_distribution(json)
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

    def _configuration(self, optimizer: str, chosen: Mapping[str, Any], **schedule):
        template = self.templates[optimizer]
        searched = {
            field_name(key): value if key == field_name(key) else 1.0 - value
            for key, value in chosen.items()
        }
        hyperparameters = template.completed({**searched, **self.fixed[optimizer]})
        return Configuration(optimizer, hyperparameters, **schedule, given=template)

    def _label(self, optimizer: str, key: str) -> str:
        return f"{optimizer}.{key}" if len(self.optimizers) > 1 else key

    def _override_schedule(self, key: str, value) -> None:
        for name in self.optimizers:
            template = self.templates[name]
            if not any(isinstance(field, Rate) for field in template.numeric.values()):
                raise ValueError(
                    f"space: {key!r} needs a learning rate to change, and {template.title} has "
                    f"none. Leave out {key!r} or {name!r}."
                )
        chosen = _schedule(value) if key == "schedule" else _warmup(value)
        if isinstance(chosen, BaseDistribution) or chosen != SCHEDULE_DEFAULTS[key]:
            self.schedule[key] = chosen

    def _override(self, label: str, value) -> None:
        owner, key = self.owner(label)
        prefix, dot, last = key.rpartition(".")
        if last in SCHEDULE_DEFAULTS:
            raise ValueError(
                f"space: {label!r}: the schedule belongs to the study, not to an optimizer. "
                f"Write {last!r}."
            )
        known = (name for each in self.templates.values() for name in each.fields)
        if dot and not any(name.startswith(f"{prefix}.") for name in known):
            raise ValueError(
                f"space: {label!r} speaks of {prefix!r}, which is not searched."
                f"{near_matches(prefix, self.optimizers)} Searched: {', '.join(self.optimizers)}."
            )
        for name in [owner] if owner else self.optimizers:
            template = self.templates[name]
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
            space = self.spaces[name]
            for former in (plain, complement(plain)):
                space.pop(former, None)
            self.fixed[name].pop(plain, None)
            if isinstance(value, BaseDistribution):
                for bound in _bounds(value):
                    _check(template, field, key, bound)
                space[key] = value
            elif isinstance(value, tuple | list):
                low, high = _pair(label, value)
                if isinstance(field, DecayRate) and key == plain:
                    key, low, high = complement(key), 1.0 - high, 1.0 - low
                for bound in (low, high):
                    _check(template, field, key, bound)
                space[key] = _log_uniform(label, low, high)
            elif isinstance(value, int | float | np.number | np.bool_):
                number = 1.0 - as_float(value) if key != plain else value
                self.fixed[name][plain] = field.check(template.title, number)
            else:
                raise TypeError(
                    f"space: {label!r} takes an Optuna distribution, a (low, high) pair, or a "
                    f"number or bool that fixes it. Received: {value!r}"
                )


def search_space(optimizer: Searched, **overrides) -> dict[str, BaseDistribution]:
    """The Optuna distributions that a study of `optimizer` searches.

    Args:
        optimizer: a name from the catalogue, an optimizer, or several.
        **overrides: by field name, as in `SearchSpace`.
    """
    return SearchSpace(optimizer, overrides).distributions


def suggest(
    trial: optuna.trial.BaseTrial,
    optimizer: Searched,
    space: Mapping[str, Any] | None = None,
    steps: int | None = None,
    prefix: str = "",
) -> Optimizer:
    """A new optimizer whose hyperparameters a trial has chosen, for your own Optuna objective.

        def objective(trial):
            model.compile(optimizer=kol.suggest(trial, "adam"), loss="mse")

    A second optimizer of the same trial has a `prefix`, since one name has one value in a trial:

            generator.compile(optimizer=kol.suggest(trial, "adam", prefix="generator"), ...)
            critic.compile(optimizer=kol.suggest(trial, "adam", prefix="critic"), ...)

    Args:
        trial: the trial that the objective is called with.
        optimizer: a name from the catalogue, an optimizer, or several to choose among.
        space: changes to the search space, as in `SearchSpace`.
        steps: of the whole training, batches per epoch times epochs; needed where `space` gives
            the learning rate a schedule.
        prefix: of the parameters' names, such as "critic.learning_rate".

    Raises:
        TypeError, ValueError: an argument is wrong, or the trial has chosen parameters of these
            names already. Nothing has been suggested by then.
    """
    searched = SearchSpace(optimizer, space)
    steps = searched.check_steps("suggest", steps)
    start = prefix_of(prefix)
    if not isinstance(trial, optuna.trial.FrozenTrial):  # which has chosen all of its parameters
        _check_not_chosen(trial, [start + name for name in searched.distributions])
    return searched.suggest(trial, start).optimizer(steps)


def prefix_of(prefix: Any) -> str:
    """What names begin with, from what a user gave."""
    if not isinstance(prefix, str):
        raise TypeError(f'`prefix` must be a name such as "critic". Received: prefix={prefix!r}')
    return f"{prefix}." if prefix else ""


def _check_not_chosen(trial: optuna.trial.BaseTrial, names: Sequence[str]) -> None:
    again = [name for name in names if name in trial.params]
    if again:
        raise ValueError(
            f"suggest: this trial has chosen {', '.join(map(repr, again))} already, and would give "
            'the same values again. Pass prefix="critic" or the like for another optimizer; to '
            "train with the same one again, as in the next fold, copy it: "
            "type(optimizer).from_config(optimizer.get_config())."
        )


def suggest_parameter(trial: optuna.trial.BaseTrial, name: str, distribution: BaseDistribution):
    """Lets a trial choose one value of a distribution."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(name, low, high, step=step, log=log)
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(name, low, high, step=step, log=log)
    raise TypeError(f"{name!r}: Optuna has no method that suggests from {distribution!r}.")


def complement(name: str) -> str:
    """What the parameter of a decay rate is called: `1-beta_1`, and `group_1.1-beta_1`."""
    inside, dot, last = name.rpartition(".")
    return f"{inside}{dot}{_COMPLEMENT}{last}"


def field_name(key: str) -> str:
    """The name of the field that a parameter is of."""
    inside, dot, last = key.rpartition(".")
    return f"{inside}{dot}{last.removeprefix(_COMPLEMENT)}"


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
        for bound in _bounds(value):
            check_warmup("space", bound)
        return value
    if isinstance(value, tuple | list):
        low, high = (check_warmup("space", bound) for bound in _pair("warmup", value))
        if low > high:
            raise ValueError(f"space: 'warmup' takes low ≤ high. Received: {low}, {high}")
        return FloatDistribution(low, high)
    return check_warmup("space", value)


def _bounds(distribution: BaseDistribution) -> Sequence[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    if isinstance(distribution, FloatDistribution):
        return distribution.low, distribution.high
    raise TypeError(
        "space: hyperparameters are searched with a FloatDistribution or a "
        f"CategoricalDistribution. Received: {distribution!r}"
    )


def _check(template: Template, field, key: str, bound) -> None:
    field.check(template.title, bound if key == field_name(key) else 1.0 - bound)


def _pair(label: str, value) -> tuple[float, float]:
    try:
        low, high = map(as_float, value)
    except (TypeError, ValueError):
        raise TypeError(
            f"space: {label!r} must be a (low, high) pair of numbers. Received: {value!r}"
        ) from None
    return low, high


def _log_uniform(label: str, low: float, high: float) -> FloatDistribution:
    if not 0 < low <= high:
        raise ValueError(
            f"space: {label!r} is searched on a log scale, so it takes 0 < low ≤ high (for β the "
            f"same of 1 − β). For a linear range give a FloatDistribution. Received: {low}, {high}"
        )
    return FloatDistribution(low, high, log=True)
