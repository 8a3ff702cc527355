"""Samplers and pruners by name, for those who do not build them."""

from collections.abc import Callable

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from keras_optim_lab.arguments import near_matches

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "qmc": lambda seed: optuna.samplers.QMCSampler(seed=seed),
}

PRUNERS: dict[str, Callable[[int], BasePruner]] = {
    "median": lambda epochs: optuna.pruners.MedianPruner(
        n_startup_trials=8, n_warmup_steps=epochs // 5
    ),
    "hyperband": lambda epochs: optuna.pruners.HyperbandPruner(max_resource=epochs),
    "halving": lambda epochs: optuna.pruners.SuccessiveHalvingPruner(),
    "none": lambda epochs: optuna.pruners.NopPruner(),
}


def sampler(choice: str | BaseSampler | None, seed: int) -> BaseSampler:
    """An Optuna sampler, from its name, as given, or TPE."""
    if isinstance(choice, BaseSampler):
        return choice
    return _named("sampler", choice or "tpe", SAMPLERS)(seed)


def pruner(choice: str | BasePruner | None, epochs: int) -> BasePruner:
    """An Optuna pruner, from its name, as given, or the median pruner."""
    if isinstance(choice, BasePruner):
        return choice
    return _named("pruner", choice or "median", PRUNERS)(epochs)


def described(sampler: str | BaseSampler | None, pruner: str | BasePruner | None) -> dict[str, str]:
    """The names by which another process can choose the same; not of objects."""
    named = {"sampler": sampler or "tpe", "pruner": pruner or "median"}
    return {argument: name for argument, name in named.items() if isinstance(name, str)}


def _named(argument: str, name, known: dict[str, Callable]) -> Callable:
    if not isinstance(name, str):
        raise TypeError(f"`{argument}` must be an Optuna {argument} or a name of {list(known)}.")
    if name not in known:
        raise ValueError(
            f"{argument}={name!r} is not known.{near_matches(name, known)} "
            f"Known: {', '.join(known)}; or give any {argument} of Optuna's."
        )
    return known[name]
