"""What this bridge uses of KerasTuner that KerasTuner does not publish, and what for.

An oracle of one's own is made by overriding methods whose helpers KerasTuner names as private.
"""

import functools
import threading
from collections.abc import Callable
from typing import Any

import keras_tuner
from keras_tuner.src.engine import oracle as engine

NAMES = {
    "keras_tuner.src.engine.oracle.THREADS": "which thread holds an oracle, to give it back",
    "keras_tuner.src.engine.oracle.LOCKS": "the lock that it holds",
    "keras_tuner.Oracle()._duplicate": "whether values were tried, as KerasTuner's oracles ask",
    "keras_tuner.Oracle()._max_collisions": "how often they ask before a space is exhausted",
    "keras_tuner.Oracle()._seed_state": "the seed that they count up, and save",
    "keras_tuner.Oracle()._retry_queue": "trials to be run again, some of them twice",
    "keras_tuner.Oracle()._get_oracle_fname": "whether and where there is a project to take up",
    "keras_tuner.Oracle()._set_project_dir": "says where the journal of its study lies",
    "keras_tuner.Oracle()._save_trial": "writes a trial that begins anew",
}


def synchronized(method: Callable) -> Callable:
    """KerasTuner's `synchronized`, whose lock nobody gets any more after a method has raised."""
    locked = keras_tuner.synchronized(method)

    @functools.wraps(method)
    def gives_back(oracle: keras_tuner.Oracle, *args: Any, **kwargs: Any) -> Any:
        thread = threading.current_thread().name
        held = engine.THREADS[oracle] == thread
        try:
            return locked(oracle, *args, **kwargs)
        except BaseException:
            if not held and engine.THREADS[oracle] == thread:
                engine.THREADS[oracle] = None
                engine.LOCKS[oracle].release()
            raise

    return gives_back
