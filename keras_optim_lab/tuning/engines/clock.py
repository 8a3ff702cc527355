"""How long the programs of a study run."""

import threading
import time


class Clock:
    """How long a study takes, and for how much of it at least one program runs, in seconds."""

    def __init__(self) -> None:
        self.total = self.busy = 0.0
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

    def __exit__(self, *error) -> None:
        with self._lock:
            self._running -= 1
            if not self._running:
                self.busy += time.perf_counter() - self._since
