"""Optimizers for Keras 3, the same on TensorFlow, JAX and PyTorch."""

import inspect
import typing

# First: the package has what registers with Keras imported as soon as Keras is, and that needs
# modules of this folder whole.
import keras  # noqa: F401

from keras_optim_lab.optimizers.catalogue import Entry as Entry
from keras_optim_lab.optimizers.catalogue import entries as entries
from keras_optim_lab.optimizers.catalogue import entry as entry
from keras_optim_lab.optimizers.catalogue import get as get
from keras_optim_lab.optimizers.catalogue import names as names
from keras_optim_lab.optimizers.catalogue import register as register
from keras_optim_lab.optimizers.methods import *  # noqa: F403
from keras_optim_lab.optimizers.shell.fields import Hyperparameter as Hyperparameter
from keras_optim_lab.optimizers.shell.record import Record as Record
from keras_optim_lab.optimizers.shell.slots import Slot as Slot

if not typing.TYPE_CHECKING:  # which goes by the imports
    __all__ = [
        name for name, value in vars().items() if name[0] != "_" and not inspect.ismodule(value)
    ]
