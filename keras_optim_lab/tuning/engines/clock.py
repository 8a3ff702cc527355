"""How long the programs of a study run."""

import threading
import time


class Clock:
    """How long a study takes, in seconds.

    Attributes:
        total: of all of it.
        start: until the first program runs.
        busy: in which at least one program runs.
    """

    def __init__(self) -> None:
        self.total = self.start = self.busy = 0.0
        self._lock = threading.Lock()
        self._running = 0
        self._begun = self._since = time.perf_counter()

    def stop(self) -> None:
        self.total = time.perf_counter() - self._begun

    def __enter__(self) -> None:
        with self._lock:
            self._running += 1
            if self._running == 1:
                self._since = time.perf_counter()
                self.start = self.start or self._since - self._begun

    def __exit__(self, *error) -> None:
        with self._lock:
            self._running -= 1
            if not self._running:
                self.busy += time.perf_counter() - self._since
