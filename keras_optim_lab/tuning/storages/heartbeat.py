"""How a process tells others that it is alive, and takes up the trials of those that are not."""

import copy
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import optuna

from keras_optim_lab.tuning.storages.abandoned import Known, retry
from keras_optim_lab.tuning.storages.buffered import BufferedStorage

_log = logging.getLogger("keras_optim_lab")


def take_up_abandoned(study: optuna.Study, storage: BufferedStorage) -> None:
    """Fails the trials of processes that are no longer there, and enqueues them again.

    Also those that whoever failed them was killed before enqueueing. If several processes do so
    at once, `is_repeated` finds out.
    """
    storage.fail_abandoned(storage.get_study_id_from_name(study.study_name))
    for trial in Known().lost(study.get_trials(deepcopy=False)):
        _log.info("Trial %d was abandoned; it is trained again.", trial.number)
        retry(study, copy.deepcopy(trial))


@contextmanager
def signs_of_life(storage: BufferedStorage) -> Iterator[None]:
    """Within it, a thread gives a sign of life for every trial that this process trains."""
    interval = storage.heartbeat_interval
    if interval is None:
        yield
        return
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(interval):
            try:
                storage.beat()
            except Exception as error:  # training goes on, and the next sign may get through
                _log.warning("No sign of life could be given (%s).", type(error).__name__)

    thread = threading.Thread(target=beat, name="signs of life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
