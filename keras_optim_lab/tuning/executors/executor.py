"""The executor's side: an engine that lets others train, and holds all that they need to know."""

import logging
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, Self

import keras

from keras_optim_lab.arguments import whole_number
from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning.engines.engine import Candidate, Candidates, EndedEpoch, Engine
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from keras_optim_lab.tuning.executors.messages import (
    Assignment,
    Call,
    Ended,
    Finished,
    Handed,
    Reply,
    Reported,
    Request,
)
from keras_optim_lab.tuning.executors.sending import pickled
from keras_optim_lab.tuning.executors.settings import Settings
from keras_optim_lab.tuning.interruption import raise_if_interrupted

_log = logging.getLogger("keras_optim_lab")

# In a row, without an epoch between them that was not known before, so many deaths more than there
# are workers: all of them may be on a node that leaves.
_DEATHS = 2
_LOOK = 0.2  # seconds between two looks for Ctrl-C


class LostWorkerError(Exception):
    """A worker has died; its text is the last that it had to say."""


class Link(Protocol):
    """The way to one worker, which says that it is there, and then answers what is sent once."""

    def send(self, message: Assignment | Reply, task: Any = None) -> None:
        """Sends a message, and a task before it where there is a new one.

        Raises:
            LostWorkerError: there is nobody.
        """

    def receive(self) -> Request | Finished | None:
        """What it has said, for which this waits; None is that it is there.

        Raises:
            LostWorkerError: there will be none.
        """

    def close(self) -> None:
        """Ends the worker, whatever it does."""


@dataclass(eq=False)
class _Worker:
    """A worker, the task that it holds, and what it is training, by their numbers."""

    number: int
    link: Link
    task: Task | None = None
    state: Literal["starting", "resting", "busy"] = "starting"
    training: dict[int, "_Given"] = field(default_factory=dict)


@dataclass(eq=False)
class _Given:
    """A candidate that is given away, and how many of its epochs are known."""

    candidate: Candidate
    epochs: int = 0


class Executor(ABC):
    """Trains candidates in several workers, each of them a population engine with a device.

    The study stays here: workers ask for candidates when rows are free, and after each epoch of
    theirs for what becomes of them. What a candidate gives depends on its seed and settings alone,
    so that it is the same with any number of workers. What a worker that dies was training is
    trained again, and reported from the epoch on that it had come to.

    Workers stay until `close`, so that they serve what comes after a study, too.

    Args:
        workers: how many.
        population: rows of each; see `PopulationEngine`.

    Attributes:
        engine: what trains in each worker.
    """

    name = "workers"

    def __init__(self, workers: int, population: int | Literal["auto"] = "auto"):
        self.count = whole_number("workers", workers)
        self.engine: Engine = PopulationEngine(population)
        self.summary: dict[str, Any] = {}
        self._workers: list[_Worker] = []
        self._task: tuple[Task, Any] | None = None

    @abstractmethod
    def _start(self, number: int) -> Link:
        """Starts a worker."""

    @abstractmethod
    def _ready(self, links: Sequence[Link], seconds: float) -> list[Link]:
        """Those that have answered or died; waits for the first of them so long."""

    def _kept(self, task: bytes) -> Any:
        """What links send in the place of a task."""
        return task

    def run(self, task: Task, candidates: Candidates) -> None:
        begun = time.perf_counter()
        self.hold(task)
        handing = _Handing(candidates, self.count)
        try:
            while True:
                raise_if_interrupted()
                self._assign(task, handing)
                if not handing.left and not any(each.state == "busy" for each in self._workers):
                    break
                speaking = {each.link: each for each in self._workers if each.state != "resting"}
                for link in self._ready(list(speaking), _LOOK):
                    self._serve(speaking[link], handing)
            handing.give_up()
        except BaseException as error:
            self.close()
            handing.fail(error)
            raise
        self.summary = _together(handing.summaries, self.count, time.perf_counter() - begun)

    def close(self) -> None:
        """Ends all workers."""
        while self._workers:
            self._workers.pop().link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def hold(self, task: Task | None) -> None:
        """Keeps a task as it is sent to workers.

        Raises:
            TypeError: it cannot be sent.
        """
        if task is not None and (self._task is None or self._task[0] is not task):
            self._task = task, self._kept(pickled(task))

    def _assign(self, task: Task, handing: "_Handing") -> None:
        """Gives all who rest an assignment, as long as there are candidates for them."""
        while handing.left and len(self._workers) < self.count:
            number = len(self._workers)
            self._workers.append(_Worker(number, self._start(number)))
        assert self._task is not None
        for worker in self._workers:
            if worker.state == "resting" and handing.left:
                worker.state = "busy"
                new = None if worker.task is task else self._task[1]
                worker.task = task
                self._send(worker, handing.assignment(), handing, new)

    def _serve(self, worker: _Worker, handing: "_Handing") -> None:
        """Hears one worker, and answers."""
        try:
            said = worker.link.receive()
        except LostWorkerError as death:
            self._lose(worker, handing, death)
            return
        if not isinstance(said, Request):
            worker.state = "resting"
        if isinstance(said, Finished):
            handing.answer(worker, said.last)
            if said.error is not None:
                raise said.error
            handing.summaries[worker.number] = said.summary
        elif said is not None:
            self._send(worker, handing.answer(worker, said), handing)

    def _send(
        self,
        worker: _Worker,
        message: Assignment | Reply,
        handing: "_Handing",
        task: Any = None,
    ) -> None:
        try:
            worker.link.send(message, task)
        except LostWorkerError as death:
            self._lose(worker, handing, death)

    def _lose(self, worker: _Worker, handing: "_Handing", death: LostWorkerError) -> None:
        """Takes back what a dead worker was training, and starts another in its place."""
        worker.link.close()
        handing.take_back(worker)
        if handing.deaths >= self.count + _DEATHS:
            raise RuntimeError(
                f"{handing.deaths} workers died one after the other and trained no epoch between. "
                f"The last one said:\n{death}"
            )
        _log.warning("worker %d has died, and another takes its place: %s", worker.number, death)
        at = self._workers.index(worker)
        self._workers[at] = _Worker(worker.number, self._start(worker.number))


class _Handing:
    """Hands the candidates of one run to workers, and tells them what workers say.

    Attributes:
        summaries: of the engines, by worker.
        deaths: of workers, since the last epoch that was not known before.
    """

    def __init__(self, candidates: Candidates, workers: int):
        self.summaries: dict[int, dict[str, Any]] = {}
        self.deaths = 0
        self._candidates = candidates
        self._workers = workers
        self._given: dict[int, _Given] = {}  # all that have not ended
        self._lost: deque[int] = deque()
        self._parked: list[int] = []  # lost while they waited
        self._numbers = 0
        self._said: set[tuple[int, str]] = set()

    @property
    def left(self) -> int:
        return len(self._lost) + self._candidates.left

    def assignment(self) -> Assignment:
        """One worker's share of what is left."""
        every = self._candidates
        at_once = every.at_once
        return Assignment(
            structures=every.structures,
            runs=every.runs,
            folds=every.folds,
            scheduled=every.scheduled,
            at_once=None if at_once is None else -(-at_once // self._workers),
            objective=every.objective,
            left=-(-self.left // self._workers),
            log_level=_log.getEffectiveLevel(),
            settings=Settings.current(),
        )

    def answer(self, worker: _Worker, request: Request) -> Reply:
        for level, line in request.log:
            if (level, line) not in self._said:  # by another worker
                self._said.add((level, line))
                _log.log(level, "%s", line)
        with self._candidates.together():
            verdicts = self._report(request.epochs)
            self._end(worker, request.ended)
            handed = [self._hand(worker, number) for number in self._next(request.wanted)]
            value = None if request.call is None else self._call(request.call)
        return Reply(verdicts, handed, value)

    def take_back(self, worker: _Worker) -> None:
        self.deaths += 1
        for number, given in worker.training.items():
            (self._parked if given.candidate.waits else self._lost).append(number)
        worker.training.clear()

    def give_up(self) -> None:
        """Ends those that were lost while they waited, as nothing else is left to train."""
        with self._candidates.together():
            for number in self._parked:
                self._given.pop(number).candidate.__exit__(None, None, None)

    def fail(self, error: BaseException) -> None:
        """Ends all that are in training."""
        for given in self._given.values():
            given.candidate.__exit__(type(error), error, error.__traceback__)

    def _report(self, epochs: Sequence[Reported]) -> list[tuple[bool, bool]]:
        new = []
        for number, epoch, logs in epochs:
            given = self._given[number]
            if epoch >= given.epochs:  # and no epoch that another worker has trained before
                given.epochs = epoch + 1
                new.append(EndedEpoch(given.candidate, epoch, logs))
        if new:
            self.deaths = 0
        answers = zip((each.candidate for each in new), self._candidates.report(new), strict=True)
        goes_on = dict(answers)
        verdicts = []
        for number, _, _ in epochs:
            candidate = self._given[number].candidate
            on = goes_on.get(candidate, True)
            verdicts.append((on, not on and candidate.waits))
        return verdicts

    def _end(self, worker: _Worker, ended: Sequence[Ended]) -> None:
        errors = []
        for number, attributes, error in ended:
            del worker.training[number]
            candidate = self._given.pop(number).candidate
            candidate.record(**attributes, worker=worker.number)
            try:
                candidate.__exit__(None if error is None else type(error), error, None)
            except BaseException as raised:
                errors.append(raised)
        if errors:
            raise errors[0]

    def _next(self, count: int) -> list[int]:
        """The numbers of the next ones, those that were lost before all others."""
        numbers = [self._lost.popleft() for _ in range(min(count, len(self._lost)))]
        for number in [*self._parked] if len(numbers) < count else ():
            if len(numbers) < count and self._given[number].candidate.goes_on():
                self._parked.remove(number)
                numbers.append(number)
        if len(numbers) < count:
            for candidate in self._candidates.take(count - len(numbers)):
                self._given[self._numbers] = _Given(candidate.__enter__())
                numbers.append(self._numbers)
                self._numbers += 1
        return numbers

    def _hand(self, worker: _Worker, number: int) -> Handed:
        given = worker.training[number] = self._given[number]
        chosen = given.candidate.configuration
        return Handed(number, replace(chosen, given=None), given.candidate.runs)

    def _call(self, call: Call) -> Any:
        candidate = self._given[call.number].candidate
        asked = getattr(candidate.trial if call.of_trial else candidate, call.method)
        return asked(*call.arguments, **call.named) if callable(asked) else asked


def _together(summaries: dict[int, dict[str, Any]], workers: int, seconds: float) -> dict[str, Any]:
    """One summary of all, with what they took together: the longest of times, the sum of others."""
    every = [*summaries.values()]
    summary: dict[str, Any] = {"workers": workers, "backend": keras.backend.backend()}
    for name in dict.fromkeys(name for each in every for name in each):
        values = [each[name] for each in every if name in each]
        if isinstance(values[0], str):
            summary[name] = values[0]
        else:
            summary[name] = (max if name.endswith("seconds") else sum)(values)
    return {**summary, "seconds": round(seconds, 3)}
