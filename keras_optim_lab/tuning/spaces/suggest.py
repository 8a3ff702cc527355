"""A search space in an Optuna objective of one's own."""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution

from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.tuning.spaces.space import Searched, SearchSpace


def search_space(optimizer: Searched, **overrides: Any) -> dict[str, BaseDistribution]:
    """The Optuna distributions that a study of `optimizer` searches.

        kol.search_space("adam", learning_rate=(1e-4, 1e-2))

    Args:
        optimizer: a name from the catalogue, an optimizer, or several.
        **overrides: by field name, as in `SearchSpace`.

    Returns:
        By the name of each parameter, the distribution that it is drawn from.

    Raises:
        TypeError, ValueError: an argument is wrong.
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

        generator.compile(optimizer=kol.suggest(trial, "adam", prefix="generator"), loss="mse")
        critic.compile(optimizer=kol.suggest(trial, "adam", prefix="critic"), loss="mse")

    Args:
        trial: the trial that the objective is called with.
        optimizer: a name from the catalogue, an optimizer, or several to choose among.
        space: changes to the search space, as in `SearchSpace`.
        steps: of the whole training, batches per epoch times epochs; needed where `space` gives
            the learning rate a schedule.
        prefix: of the parameters' names, such as "critic.learning_rate".

    Returns:
        A new optimizer with these values.

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
