"""Optimizers for Keras 3 and the tuner that finds their settings.

Names are imported when they are first used: an optimizer brings neither Optuna nor Plotly along.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from keras_optim_lab.registration import register_with_keras

__version__ = "0.1.0"

if TYPE_CHECKING:
    from keras_optim_lab import functional, keras_tuner, optimizers, schedules, tasks
    from keras_optim_lab.comparison.comparison import BackendComparison, compare_backends
    from keras_optim_lab.curvature import (
        LBFGS,
        SAM,
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
    from keras_optim_lab.learning_rate_finder import RangeTest, find_learning_rate
    from keras_optim_lab.optimizers import (
        ADOPT,
        LAMB,
        LARS,
        SOAP,
        AdaBelief,
        AdaBound,
        Adafactor,
        Adagrad,
        Adam,
        AdamW,
        Adan,
        AdaptiveClipping,
        AdEMAMix,
        Cautious,
        CentralizedGradients,
        GradientDescent,
        Groups,
        LayerwiseDecay,
        Lion,
        Lookahead,
        Momentum,
        Muon,
        Nadam,
        NAdamW,
        Optimizer,
        Prodigy,
        RAdam,
        RMSprop,
        ScheduleFreeAdamW,
        ScheduleFreeSGD,
        Shampoo,
        SkipNonFinite,
        groups,
        layerwise,
    )
    from keras_optim_lab.tasks import Task
    from keras_optim_lab.tuner import TuningResult, tune
    from keras_optim_lab.tuning import PruningCallback, search_space, suggest

_HOMES = {
    "ADOPT": "optimizers",
    "AdEMAMix": "optimizers",
    "AdaBelief": "optimizers",
    "AdaBound": "optimizers",
    "AdaHessian": "curvature",
    "Adafactor": "optimizers",
    "Adagrad": "optimizers",
    "Adam": "optimizers",
    "AdamW": "optimizers",
    "Adan": "optimizers",
    "AdaptiveClipping": "optimizers",
    "BackendComparison": "comparison.comparison",
    "Cautious": "optimizers",
    "CentralizedGradients": "optimizers",
    "Formula": "landscapes.formula",
    "GaussNewton": "curvature",
    "GradientDescent": "optimizers",
    "Groups": "optimizers",
    "LAMB": "optimizers",
    "LARS": "optimizers",
    "LBFGS": "curvature",
    "LayerwiseDecay": "optimizers",
    "LevenbergMarquardt": "curvature",
    "Lion": "optimizers",
    "Lookahead": "optimizers",
    "MinimizeResult": "curvature.minimize",
    "Model": "curvature",
    "Momentum": "optimizers",
    "Muon": "optimizers",
    "NAdamW": "optimizers",
    "Nadam": "optimizers",
    "Newton": "curvature",
    "NewtonCG": "curvature",
    "Optimizer": "optimizers",
    "Prodigy": "optimizers",
    "PruningCallback": "tuning",
    "RAdam": "optimizers",
    "RMSprop": "optimizers",
    "Race": "landscapes.race",
    "RangeTest": "learning_rate_finder",
    "SAM": "curvature",
    "SOAP": "optimizers",
    "ScheduleFreeAdamW": "optimizers",
    "ScheduleFreeSGD": "optimizers",
    "Sequential": "curvature",
    "Shampoo": "optimizers",
    "SkipNonFinite": "optimizers",
    "SophiaH": "curvature",
    "Surface": "landscapes.surfaces",
    "Task": "tasks",
    "Trace": "landscapes.trace",
    "TuningResult": "tuner",
    "compare_backends": "comparison.comparison",
    "derivative": "curvature.derivative",
    "find_learning_rate": "learning_rate_finder",
    "functional": None,
    "groups": "optimizers",
    "keras_tuner": None,
    "layerwise": "optimizers",
    "minimize": "curvature.minimize",
    "optimizers": None,
    "race": "landscapes.race",
    "schedules": None,
    "search_space": "tuning",
    "suggest": "tuning",
    "surfaces": "landscapes",
    "tasks": None,
    "trace": "landscapes.trace",
    "tune": "tuner",
}

__all__ = [
    "ADOPT",
    "LAMB",
    "LARS",
    "LBFGS",
    "SAM",
    "SOAP",
    "AdEMAMix",
    "AdaBelief",
    "AdaBound",
    "AdaHessian",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adan",
    "AdaptiveClipping",
    "BackendComparison",
    "Cautious",
    "CentralizedGradients",
    "Formula",
    "GaussNewton",
    "GradientDescent",
    "Groups",
    "LayerwiseDecay",
    "LevenbergMarquardt",
    "Lion",
    "Lookahead",
    "MinimizeResult",
    "Model",
    "Momentum",
    "Muon",
    "NAdamW",
    "Nadam",
    "Newton",
    "NewtonCG",
    "Optimizer",
    "Prodigy",
    "PruningCallback",
    "RAdam",
    "RMSprop",
    "Race",
    "RangeTest",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "Sequential",
    "Shampoo",
    "SkipNonFinite",
    "SophiaH",
    "Surface",
    "Task",
    "Trace",
    "TuningResult",
    "compare_backends",
    "derivative",
    "find_learning_rate",
    "functional",
    "groups",
    "keras_tuner",
    "layerwise",
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
        from difflib import get_close_matches

        near = ", ".join(map(repr, get_close_matches(name, _HOMES)))
        hint = f". Did you mean {near}?" if near else ""
        # With `name` given, Python adds no hint of its own to the traceback.
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}", name=name)
    home = _HOMES[name]
    if home is None:
        return import_module(f"{__name__}.{name}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__():
    return sorted([*globals(), *_HOMES])


register_with_keras()
