"""Learning rates tuned to surfaces: an Optuna study for each, whose trials run side by side."""

import numpy as np
import optuna
from optuna.distributions import FloatDistribution

from keras_optim_lab.landscapes.arrival import arrivals
from keras_optim_lab.landscapes.paths import Descent, Paths
from keras_optim_lab.landscapes.surfaces import Surface
from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.optimizers.shell.numeric import Rate

# The ranges of `search_space` are made for networks. Slopes of surfaces are 100 times smaller and
# larger.
_WIDER = 100.0


def rate_range(optimizer: type[Optimizer]) -> FloatDistribution | None:
    """Where the learning rate is searched; None where the method has none to be searched."""
    field = optimizer.numeric.get("learning_rate")
    if not isinstance(field, Rate) or field.search is None:
        return None
    return FloatDistribution(field.search.low / _WIDER, field.search.high * _WIDER, log=True)


def tuned_rates(
    optimizer: Optimizer,
    descent: Descent,
    steps: int,
    *,
    width: int,
    rounds: int = 2,
    seed: int = 0,
) -> list[float]:
    """The learning rate with which a method arrives soonest from the usual start of each surface.

    Args:
        optimizer: the method.
        descent: of this method on the surfaces, with `width` starts on each.
        steps: that a run may take.
        width: trials that run side by side.
        rounds: how often so many are tried; each round's sampler knows the rounds before.
        seed: of the samplers.

    Returns:
        A rate for each surface.
    """
    searched = rate_range(type(optimizer))
    if searched is None:
        raise ValueError(f"{type(optimizer).__name__} has no learning rate to be searched.")
    studies = [_study(seed, width) for _ in descent.surfaces]
    starts = np.stack([np.tile(s.start, (width, 1)) for s in descent.surfaces])
    for _ in range(rounds):
        asked = [
            [study.ask({"learning_rate": searched}) for _ in range(width)] for study in studies
        ]
        rates = [[trial.params["learning_rate"] for trial in trials] for trials in asked]
        paths = descent(starts, steps, learning_rate=rates)
        for i, (study, trials) in enumerate(zip(studies, asked, strict=True)):
            found = Paths(paths.points[i], paths.values[i])
            for trial, score in zip(trials, scores(descent.surfaces[i], found), strict=True):
                study.tell(trial, float(score))
    return [study.best_params["learning_rate"] for study in studies]


def scores(surface: Surface, paths: Paths) -> np.ndarray:
    """How good each path is, less being better: steps to arrive, or how low it has come.

    A path that has not arrived comes after all that have; among these the lowest end is best.
    """
    steps = paths.values.shape[-1] - 1
    with np.errstate(over="ignore", invalid="ignore"):
        fallen = paths.values[..., -1] - paths.values[..., 0]
    height = 1.0 + np.tanh(np.nan_to_num(fallen, nan=np.inf) / (1.0 + abs(paths.values[..., 0])))
    arrived = arrivals(surface, paths)
    return np.where(np.isnan(arrived), steps + 1.0 + height, arrived)


def _study(seed: int, width: int) -> optuna.Study:
    loud = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would tell of a new study
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=width)
    )
    optuna.logging.set_verbosity(loud)
    return study
