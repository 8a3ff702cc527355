"""Optimizers for Keras 3 and the tuner that finds their settings.

Names are imported when they are first used: an optimizer brings neither Optuna nor Plotly along.
"""

import builtins
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from keras_optim_lab.registration import register_with_keras

__version__ = "0.2.0"

# What is public: type checkers read these imports, and so does `_homes` below.
if TYPE_CHECKING:
    from keras_optim_lab import functional as functional
    from keras_optim_lab import keras_tuner as keras_tuner
    from keras_optim_lab import logging as logging
    from keras_optim_lab import optimizers as optimizers
    from keras_optim_lab import schedules as schedules
    from keras_optim_lab import tasks as tasks
    from keras_optim_lab.comparison.comparison import BackendComparison as BackendComparison
    from keras_optim_lab.comparison.comparison import compare_backends as compare_backends
    from keras_optim_lab.curvature.derivative import derivative as derivative
    from keras_optim_lab.curvature.methods import *  # noqa: F403
    from keras_optim_lab.curvature.minimize import MinimizeResult as MinimizeResult
    from keras_optim_lab.curvature.minimize import minimize as minimize
    from keras_optim_lab.curvature.model import Model as Model
    from keras_optim_lab.curvature.model import Sequential as Sequential
    from keras_optim_lab.head_to_head import HeadToHead as HeadToHead
    from keras_optim_lab.head_to_head import compare as compare
    from keras_optim_lab.landscapes import surfaces as surfaces
    from keras_optim_lab.landscapes.formula import Formula as Formula
    from keras_optim_lab.landscapes.race import Race as Race
    from keras_optim_lab.landscapes.race import race as race
    from keras_optim_lab.landscapes.surfaces import Surface as Surface
    from keras_optim_lab.landscapes.trace import Trace as Trace
    from keras_optim_lab.landscapes.trace import trace as trace
    from keras_optim_lab.learning_rate_finder import RangeTest as RangeTest
    from keras_optim_lab.learning_rate_finder import find_learning_rate as find_learning_rate
    from keras_optim_lab.maps.settings_map import SettingsMap as SettingsMap
    from keras_optim_lab.maps.settings_map import map as map
    from keras_optim_lab.optimizers.methods import *  # noqa: F403
    from keras_optim_lab.tasks import Task as Task
    from keras_optim_lab.tuner import TuningResult as TuningResult
    from keras_optim_lab.tuner import tune as tune
    from keras_optim_lab.tuning import PruningCallback as PruningCallback
    from keras_optim_lab.tuning import executors as executors
    from keras_optim_lab.tuning import search_space as search_space
    from keras_optim_lab.tuning import suggest as suggest


@cache
def _homes(module: str = __name__) -> dict[str, str]:
    """The module of every name that `module` imports for others to use, `X as X`; none is run."""
    import ast
    from pathlib import Path

    path = Path(__file__).parents[1].joinpath(*module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    homes: dict[str, str] = {}
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if alias.name == "*":
                    homes |= _homes(node.module)
                elif alias.asname == alias.name:
                    homes[alias.name] = node.module
    return homes


def __getattr__(name: str) -> Any:
    homes = _homes()
    if name == "__all__":  # a star import hides nothing of Python's, such as `map`
        return sorted(homes.keys() - vars(builtins).keys())
    if name not in homes:
        from keras_optim_lab.arguments import near_matches

        refusal = f"module {__name__!r} has no attribute {name!r}.{near_matches(name, homes)}"
        raise AttributeError(refusal, name=name)  # without its name Python adds a hint of its own
    home = import_module(homes[name])
    return vars(home).get(name) or import_module(f"{home.__name__}.{name}")


def __dir__() -> list[str]:
    return sorted([*_homes(), "__version__"])


register_with_keras()
