"""What a map is of: an optimizer of which two hyperparameters change and the others stay."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keras_optim_lab.maps.axes import Axis, axes
from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.spaces.parameters import field_name
from keras_optim_lab.tuning.spaces.recipe import Recipe, described
from keras_optim_lab.tuning.spaces.space import SearchSpace
from keras_optim_lab.tuning.spaces.template import Template
from keras_optim_lab.tuning.study_result import StudyResult

DEFAULT = "adam"


@dataclass(frozen=True)
class Plane:
    """The settings that a map shows.

    Attributes:
        space: of one optimizer, whose defaults are what stays.
        x, y: the two that change.
        defaults: the optimizer as it is by default or was given.
        choice: of a study, if the map goes through one and it is not the defaults.
        found: by the study, where its choice is to keep the defaults all the same.
        study: its name.
        params: of the trial that models are built from, if they are.
    """

    space: SearchSpace
    x: Axis
    y: Axis
    defaults: Configuration
    choice: Configuration | None = None
    found: Configuration | None = None
    study: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def optimizer(self) -> str:
        """What it is called."""
        return self.space.optimizers[0]

    def cell(self, row: int, column: int) -> Configuration:
        """The settings of a cell, by its number along y and along x."""
        recipe = {key: self.space.own[key] for key in self.space.searched_recipe}
        both = {
            self.x.key: float(self.x.params[column]),
            self.y.key: float(self.y.params[row]),
        }
        return self.space.decode({**self.space.defaults(self.optimizer), **recipe, **both})

    @property
    def marks(self) -> list[tuple[str, Configuration]]:
        """The settings that a map shows beside its cells, the defaults first."""
        known = {
            "the defaults": self.defaults,
            f"the choice of {self.study}": self.choice,
            f"found by {self.study}, not chosen": self.found,
        }
        return [(name, each) for name, each in known.items() if each is not None]

    @property
    def others(self) -> dict[str, Any]:
        """The settings that stay, of those that a study would search or were given a value."""
        given = {} if self.choice is None else self.choice.settings
        settings = {**given, **self.cell(0, 0).settings}
        return {n: v for n, v in settings.items() if n not in (self.x.name, self.y.name)}


def plane(
    optimizer: str | Optimizer | None,
    x: str,
    y: str,
    settings: int,
    space: Mapping[str, Any] | None,
    result: StudyResult | None,
    own: Recipe,
) -> Plane:
    """The plane of a map, through the choice of a study where there is one.

    Args:
        own: the recipe of the task that is trained; all else as `kol.map` takes it.

    Raises:
        TypeError, ValueError: one of the arguments is wrong, or the study chose among others.
    """
    if not isinstance(optimizer, str | Optimizer | None):
        raise TypeError(
            '`optimizer` must be one optimizer or its name, such as "adam": a map shows two '
            f"settings of one. Received: optimizer={optimizer!r}"
        )
    if result is None:
        searched = SearchSpace(optimizer or DEFAULT, space, own)
        (name,) = searched.optimizers
        return Plane(searched, *axes(searched, x, y, settings), searched.untuned(name).default)
    if not isinstance(result, StudyResult):
        raise TypeError(
            "`result` must be what `tune` returned, or TuningResult.load(name). "
            f"Received: result={result!r}"
        )
    choice, found = result.best_configuration, result.found_configuration
    if optimizer is not None and Template.of(optimizer).name != choice.name:
        raise ValueError(
            f"`optimizer` must be that of the study's choice, {choice.name!r}, or left out. "
            f"Received: optimizer={optimizer!r}"
        )
    through = choice.template.make(choice.hyperparameters)
    ranges = {
        key: distribution
        for key, distribution in result.space.spaces[choice.name].items()
        if {key, field_name(key)} & {x, y}
    }
    recipe = described(choice.recipe, ())
    searched = SearchSpace(through, {**ranges, **recipe, **(space or {})}, own)
    return Plane(
        searched,
        *axes(searched, x, y, settings),
        choice.default,
        None if _as_by_default(choice, result.space.untuned(choice.name)) else choice,
        found if found != choice and found.name == choice.name else None,
        result.study.study_name,
        result.best_trial.params,
    )


def _as_by_default(choice: Configuration, untuned: Configuration) -> bool:
    defaults, named = choice.template.defaults, choice.hyperparameters.items()
    same = all(defaults[name] == value for name, value in named)
    return same and choice.recipe == untuned.recipe
