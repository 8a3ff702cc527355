"""Optimizers for Keras 3 and the tuner that finds their settings.

Names are imported when they are first used: an optimizer brings neither Optuna nor Plotly along.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from keras_optim_lab import functional, keras_tuner, optimizers, schedules, tasks
    from keras_optim_lab.comparison.comparison import BackendComparison, compare_backends
    from keras_optim_lab.curvature import (
        LBFGS,
        AdaHessian,
        GaussNewton,
        LevenbergMarquardt,
        Model,
        Newton,
        NewtonCG,
        Sequential,
        SophiaH,
    )
    from keras_optim_lab.curvature.derivative import derivative
    from keras_optim_lab.curvature.minimize import MinimizeResult, minimize
    from keras_optim_lab.landscapes import surfaces
    from keras_optim_lab.landscapes.formula import Formula
    from keras_optim_lab.landscapes.race import Race, race
    from keras_optim_lab.landscapes.surfaces import Surface
    from keras_optim_lab.landscapes.trace import Trace, trace
    from keras_optim_lab.optimizers import Optimizer
    from keras_optim_lab.range_test import RangeTest, find_learning_rate
    from keras_optim_lab.results import TuningResult, tune
    from keras_optim_lab.tasks import Task
    from keras_optim_lab.tuning import PruningCallback, search_space, suggest

_HOMES = {
    "AdaHessian": "curvature",
    "BackendComparison": "comparison.comparison",
    "Formula": "landscapes.formula",
    "GaussNewton": "curvature",
    "LBFGS": "curvature",
    "LevenbergMarquardt": "curvature",
    "MinimizeResult": "curvature.minimize",
    "Model": "curvature",
    "Newton": "curvature",
    "NewtonCG": "curvature",
    "Optimizer": "optimizers",
    "PruningCallback": "tuning",
    "Race": "landscapes.race",
    "RangeTest": "range_test",
    "Sequential": "curvature",
    "SophiaH": "curvature",
    "Surface": "landscapes.surfaces",
    "Task": "tasks",
    "Trace": "landscapes.trace",
    "TuningResult": "results",
    "compare_backends": "comparison.comparison",
    "derivative": "curvature.derivative",
    "find_learning_rate": "range_test",
    "functional": None,
    "keras_tuner": None,
    "minimize": "curvature.minimize",
    "optimizers": None,
    "race": "landscapes.race",
    "schedules": None,
    "search_space": "tuning",
    "suggest": "tuning",
    "surfaces": "landscapes",
    "tasks": None,
    "trace": "landscapes.trace",
    "tune": "results",
}

__all__ = [
    "LBFGS",
    "AdaHessian",
    "BackendComparison",
    "Formula",
    "GaussNewton",
    "LevenbergMarquardt",
    "MinimizeResult",
    "Model",
    "Newton",
    "NewtonCG",
    "Optimizer",
    "PruningCallback",
    "Race",
    "RangeTest",
    "Sequential",
    "SophiaH",
    "Surface",
    "Task",
    "Trace",
    "TuningResult",
    "compare_backends",
    "derivative",
    "find_learning_rate",
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
