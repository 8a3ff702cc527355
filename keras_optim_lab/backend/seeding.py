"""Seeding without waiting for a framework that is not in use."""

import keras

from keras_optim_lab.keras_private import rng_utils, without_tensorflow


def set_random_seed(seed: int) -> None:
    """As `keras.utils.set_random_seed`, which imports TensorFlow on every backend to seed it too.

    On other backends TensorFlow is seeded only if it has been imported.
    """
    with without_tensorflow(rng_utils):
        keras.utils.set_random_seed(seed)
