"""Optimizers for Keras 3 and the tuner that finds their settings.

Names are imported when they are first used: an optimizer brings neither Optuna nor Plotly along.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from keras_optim_lab import functional, keras_tuner, optimizers, schedules, tasks
    from keras_optim_lab.comparison.comparison import BackendComparison, compare_backends
    from keras_optim_lab.curvature import LBFGS, Newton, NewtonCG
    from keras_optim_lab.curvature.minimize import MinimizeResult, minimize
    from keras_optim_lab.landscapes import surfaces
    from keras_optim_lab.landscapes.formula import Formula
    from keras_optim_lab.landscapes.race import Race, race
    from keras_optim_lab.landscapes.surfaces import Surface
    from keras_optim_lab.landscapes.trace import Trace, trace
    from keras_optim_lab.optimizers import Optimizer
    from keras_optim_lab.results import TuningResult, tune
    from keras_optim_lab.tasks import Task
    from keras_optim_lab.tuning import PruningCallback, search_space, suggest

_HOMES = {
    "LBFGS": "curvature",
    "BackendComparison": "comparison.comparison",
    "MinimizeResult": "curvature.minimize",
    "Newton": "curvature",
    "NewtonCG": "curvature",
    "compare_backends": "comparison.comparison",
    "functional": None,
    "minimize": "curvature.minimize",
    "keras_tuner": None,
    "optimizers": None,
    "schedules": None,
    "tasks": None,
    "Formula": "landscapes.formula",
    "Optimizer": "optimizers",
    "PruningCallback": "tuning",
    "Race": "landscapes.race",
    "Surface": "landscapes.surfaces",
    "Task": "tasks",
    "Trace": "landscapes.trace",
    "TuningResult": "results",
    "race": "landscapes.race",
    "search_space": "tuning",
    "suggest": "tuning",
    "surfaces": "landscapes",
    "trace": "landscapes.trace",
    "tune": "results",
}

__all__ = [
    "LBFGS",
    "BackendComparison",
    "Formula",
    "MinimizeResult",
    "Newton",
    "NewtonCG",
    "Optimizer",
    "PruningCallback",
    "Race",
    "Surface",
    "Task",
    "Trace",
    "TuningResult",
    "compare_backends",
    "functional",
    "keras_tuner",
    "minimize",
    "optimizers",
    "race",
    "schedules",
    "search_space",
    "suggest",
    "surfaces",
    "tasks",
    "trace",
    "tune",
]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES[name]
    if home is None:
        return import_module(f"{__name__}.{name}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__():
    return sorted([*globals(), *_HOMES])
