"""The two sides of a map: a hyperparameter each, at even steps of the scale it is searched on."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from optuna.distributions import FloatDistribution

from keras_optim_lab.arguments import near_matches
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.spaces.parameters import field_name
from keras_optim_lab.tuning.spaces.recipe import USUAL, WHOLE
from keras_optim_lab.tuning.spaces.space import SearchSpace


@dataclass(frozen=True)
class Axis:
    """One side of a map.

    Attributes:
        key: the parameter, such as `learning_rate` or `1-beta_1`.
        distribution: from whose low to high end it goes.
        cells: how many there are.
    """

    key: str
    distribution: FloatDistribution
    cells: int

    @property
    def name(self) -> str:
        """The hyperparameter: `beta_1`, where the parameter is `1-beta_1`."""
        return field_name(self.key)

    @property
    def log(self) -> bool:
        """Whether the steps are factors."""
        return self.distribution.log

    @property
    def complementary(self) -> bool:
        """Whether the parameter is 1 − β of a decay rate β."""
        return self.key != self.name

    @cached_property
    def params(self) -> np.ndarray:
        """The parameter in each cell."""
        steps = np.geomspace if self.log else np.linspace
        return steps(self.distribution.low, self.distribution.high, self.cells)

    @property
    def values(self) -> np.ndarray:
        """The hyperparameter in each cell; a decay rate falls along the axis."""
        return 1.0 - self.params if self.complementary else self.params

    @property
    def ends(self) -> tuple[float, float]:
        """The parameter of the lowest and of the highest value."""
        low, high = float(self.params[0]), float(self.params[-1])
        return (high, low) if self.complementary else (low, high)

    @property
    def edges(self) -> np.ndarray:
        """Where the cells begin and end, one more than there are cells, as parameters."""
        places = np.log(self.params) if self.log else self.params
        between = (places[1:] + places[:-1]) / 2
        ends = 2 * places[[0, -1]] - between[[0, -1]]
        found = np.concatenate([ends[:1], between, ends[1:]])
        return np.exp(found) if self.log else found

    def value(self, configuration: Configuration) -> Any:
        """The hyperparameter in a configuration."""
        defaults = configuration.template.defaults
        return {**asdict(configuration.recipe), **defaults, **configuration.hyperparameters}[
            self.name
        ]

    def place(self, configuration: Configuration) -> float | None:
        """Where a configuration is on the axis; None where a log scale has no place for it."""
        value = self.value(configuration)
        if value is None:
            return None
        param = 1.0 - value if self.complementary else value
        return None if self.log and param <= 0 else float(param)


def axes(space: SearchSpace, x: str, y: str, settings: int) -> tuple[Axis, Axis]:
    """Both axes of a map of at most so many settings, as many in x as in y, or one more.

    Raises:
        TypeError, ValueError: one of them is unknown or has no range of numbers, or both are one.
    """
    rows = int(np.sqrt(settings))
    first, second = _axis(space, "x", x, settings // rows), _axis(space, "y", y, rows)
    if first.name == second.name:
        raise ValueError(
            f"`x` and `y` must be two different hyperparameters. Received: x={x!r}, y={y!r}"
        )
    return first, second


def _axis(space: SearchSpace, argument: str, name: str, cells: int) -> Axis:
    template = space.templates[space.optimizers[0]]
    if not isinstance(name, str):
        raise TypeError(
            f"`{argument}` must be the name of a hyperparameter of {template.title}, such as "
            f'"learning_rate". Received: {argument}={name!r}'
        )
    field, searched = field_name(name), {field_name(key): key for key in space.distributions}
    known = [*template.fields, *USUAL]
    if field not in known:
        raise ValueError(
            f"{argument}={name!r}: {template.title} has no hyperparameter of this name."
            f"{near_matches(field, known)} It has ranges for: {', '.join(searched)}."
        )
    if field in WHOLE:
        raise ValueError(
            f"{argument}={name!r} is no side of a map, which has real numbers only. Set it for all "
            f"of its settings: space={{{field!r}: ...}}."
        )
    if field not in searched:
        numbers = field in template.numeric or field == "warmup"
        how = f"give it one: space={{{field!r}: (low, high)}}. Others" if numbers else "those that"
        raise ValueError(
            f"{argument}={name!r} has no range of numbers in this map; {how} have one: "
            f"{', '.join(searched)}."
        )
    distribution = space.distributions[searched[field]]
    if not isinstance(distribution, FloatDistribution) or distribution.single():
        raise ValueError(
            f"{argument}={name!r} must have a range of numbers with low < high. "
            f"Received: {distribution}"
        )
    return Axis(searched[field], distribution, cells)
