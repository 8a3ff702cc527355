"""What an executor and its workers say to each other.

A worker speaks when it has been given an assignment, and every request of its has one reply.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from keras_optim_lab.tuning.engines.engine import Run
from keras_optim_lab.tuning.executors.settings import Settings
from keras_optim_lab.tuning.spaces.configuration import Configuration


class Handed(NamedTuple):
    """A candidate that a worker is to train.

    Attributes:
        number: that both sides call it by.
        configuration: what it has chosen; an optimizer that was given is known by its name.
    """

    number: int
    configuration: Configuration
    runs: Sequence[Run]


class Ended(NamedTuple):
    """A candidate that a worker has trained.

    Attributes:
        number: that both sides call it by.
        attributes: that the engine keeps with it.
        error: why it failed, if it did.
    """

    number: int
    attributes: Mapping[str, Any]
    error: BaseException | None


class Reported(NamedTuple):
    """An epoch of a candidate, with the logs of each of its runs."""

    number: int
    epoch: int
    logs: Sequence[Mapping[str, float]]


class Call(NamedTuple):
    """A method of a candidate, or of its trial, that only the executor can answer."""

    number: int
    of_trial: bool
    method: str
    arguments: tuple[Any, ...] = ()
    named: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Assignment:
    """What there is to train: the attributes of `Candidates`, of one worker's share.

    Attributes:
        left: how many candidates a worker may expect.
        log_level: of what it is to say in the log.
        settings: of Keras, where the study is.
    """

    structures: list[Configuration]
    runs: int
    folds: int | None
    scheduled: bool
    at_once: int | None
    objective: str
    left: int
    log_level: int
    settings: Settings


@dataclass
class Request:
    """What a worker has done and wants.

    Attributes:
        epochs: that have ended, of whose candidates it asks whether to go on.
        ended: candidates that it has done with.
        wanted: how many more it has room for.
        call: what else it asks.
        log: levels and lines.
    """

    epochs: list[Reported] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    wanted: int = 0
    call: Call | None = None
    log: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Reply:
    """What an executor answers.

    Attributes:
        verdicts: of each epoch that was reported, whether its candidate goes on, and waits.
        handed: candidates to be trained, none where there are none left.
        value: of the call.
    """

    verdicts: list[tuple[bool, bool]]
    handed: list[Handed]
    value: Any = None


@dataclass(frozen=True)
class Finished:
    """A worker's last request of an assignment.

    Attributes:
        last: what it has not said yet.
        summary: of its engine.
        error: that ended it, if one did.
    """

    last: Request
    summary: dict[str, Any]
    error: BaseException | None = None
