"""The worker's side: candidates that an executor hands out, for an engine that knows no other."""

import functools
import logging
import pickle
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

from optuna.trial import BaseTrial

from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning.engines.engine import Candidate, Candidates, EndedEpoch, Engine
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

Exchange = Callable[[Request], Reply]
_log = logging.getLogger("keras_optim_lab")


def work(task: Task, assignment: Assignment, engine: Engine, exchange: Exchange) -> Finished:
    """Trains what an executor hands out, until there is no more."""
    assignment.settings.apply()
    candidates = RemoteCandidates(task, assignment, exchange)
    handler = _Forwarded(candidates.request.log)
    _log.addHandler(handler)
    _log.setLevel(assignment.log_level)
    _log.propagate = False
    try:
        engine.run(task, candidates)
        waited = {"exchange_seconds": round(candidates.seconds, 3)}
        return Finished(candidates.take_request(), {**engine.summary, **waited})
    except Exception as error:
        return Finished(candidates.take_request(), {}, _portable(error))
    finally:
        _log.removeHandler(handler)


class RemoteCandidates(Candidates):
    """What an executor has to train; all that can wait is said together with what cannot.

    Attributes:
        request: what will be said next.
        seconds: that passed between requests and their replies.
    """

    def __init__(self, task: Task, assignment: Assignment, exchange: Exchange):
        self.structures = assignment.structures
        self.runs = assignment.runs
        self.folds = assignment.folds
        self.scheduled = assignment.scheduled
        self.at_once = assignment.at_once
        self.objective = assignment.objective
        self.task = task
        self.request = Request()
        self.seconds = 0.0
        self._exchange = exchange
        self._left = assignment.left
        self._given = {each.name: each.given for each in assignment.structures}

    @property
    def left(self) -> int:
        return self._left

    def __next__(self) -> Candidate:
        return next(self.take(1))

    def take(self, count: int) -> Iterator[Candidate]:
        if count <= 0:
            return iter(())
        self.request.wanted = count
        handed = self._ask().handed
        self._left = max(0, self._left - len(handed)) if len(handed) == count else 0
        return iter([self._candidate(each) for each in handed])

    def report(self, epochs: Iterable[EndedEpoch]) -> list[bool]:
        every = cast(list[tuple[RemoteCandidate, int, Any]], list(epochs))
        if not every:
            return []
        self.request.epochs = [Reported(each.number, epoch, logs) for each, epoch, logs in every]
        verdicts = self._ask().verdicts
        for (candidate, _, _), (_, waits) in zip(every, verdicts, strict=True):
            candidate.has_to_wait = waits
        return [goes_on for goes_on, _ in verdicts]

    def call(self, call: Call) -> Any:
        """The value of what only the executor can answer."""
        self.request.call = call
        return self._ask().value

    def take_request(self) -> Request:
        """What is to be said now; nothing of it is left."""
        said = replace(self.request, log=[*self.request.log])
        log = self.request.log
        log.clear()
        self.request = Request(log=log)  # to which the log's handler adds
        return said

    def _ask(self) -> Reply:
        begun = time.perf_counter()
        reply = self._exchange(self.take_request())
        self.seconds += time.perf_counter() - begun
        return reply

    def _candidate(self, handed: Handed) -> "RemoteCandidate":
        given = self._given[handed.configuration.name]
        # One object for all: it is part of what tells programs apart.
        return RemoteCandidate(
            handed._replace(configuration=replace(handed.configuration, given=given)), self
        )


class RemoteCandidate(Candidate):
    """A candidate of an executor.

    Attributes:
        number: that the executor knows it by.
        has_to_wait: the executor's answer to its last epoch.
    """

    def __init__(self, handed: Handed, among: RemoteCandidates):
        trial = cast(BaseTrial, _RemoteTrial(handed.number, among))
        chosen = handed.configuration
        super().__init__(chosen, handed.runs, chosen.on(among.task), among.objective, trial)
        self.number = handed.number
        self.has_to_wait = False
        self._among = among
        self._attributes: dict[str, Any] = {}

    def record(self, **attributes: Any) -> None:
        self._attributes.update(attributes)

    def report(self, epoch: int, *logs: Mapping[str, float]) -> bool:
        return self._among.report([EndedEpoch(self, epoch, logs)])[0]

    @property
    def waits(self) -> bool:
        return self.has_to_wait

    def goes_on(self) -> bool:
        return self._among.call(Call(self.number, False, "goes_on"))

    def __enter__(self) -> "RemoteCandidate":
        return self

    def __exit__(self, kind, error, traceback) -> None:
        ended = Ended(self.number, self._attributes, None if error is None else _portable(error))
        self._among.request.ended.append(ended)


class _RemoteTrial:
    """A trial as a model's builder asks it: every answer comes from the executor."""

    def __init__(self, number: int, among: RemoteCandidates):
        self._number = number
        self._among = among

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(BaseTrial, name):
            raise AttributeError(f"a trial has no attribute {name!r}", name=name, obj=self)
        if isinstance(vars(BaseTrial)[name], property):
            return self._ask(name)
        return functools.partial(self._ask, name)

    def _ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        return self._among.call(Call(self._number, True, method, arguments, named))


class _Forwarded(logging.Handler):
    """Keeps what is logged for the executor."""

    def __init__(self, log: list[tuple[int, str]]):
        super().__init__()
        self._lines = log

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append((record.levelno, record.getMessage()))


def _portable(error: BaseException) -> BaseException:
    """The error as it can be sent, with its traceback as a note."""
    text = "".join(traceback.format_exception(error))
    try:
        error = pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(f"In a worker:\n{text}")
    return error
