"""Optimizers for Keras 3, the same on TensorFlow, JAX and PyTorch."""

# First: the package has what registers with Keras imported as soon as Keras is, and that needs
# modules of this folder whole.
import keras  # noqa: F401

from keras_optim_lab.optimizers.catalogue import Entry, entries, entry, get, names, register
from keras_optim_lab.optimizers.rules.adabelief import AdaBelief
from keras_optim_lab.optimizers.rules.adabound import AdaBound
from keras_optim_lab.optimizers.rules.adafactor import Adafactor
from keras_optim_lab.optimizers.rules.adagrad import Adagrad
from keras_optim_lab.optimizers.rules.adam import Adam, AdamW
from keras_optim_lab.optimizers.rules.adan import Adan
from keras_optim_lab.optimizers.rules.ademamix import AdEMAMix
from keras_optim_lab.optimizers.rules.adopt import ADOPT
from keras_optim_lab.optimizers.rules.gradient_descent import GradientDescent
from keras_optim_lab.optimizers.rules.lamb import LAMB
from keras_optim_lab.optimizers.rules.lars import LARS
from keras_optim_lab.optimizers.rules.lion import Lion
from keras_optim_lab.optimizers.rules.momentum import Momentum
from keras_optim_lab.optimizers.rules.muon import Muon
from keras_optim_lab.optimizers.rules.nadam import Nadam
from keras_optim_lab.optimizers.rules.nadamw import NAdamW
from keras_optim_lab.optimizers.rules.prodigy import Prodigy
from keras_optim_lab.optimizers.rules.radam import RAdam
from keras_optim_lab.optimizers.rules.rmsprop import RMSprop
from keras_optim_lab.optimizers.rules.schedule_free import ScheduleFreeAdamW, ScheduleFreeSGD
from keras_optim_lab.optimizers.rules.shampoo import Shampoo
from keras_optim_lab.optimizers.rules.soap import SOAP
from keras_optim_lab.optimizers.shell.optimizer import Hyperparameter, Optimizer
from keras_optim_lab.optimizers.shell.slots import Record, Slot
from keras_optim_lab.optimizers.wrappers import (
    AdaptiveClipping,
    Cautious,
    CentralizedGradients,
    LayerwiseDecay,
    Lookahead,
    SkipNonFinite,
    layerwise,
)
from keras_optim_lab.optimizers.wrappers.groups import Groups, groups

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
