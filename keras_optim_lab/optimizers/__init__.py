"""Optimizers for Keras 3, the same on TensorFlow, JAX and PyTorch."""

# Known to Keras from here on, so that a model saved with a schedule or trained by a curvature
# method can be loaded.
import keras_optim_lab.curvature
import keras_optim_lab.schedules  # noqa: F401
from keras_optim_lab.optimizers.adabound import AdaBound
from keras_optim_lab.optimizers.adagrad import Adagrad
from keras_optim_lab.optimizers.adam import Adam, AdamW
from keras_optim_lab.optimizers.base import Hyperparameter, Optimizer
from keras_optim_lab.optimizers.catalogue import Entry, entries, entry, get, names, register
from keras_optim_lab.optimizers.gradient_descent import GradientDescent
from keras_optim_lab.optimizers.momentum import Momentum
from keras_optim_lab.optimizers.nadam import Nadam
from keras_optim_lab.optimizers.radam import RAdam
from keras_optim_lab.optimizers.rmsprop import RMSprop
from keras_optim_lab.optimizers.slots import Record, Slot

__all__ = [
    "AdaBound",
    "Adagrad",
    "Adam",
    "AdamW",
    "Entry",
    "GradientDescent",
    "Hyperparameter",
    "Momentum",
    "Nadam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Record",
    "Slot",
    "entries",
    "entry",
    "get",
    "names",
    "register",
]
