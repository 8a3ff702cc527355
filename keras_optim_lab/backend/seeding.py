"""Seeding without waiting for a framework that is not in use."""

import sys
from types import SimpleNamespace

import keras

from keras_optim_lab.keras_private import rng_utils


def set_random_seed(seed: int) -> None:
    """As `keras.utils.set_random_seed`, which imports TensorFlow on every backend to seed it too.

    That takes seconds. On other backends TensorFlow is seeded only if it has been imported.
    """
    if keras.backend.backend() == "tensorflow" or "tensorflow" in sys.modules:
        keras.utils.set_random_seed(seed)
        return
    tensorflow = rng_utils.tf
    rng_utils.tf = SimpleNamespace(available=False)
    try:
        keras.utils.set_random_seed(seed)
    finally:
        rng_utils.tf = tensorflow
