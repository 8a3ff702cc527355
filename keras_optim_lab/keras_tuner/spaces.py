"""The search spaces of the optimizers as hyperparameters of KerasTuner's."""

from collections.abc import Mapping
from typing import Any

import keras_tuner
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
)

from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.tuning import SearchSpace
from keras_optim_lab.tuning.spaces.space import Searched
from keras_optim_lab.tuning.spaces.suggest import prefix_of


def optimizer(
    hp: keras_tuner.HyperParameters,
    optimizer: Searched,
    space: Mapping[str, Any] | None = None,
    steps: int | None = None,
    prefix: str = "",
) -> Optimizer:
    """A new optimizer whose hyperparameters KerasTuner chooses; any oracle of its can.

        def build(hp):
            model.compile(optimizer=kol.keras_tuner.optimizer(hp, ["adam", "radam"]), loss="mse")

    Names and ranges are those of `suggest`: a decay rate is `1-beta_1` on a log scale, and of
    several optimizers the choice is `optimizer` and each has its own, such as
    `adam.learning_rate`, in a conditional scope. The optimizer's own settings are the defaults,
    where they lie in its ranges.

    Args:
        hp: what the model-building function is called with.
        optimizer: a name from the catalogue, an optimizer, or several to choose among.
        space: changes to the search space, as in `SearchSpace`.
        steps: of the whole training, batches per epoch times epochs; needed where `space` gives
            the learning rate a schedule.
        prefix: of the names, such as "critic.learning_rate". KerasTuner gives one value to all
            hyperparameters of one name, so a second optimizer needs one.

    Returns:
        An optimizer with the values of this trial, or with the defaults while KerasTuner asks
        which hyperparameters there are.

    Raises:
        TypeError, ValueError: an argument is wrong. Nothing has been declared by then.
    """
    if not isinstance(hp, keras_tuner.HyperParameters):
        raise TypeError(f"`hp` must be a keras_tuner.HyperParameters. Received: hp={hp!r}")
    searched = SearchSpace(optimizer, space)
    steps = searched.check_steps("optimizer", steps)
    start = prefix_of(prefix)
    names = searched.optimizers
    chosen = {}
    if len(names) == 1:
        chosen = _declare(
            hp, start, searched.hyperparameters(names[0]), searched.defaults(names[0])
        )
    else:
        chosen["optimizer"] = hp.Choice(f"{start}optimizer", names)
        for name in names:
            with hp.conditional_scope(f"{start}optimizer", [name]):
                chosen |= _declare(
                    hp, start, searched.hyperparameters(name), searched.defaults(name)
                )
    chosen |= _declare(hp, start, searched.searched_recipe, {})
    return searched.decode(chosen).optimizer(steps)


def _declare(
    hp: keras_tuner.HyperParameters,
    start: str,
    distributions: Mapping[str, BaseDistribution],
    defaults: Mapping[str, Any],
) -> dict[str, Any]:
    """Their values, which are None in a conditional scope that is not active."""
    return {
        name: _declare_one(hp, start + name, distribution, defaults.get(name))
        for name, distribution in distributions.items()
    }


def _declare_one(
    hp: keras_tuner.HyperParameters, name: str, distribution: BaseDistribution, default: Any
) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return _declare_choice(hp, name, list(distribution.choices), default)
    assert isinstance(distribution, FloatDistribution)  # all else SearchSpace refuses
    low, high, step = distribution.low, distribution.high, distribution.step
    if default is None or not low <= default <= high or step is not None:
        default = None  # the lowest, to KerasTuner
    sampling = "log" if distribution.log else "linear"
    return hp.Float(name, low, high, step=step, sampling=sampling, default=default)


def _declare_choice(
    hp: keras_tuner.HyperParameters, name: str, choices: list[Any], default: Any
) -> Any:
    # KerasTuner would turn bools into integers, and takes choices of one type only.
    if all(isinstance(choice, bool) for choice in choices):
        if len(choices) == 1:
            return hp.Fixed(name, choices[0])
        return hp.Boolean(name, default=choices[0] if default is None else bool(default))
    if all(isinstance(choice, int | float) for choice in choices):
        choices = [float(choice) for choice in choices]
    return hp.Choice(name, choices, default=default if default in choices else None)
