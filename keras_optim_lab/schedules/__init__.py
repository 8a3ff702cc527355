"""Schedules: what changes with the steps of a training, for any hyperparameter.

rate = kol.schedules.WarmupDecay(1e-2, steps=2000, warmup=0.1, decay="cosine")
model.compile(optimizer=kol.Adam(learning_rate=rate), loss="mse")
"""

from keras_optim_lab.schedules.inverse_square_root import InverseSquareRoot
from keras_optim_lab.schedules.one_cycle import OneCycle
from keras_optim_lab.schedules.warmup_decay import (
    DECAYS,
    WarmupDecay,
    check_decay,
    check_warmup,
    factor,
)
from keras_optim_lab.schedules.warmup_stable_decay import WarmupStableDecay

__all__ = [
    "DECAYS",
    "InverseSquareRoot",
    "OneCycle",
    "WarmupDecay",
    "WarmupStableDecay",
    "check_decay",
    "check_warmup",
    "factor",
]
