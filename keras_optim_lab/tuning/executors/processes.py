"""Workers that are processes of this machine."""

import os
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import IO, Any, Literal, cast

import keras

from keras_optim_lab import backend
from keras_optim_lab.arguments import whole_number
from keras_optim_lab.backend.host import cores
from keras_optim_lab.tuning.engines.engine import Engine
from keras_optim_lab.tuning.executors.executor import Executor, Link, LostWorkerError
from keras_optim_lab.tuning.executors.messages import Assignment, Finished, Reply, Request

_TAIL = 2000  # characters of what a process wrote before it died
_PATIENCE = 2.0  # seconds that a process has to end by itself
_PROGRAM = """
import os, sys
if cores := {cores}:
    os.sched_setaffinity(0, cores)
from keras_optim_lab.tuning.executors.worker import main
main({descriptor})
"""


class Processes(Executor):
    """Trains in processes of this machine, each with a device, or its share of the cores.

        with kol.executors.Processes(2) as executor:
            kol.tune(task, "adam", executor=executor)

    `kol.tune(..., workers=2)` is the same for one study. A process is told of tasks by a pair of
    sockets that no other program can open, ends with this one, whatever ends that, and knows no
    storage. Not on Windows.

    Args:
        workers: how many, at most one for each accelerator, or each core where there is none;
            "auto" for one on each accelerator, and one process on a machine without.
        population: rows of each; see `kol.tune`.

    Raises:
        TypeError, ValueError: it is no such number.
    """

    def __init__(
        self, workers: int | Literal["auto"] = "auto", population: int | Literal["auto"] = "auto"
    ):
        self._devices = _visible(backend.rows().accelerators())
        most = len(self._devices) or cores()
        if workers == "auto":
            workers = len(self._devices) or 1
        elif isinstance(workers, str):
            raise ValueError(f'workers must be an integer ≥ 1 or "auto". Received: {workers!r}')
        if whole_number("workers", workers) > most:
            where = "accelerators" if self._devices else "cores"
            raise ValueError(f"workers={workers} are more than the {most} {where} of this machine.")
        super().__init__(workers, population)

    def _start(self, number: int) -> Link:
        environment = {**os.environ, **needed_environment()}
        share: list[int] = []
        if self._devices:
            environment["CUDA_VISIBLE_DEVICES"] = self._devices[number]
        elif hasattr(os, "sched_getaffinity"):
            share = sorted(os.sched_getaffinity(0))[number :: self.count]
        return Process(self.engine, environment, share)

    def _ready(self, links: Sequence[Link], seconds: float) -> list[Link]:
        by_connection = {each.connection: each for each in cast(Sequence[Process], links)}
        return [by_connection[cast(Connection, c)] for c in wait(list(by_connection), seconds)]


class Process:
    """The way to a process, by a pair of sockets that only the two of them have.

    Args:
        engine: what trains in it.
        environment: of the process.
        share: the cores that it may use; all, where there are none.
    """

    def __init__(
        self,
        engine: Engine,
        environment: dict[str, str],
        share: Sequence[int] = (),
    ):
        ours, others = socket.socketpair()
        self._written: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115, `_end` closes it
        program = _PROGRAM.format(cores=[*share], descriptor=others.fileno())
        with others:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", program],
                stdin=subprocess.DEVNULL,
                stdout=self._written,
                stderr=subprocess.STDOUT,
                env=environment,
                pass_fds=[others.fileno()],
                start_new_session=True,  # a Ctrl-C is ours
            )
        self.connection = Connection(ours.detach())
        self.close = weakref.finalize(self, _end, self._process, self.connection, self._written)
        self._send(engine)

    def send(self, message: Assignment | Reply, task: bytes | None = None) -> None:
        try:
            if task is not None:
                self.connection.send_bytes(task)
            self._send(message)
        except OSError:
            raise LostWorkerError(self._last_words()) from None

    def receive(self) -> Request | Finished | None:
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            raise LostWorkerError(self._last_words()) from None

    def _send(self, message: Any) -> None:
        import cloudpickle

        self.connection.send_bytes(cloudpickle.dumps(message))

    def _last_words(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
        self._written.seek(0, os.SEEK_END)
        self._written.seek(max(0, self._written.tell() - _TAIL))
        text = self._written.read().decode("utf-8", "replace").strip()
        return f"exit status {self._process.poll()}; {text or 'it wrote nothing'}"


def _end(process: subprocess.Popen, connection: Connection, written: IO[bytes]) -> None:
    connection.close()  # which ends it
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    written.close()


def _visible(count: int) -> list[str]:
    """So many accelerators, as `CUDA_VISIBLE_DEVICES` names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return (named.split(",") if named else [str(i) for i in range(count)])[:count]


def needed_environment() -> dict[str, str]:
    """What a process needs to find the same modules, and the same backend."""
    return {
        "KERAS_BACKEND": keras.backend.backend(),
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
    }
