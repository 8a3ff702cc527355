"""What rows are to do in an epoch, and what of it goes into a program."""

from typing import Any, NamedTuple

from keras_optim_lab.tasks.splits import Fold
from keras_optim_lab.tuning.engines.batches import Batches
from keras_optim_lab.tuning.spaces.configuration import Configuration


class Inputs(NamedTuple):
    """What comes into an epoch for each row; the rows are the first axis of every array.

    Attributes:
        active: whether it trains at all.
        train: what it trains on.
        validation: what it is measured on, where that is a fold; otherwise all rows share it.
        held: every numeric hyperparameter as its variable would hold it.
        schedule: `steps`, `warmup` and `decay` of its learning rate, where these are searched.
    """

    active: Any
    train: Batches
    validation: Batches | tuple[()]
    held: dict[str, Any]
    schedule: dict[str, Any]


class RowEpoch(NamedTuple):
    """What one row is to do: train a configuration with a seed, in its epoch 0, 1, …, on a fold."""

    configuration: Configuration
    seed: int
    epoch: int
    fold: Fold | None = None
