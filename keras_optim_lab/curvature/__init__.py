"""Newton's method and its family: optimizers that ask the loss for more than its gradient."""

from keras_optim_lab.curvature.diagonal import AdaHessian, SophiaH
from keras_optim_lab.curvature.gauss_newton import GaussNewton, LevenbergMarquardt
from keras_optim_lab.curvature.lbfgs import LBFGS
from keras_optim_lab.curvature.model import Model, Sequential
from keras_optim_lab.curvature.newton import Newton, NewtonCG
from keras_optim_lab.curvature.objective import Objective, Point
from keras_optim_lab.curvature.optimizer import CurvatureOptimizer
from keras_optim_lab.curvature.sam import SAM

__all__ = [
    "LBFGS",
    "SAM",
    "AdaHessian",
    "CurvatureOptimizer",
    "GaussNewton",
    "LevenbergMarquardt",
    "Model",
    "Newton",
    "NewtonCG",
    "Objective",
    "Point",
    "Sequential",
    "SophiaH",
]
