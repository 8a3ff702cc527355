"""How many rows a population has."""

import logging
from typing import Literal

from keras_optim_lab.tuning.engines.engine import Candidates
from keras_optim_lab.tuning.engines.memory import Need, check_width_fits, free_memory

_log = logging.getLogger("keras_optim_lab")

# Rows that "auto" wants: more do not make a vectorized step of a small model faster, and a loop
# only needs enough of them that its start does not count.
_VECTORIZED_ROWS = 64
_LOOPED_ROWS = 8
# So many side by side take little longer than fewer, and are worth it where a sampler wants fewer.
_VECTORIZED_AT_LEAST = 16
_WEIGHTS_AT_ONCE = 2**23


def chosen_width(
    wanted: int | Literal["auto"],
    candidates: Candidates,
    need: Need,
    numbers: int,
    workers: int,
    vectorized: bool,
    devices: int = 1,
) -> int:
    """The rows of all populations together, with room for whole candidates.

    Args:
        wanted: what a user asked for.
        candidates: that are to be trained.
        need: the memory that rows need.
        numbers: that the weights of one row are made of.
        workers: how many programs run at once.
        vectorized: whether all rows of a device step together.
        devices: how many share the rows, each with memory of its own.

    Raises:
        ValueError: no candidate has room.
        MemoryError: so many rows do not fit.
    """
    runs = candidates.runs
    at_once = None if vectorized else -(-workers // devices)
    left = max(1, candidates.left) * runs
    if wanted == "auto":
        width = _VECTORIZED_ROWS * devices if vectorized else _LOOPED_ROWS * workers
        width = min(width, max(workers, devices * _WEIGHTS_AT_ONCE // max(1, numbers)))
        if candidates.at_once:
            least = _VECTORIZED_AT_LEAST * devices if vectorized else workers
            width = min(width, max(least, candidates.at_once * runs))
        fitting = devices * need.widest(free_memory(), at_once)
        if 0 < fitting < runs:
            raise MemoryError(
                f"Every trial has {runs} runs, seeds_per_trial times folds, and only {fitting} "
                "rows fit in the memory that is free: lower these numbers, or pass folds=None."
            )
        width = max(runs, min(width, fitting, left) // runs * runs)
        if vectorized:  # as few as need no more rounds: rows without a trial cost as much as others
            rounds = -(-left // width)
            width = -(-left // (rounds * runs)) * runs
        check_width_fits(need, width, at_once, devices)
        return width
    if wanted < runs:
        raise ValueError(
            f"population={wanted} has no room for the {runs} runs of one trial, "
            f"seeds_per_trial times folds; give at least {runs}."
        )
    if wanted > left:
        _log.info("population=%d is cut to the %d rows that are left.", wanted, left)
    width = min(wanted, left)
    check_width_fits(need, width, at_once, devices)
    return width // runs * runs
