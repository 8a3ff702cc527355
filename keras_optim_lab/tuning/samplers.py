"""Samplers and pruners by name, for those who do not build them."""

import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.samplers import (
    BaseSampler,
    BruteForceSampler,
    CmaEsSampler,
    GPSampler,
    GridSampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)

from keras_optim_lab.arguments import near_matches
from keras_optim_lab.tuning.freeze_thaw import FreezeThaw

# How often a sampler that learns from trials is asked for more, while others that it has not seen
# the results of are trained. See docs/studies.md for what was measured.
GENERATIONS = 8
# Of every number in a grid.
GRID_POINTS = 5

# By parameter; None where it is told by and by.
Space = Mapping[str, BaseDistribution] | None


def _tpe(seed: int, space: Space) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # the groups: one for each optimizer
        return TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)


def _gp(seed: int, space: Space) -> BaseSampler:
    _check_installed("gp", "torch")
    return GPSampler(seed=seed)


def _cmaes(seed: int, space: Space) -> BaseSampler:
    _check_installed("cmaes", "cmaes")
    return CmaEsSampler(seed=seed, warn_independent_sampling=False)


def _check_installed(name: str, package: str) -> None:
    if find_spec(package) is None:
        raise ImportError(
            f"sampler={name!r} needs {package}, which is not installed: "
            f'pip install "keras-optim-lab[{package}]". Or choose another sampler.'
        )


class Grid(GridSampler):
    """Every point of a grid once, in an order that is the same in all processes.

    Trials that have chosen already, as a study's first ones, are none of its points.
    """

    def before_trial(self, study: optuna.Study, trial: Any) -> None:
        if not trial.params:
            super().before_trial(study, trial)

    def after_trial(self, study: optuna.Study, trial: Any, state: Any, values: Any) -> None:
        if "grid_id" in trial.system_attrs:
            super().after_trial(study, trial, state, values)
        elif self.is_exhausted(study):
            study.stop()


def _grid(seed: int, space: Space) -> BaseSampler:
    if space is None:
        raise ValueError(
            'sampler="grid" is made of a study\'s search space, and here it is not known '
            "beforehand. Give an optuna.samplers.GridSampler with the values of every parameter."
        )
    if "optimizer" in space:
        raise ValueError(
            'sampler="grid" has one optimizer: with several every point would be trained once for '
            "each value that belongs to another. Search them one by one, or choose another sampler."
        )
    # A seed of its own for every process would give each another order of the same points.
    return Grid({name: _points(each) for name, each in space.items()}, seed=0)


def _points(distribution: Any) -> list[Any]:
    """The choices, or `GRID_POINTS` numbers at equal distances, both ends included.

    Whole numbers are rounded, and each is there once.
    """
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    spaced = np.geomspace if distribution.log else np.linspace
    low, high = distribution.low, distribution.high
    points = spaced(low, high, GRID_POINTS).tolist()
    if isinstance(distribution, IntDistribution):
        step = distribution.step
        points = [low + round((each - low) / step) * step for each in points]
    return sorted({min(max(each, low), high) for each in points})  # no rounding error outside


SAMPLERS: dict[str, Callable[[int, Space], BaseSampler]] = {
    "tpe": _tpe,
    "gp": _gp,
    "cmaes": _cmaes,
    "random": lambda seed, space: RandomSampler(seed=seed),
    "qmc": lambda seed, space: QMCSampler(seed=seed, warn_independent_sampling=False),
    "grid": _grid,
}

# What is used where nothing is said. A pruner would save two fifths of the epochs, and on a task
# whose best settings learn slowly a search with one finds none of them.
SAMPLER, PRUNER = "tpe", "none"

PRUNERS: dict[str, Callable[[int], BasePruner]] = {
    "median": lambda epochs: optuna.pruners.MedianPruner(
        n_startup_trials=8, n_warmup_steps=epochs // 5
    ),
    "hyperband": lambda epochs: optuna.pruners.HyperbandPruner(max_resource=epochs),
    "halving": lambda epochs: optuna.pruners.SuccessiveHalvingPruner(),
    "freeze-thaw": FreezeThaw,
    "none": lambda epochs: optuna.pruners.NopPruner(),
}


def sampler(choice: str | BaseSampler | None, seed: int, space: Space = None) -> BaseSampler:
    """An Optuna sampler, from its name, as given, or TPE.

    Raises:
        TypeError, ValueError: it is none, or cannot choose from this space.
        ImportError: it needs a package that is not installed.
    """
    if isinstance(choice, BaseSampler):
        return choice
    return _named("sampler", choice or SAMPLER, SAMPLERS)(seed, space)


def learns(sampler: BaseSampler) -> bool:
    """Whether what it proposes depends on what became of earlier trials."""
    return not isinstance(sampler, RandomSampler | QMCSampler | GridSampler | BruteForceSampler)


def pruner(choice: str | BasePruner | None, epochs: int) -> BasePruner:
    """An Optuna pruner, from its name, as given, or none that prunes."""
    if isinstance(choice, BasePruner):
        return choice
    return _named("pruner", choice or PRUNER, PRUNERS)(epochs)


def described(sampler: str | BaseSampler | None, pruner: str | BasePruner | None) -> dict[str, str]:
    """The names by which another process can choose the same; not of objects."""
    named = {"sampler": sampler or SAMPLER, "pruner": pruner or PRUNER}
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
