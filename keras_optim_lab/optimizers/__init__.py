"""Optimizers for Keras 3, the same on TensorFlow, JAX and PyTorch."""

# Known to Keras from here on, so that a model saved with a schedule or trained by a curvature
# method can be loaded.
import keras_optim_lab.curvature
import keras_optim_lab.schedules  # noqa: F401
from keras_optim_lab.optimizers.adabelief import AdaBelief
from keras_optim_lab.optimizers.adabound import AdaBound
from keras_optim_lab.optimizers.adafactor import Adafactor
from keras_optim_lab.optimizers.adagrad import Adagrad
from keras_optim_lab.optimizers.adam import Adam, AdamW
from keras_optim_lab.optimizers.adan import Adan
from keras_optim_lab.optimizers.ademamix import AdEMAMix
from keras_optim_lab.optimizers.adopt import ADOPT
from keras_optim_lab.optimizers.base import Hyperparameter, Optimizer
from keras_optim_lab.optimizers.catalogue import Entry, entries, entry, get, names, register
from keras_optim_lab.optimizers.gradient_descent import GradientDescent
from keras_optim_lab.optimizers.grouping import Groups, groups
from keras_optim_lab.optimizers.lamb import LAMB
from keras_optim_lab.optimizers.lars import LARS
from keras_optim_lab.optimizers.lion import Lion
from keras_optim_lab.optimizers.momentum import Momentum
from keras_optim_lab.optimizers.muon import Muon
from keras_optim_lab.optimizers.nadam import Nadam
from keras_optim_lab.optimizers.nadamw import NAdamW
from keras_optim_lab.optimizers.prodigy import Prodigy
from keras_optim_lab.optimizers.radam import RAdam
from keras_optim_lab.optimizers.rmsprop import RMSprop
from keras_optim_lab.optimizers.schedule_free import ScheduleFreeAdamW, ScheduleFreeSGD
from keras_optim_lab.optimizers.shampoo import Shampoo
from keras_optim_lab.optimizers.slots import Record, Slot
from keras_optim_lab.optimizers.soap import SOAP
from keras_optim_lab.optimizers.wrappers import (
    AdaptiveClipping,
    Cautious,
    CentralizedGradients,
    LayerwiseDecay,
    Lookahead,
    SkipNonFinite,
    layerwise,
)

__all__ = [
    "ADOPT",
    "LAMB",
    "LARS",
    "SOAP",
    "AdEMAMix",
    "AdaBelief",
    "AdaBound",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adan",
    "AdaptiveClipping",
    "Cautious",
    "CentralizedGradients",
    "Entry",
    "GradientDescent",
    "Groups",
    "Hyperparameter",
    "LayerwiseDecay",
    "Lion",
    "Lookahead",
    "Momentum",
    "Muon",
    "NAdamW",
    "Nadam",
    "Optimizer",
    "Prodigy",
    "RAdam",
    "RMSprop",
    "Record",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "Shampoo",
    "SkipNonFinite",
    "Slot",
    "entries",
    "entry",
    "get",
    "groups",
    "layerwise",
    "names",
    "register",
]
