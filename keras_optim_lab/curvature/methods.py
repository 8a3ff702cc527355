"""Newton's method and its family by their names: where a new one is listed besides its own file."""

from keras_optim_lab.curvature.diagonal import AdaHessian as AdaHessian
from keras_optim_lab.curvature.diagonal import SophiaH as SophiaH
from keras_optim_lab.curvature.gauss_newton import GaussNewton as GaussNewton
from keras_optim_lab.curvature.gauss_newton import LevenbergMarquardt as LevenbergMarquardt
from keras_optim_lab.curvature.lbfgs import LBFGS as LBFGS
from keras_optim_lab.curvature.newton import Newton as Newton
from keras_optim_lab.curvature.newton import NewtonCG as NewtonCG
from keras_optim_lab.curvature.sam import SAM as SAM
