"""The devices that rows are spread over: each population is on one of them."""

from collections.abc import Hashable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias

import keras

from keras_optim_lab import backend

# As `keras.device` takes it; None is where Keras puts tensors anyhow.
Device: TypeAlias = Hashable | None


def devices() -> list[Device]:
    """Those that populations may be on: all that the backend names, unless Keras distributes."""
    every = backend.rows().devices()
    alone = len(every) == 1 or keras.distribution.distribution() is not None
    return [None] if alone else every


def on(device: Device) -> AbstractContextManager[None]:
    """Within it, tensors and programs are made on the device, in this thread."""
    return nullcontext() if device is None else keras.device(device)
