"""Workers that are actors of Ray, on this machine or on others."""

import logging
import os
import socket
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from keras_optim_lab.tuning.engines.engine import Engine
from keras_optim_lab.tuning.executors.executor import Executor, Link, LostWorkerError
from keras_optim_lab.tuning.executors.messages import Assignment, Finished, Reply, Request
from keras_optim_lab.tuning.executors.processes import (
    Process,
    needed_environment,
)

_PATIENCE = 10.0  # seconds that an address has to answer


class Ray(Executor):
    """Trains in actors of Ray, each a device with a population; the study stays here.

        with kol.executors.Ray(actors=8, num_gpus=1, address="head:6379") as executor:
            result = kol.tune(task, "adam", trials=512, executor=executor)

    Ray places the actors, and starts others in the place of those that die or whose node leaves;
    those for which there is no room yet begin when there is. A task's data are in its object store
    once. Machines need the same versions of this package, Keras and the backend.

    Args:
        actors: how many.
        num_cpus, num_gpus: that each of them asks Ray for.
        address: of a cluster, "HOST:PORT", "ray://HOST:PORT" or "auto"; by default that which this
            program is connected to, that of `RAY_ADDRESS`, or else "local", one of its own on this
            machine that no other can reach.
        population: rows of each; see `kol.tune`.

    Raises:
        ImportError: Ray is not installed.
        ConnectionError: nobody answers at the address.
        TypeError, ValueError: an argument is wrong.
    """

    def __init__(
        self,
        actors: int,
        *,
        num_cpus: float = 1,
        num_gpus: float = 0,
        address: str | None = None,
        population: int | Literal["auto"] = "auto",
    ):
        super().__init__(actors, population)
        _connect(address)
        import ray

        self._actor = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus)(_Actor)

    def _start(self, number: int) -> Link:
        return _RayLink(self._actor.remote(self.engine, needed_environment()))

    def _ready(self, links: Sequence[Link], seconds: float) -> list[Link]:
        import ray

        by_answer = {each.answer: each for each in cast(Sequence[_RayLink], links)}
        answered, _ = ray.wait(list(by_answer), num_returns=1, timeout=seconds)
        return [by_answer[each] for each in answered]

    def _kept(self, task: bytes) -> Any:
        import ray

        return ray.put(task)


class _Actor:
    """What Ray places: a process of its own on its machine, with what Ray assigns to it.

    Ray calls methods of an actor in whichever thread it likes; the process has a main one.
    """

    def __init__(self, engine: Engine, environment: dict[str, str]):
        self._process = Process(engine, {**os.environ, **environment})

    def exchange(self, message: Assignment | Reply | None, task: bytes | None) -> Any:
        """Sends a message, or none, and waits for what the process has to say."""
        if message is not None:
            self._process.send(message, task)
        return self._process.receive()


class _RayLink:
    """The way to an actor; what is asked of it is in the future `answer`."""

    def __init__(self, actor: Any):
        self._actor = actor
        self.answer = actor.exchange.remote(None, None)

    def send(self, message: Assignment | Reply, task: Any = None) -> None:
        self.answer = self._actor.exchange.remote(message, task)

    def receive(self) -> Request | Finished | None:
        import ray

        try:
            return ray.get(self.answer)
        except ray.exceptions.RayError as error:
            raise LostWorkerError(str(error).strip()) from None

    def close(self) -> None:
        import ray

        with suppress(Exception):  # its cluster may be gone
            ray.kill(self._actor)


def _connect(address: str | None) -> None:
    """Connects this program with Ray, unless it is; a cluster of its own opens no other port."""
    try:
        import ray
    except ImportError:
        raise ImportError(
            'executors.Ray needs Ray: pip install "keras-optim-lab[ray]"', name="ray"
        ) from None
    if ray.is_initialized():
        return
    address = address or os.environ.get("RAY_ADDRESS", "local")
    if address not in ("auto", "local"):
        _check_answers(address)
    try:
        with warnings.catch_warnings(), _on_loopback() if address == "local" else nullcontext():
            warnings.simplefilter("ignore", RuntimeWarning)  # JAX's, of how Ray starts processes
            ray.init(
                address=address,
                include_dashboard=False if address == "local" else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except (ConnectionError, RuntimeError) as error:
        raise ConnectionError(f"address={address!r}: no cluster of Ray there ({error})") from None


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Within it, a cluster that begins can be reached from this machine alone.

    Ray does so by itself on macOS and Windows; on Linux it takes 127.0.0.1 for the address that
    other machines know, even if it is told, and listens to all of them.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _check_answers(address: str) -> None:
    """Tries an address first: Ray itself waits for minutes."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    try:
        if not parts.hostname or not parts.port:
            raise ValueError
        socket.create_connection((parts.hostname, parts.port), _PATIENCE).close()
    except ValueError:
        raise ValueError(
            'address must be "HOST:PORT", "ray://HOST:PORT", "auto" or "local". '
            f"Received: {address!r}"
        ) from None
    except OSError as error:
        raise ConnectionError(f"address={address!r}: nobody answers there ({error})") from None
