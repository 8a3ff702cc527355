"""What a worker's process runs: one assignment after the other, until its executor is gone."""

import os
import select
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

from keras_optim_lab.tuning.executors.messages import Assignment, Reply, Request
from keras_optim_lab.tuning.executors.remote import work


def main(descriptor: int) -> None:
    """Serves the executor at the other end of a socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the executor says what it means
    threading.Thread(target=_end_with_executor, args=[descriptor], daemon=True).start()
    connection = Connection(descriptor)

    def exchange(request: Request) -> Reply:
        connection.send(request)
        return connection.recv()

    try:
        engine = connection.recv()
        connection.send(None)
        task: Any = None
        while True:
            message = connection.recv()
            if not isinstance(message, Assignment):
                task, message = message, connection.recv()
            connection.send(work(task, message, engine, exchange))
    except (EOFError, ConnectionError):
        sys.exit()


def _end_with_executor(descriptor: int) -> None:
    """Ends this process at once when the other end is closed, whatever it computes."""
    closed = select.poll()
    closed.register(descriptor, 0)  # being hung up is always told
    closed.poll()
    os._exit(0)
