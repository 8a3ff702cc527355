"""Newton's method and its family: optimizers that ask the loss for more than its gradient."""

import inspect
import typing

from keras_optim_lab.curvature.methods import *  # noqa: F403
from keras_optim_lab.curvature.model import Model as Model
from keras_optim_lab.curvature.model import Sequential as Sequential
from keras_optim_lab.curvature.objective import Objective as Objective
from keras_optim_lab.curvature.objective import Point as Point
from keras_optim_lab.curvature.optimizer import CurvatureOptimizer as CurvatureOptimizer

if not typing.TYPE_CHECKING:  # which goes by the imports
    __all__ = [
        name for name, value in vars().items() if name[0] != "_" and not inspect.ismodule(value)
    ]
