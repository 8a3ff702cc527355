"""A population: rows of one compiled program, and the trials that sit in them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.tuning.engines.clock import Clock
from keras_optim_lab.tuning.engines.devices import Device, on
from keras_optim_lab.tuning.engines.engine import Candidate, EndedEpoch
from keras_optim_lab.tuning.engines.epoch import Epoch, State
from keras_optim_lab.tuning.engines.inputs import Inputs, RowEpoch
from keras_optim_lab.tuning.engines.passes import Data, Passes


@dataclass
class Seat:
    """The rows that train one candidate, one for each of its runs."""

    candidate: Candidate
    place: slice
    epoch: int = 0

    @property
    def ends_after(self) -> int:
        """How many epochs are left."""
        return self.candidate.task.epochs - self.epoch

    def wanted(self) -> list[RowEpoch]:
        chosen = self.candidate.configuration
        return [RowEpoch(chosen, run.seed, self.epoch, run.fold) for run in self.candidate.runs]


class Parked(NamedTuple):
    """A candidate without a seat, that goes on from here in any population of its program.

    Attributes:
        states: of its rows, one for each of its runs, in the computer's own memory.
        epoch: that it is to train next, 0 of one that is yet to begin.
    """

    candidate: Candidate
    states: list[State]
    epoch: int


class Programs:
    """The compiled forms of an epoch, by the shapes of what it is trained on.

    There are several where an epoch comes in parts, whose last one may have fewer samples.
    """

    def __init__(self, epoch: Epoch, known: Iterable[tuple[Data, Any]]):
        self._epoch = epoch
        self._known = {_shapes(data): program for data, program in known}

    def of(self, data: Data) -> Any:
        shapes = _shapes(data)
        if shapes not in self._known:
            self._known[shapes] = self._epoch.program(data)
        return self._known[shapes]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._known.values())


def _shapes(data: Data) -> tuple[Any, ...]:
    return tuple(tuple(tuple(each.shape) for each in keras.tree.flatten(split)) for split in data)


class Population:
    """Trials that train side by side; a trial that ends leaves its rows to the next one.

    Args:
        epoch: what the rows do.
        programs: the compiled forms of it, by the shapes of data.
        passes: the task's data, for one epoch after the other.
        rows: numbers of the rows within the study; at most as many as the program has.
        runs: rows of each trial.
        device: that the programs were compiled for.
    """

    def __init__(
        self,
        epoch: Epoch,
        programs: Programs,
        passes: Passes,
        rows: range,
        runs: int,
        device: Device = None,
    ):
        self.rows = rows
        self._epoch = epoch
        self._programs = programs
        self._passes = passes
        self._seen = 0
        self._runs = runs
        self._seats: list[Seat | None] = [None] * (len(rows) // runs)
        self._device = device
        with on(device):
            self._state = epoch.empty()
        self._pending: Future | None = None
        # Rows that follow each other cost nothing while they are free. They are filled a few in
        # each epoch, so that trials also end a few at a time, and asking for the next ones takes
        # no longer than the epoch of another population.
        looped = epoch.form == "looped"
        epochs = epoch.model.task.epochs
        self._most_at_once = -(-len(self._seats) // epochs) if looped else len(self._seats)
        self._newly_seated = 0

    @property
    def free(self) -> int:
        """How many trials may take a seat now."""
        if self._pending is not None:
            return 0
        return min(self._seats.count(None), self._most_at_once - self._newly_seated)

    @property
    def occupied(self) -> bool:
        return any(self._seats)

    @property
    def continues(self) -> bool:
        """Whether one of its trials may be trained once more after the epoch that runs."""
        return any(seat.ends_after > 1 for seat in self._seats if seat is not None)

    def seat(self, candidate: Candidate) -> range:
        """Gives a candidate the first free seat, with fresh weights and slots; returns its rows."""
        optimizer = self._epoch.optimizer
        if self._epoch.starts_differ(candidate.configuration):
            optimizer = candidate.optimizer()
        first = [self._epoch.first_state(run.seed, optimizer) for run in candidate.runs]
        return self.thaw(Parked(candidate, first, 0))

    def thaw(self, parked: Parked) -> range:
        """Gives the first free seat to a candidate as it was parked; returns its rows."""
        index = self._seats.index(None)
        place = slice(index * self._runs, (index + 1) * self._runs)
        with on(self._device):
            for row, state in enumerate(parked.states, place.start):
                self._state = backend.rows().put_row(self._state, row, state)
        self._seats[index] = Seat(parked.candidate, place, parked.epoch)
        self._newly_seated += 1
        return self.rows[place]

    def park(self, candidate: Candidate) -> Parked:
        """Takes a candidate from its seat between two epochs; what it has learned is kept."""
        assert self._pending is None, "its epoch has not been reported yet"
        index, seat = next(
            (index, seat)
            for index, seat in enumerate(self._seats)
            if seat is not None and seat.candidate is candidate
        )
        rows = range(self._epoch.width)[seat.place]
        self._seats[index] = None
        states = [self._on_host(row) for row in rows]
        return Parked(candidate, states, seat.epoch)

    def _on_host(self, row: int) -> State:
        def copied(rows: Any) -> np.ndarray:
            return np.array(ops.convert_to_numpy(rows[row]))  # the program gives its state up

        return keras.tree.map_structure(copied, self._state)

    def start(
        self, pool: Executor, clock: Clock, part: Mapping[Device, Data] | None = None
    ) -> None:
        """Begins the next epoch of all rows, or goes on with the next part of it."""
        if self._pending is not None:
            self._pending.result()
        self._newly_seated = 0
        wanted: list[RowEpoch | None] = [None] * self._epoch.width
        for seat in filter(None, self._seats):
            wanted[seat.place] = seat.wanted()
        if part is None:
            self._seen, data = self._passes.after(self._seen, self._device)
        else:
            data = part[self._device]
        with on(self._device):
            inputs = self._epoch.inputs(wanted, data)
            program = self._programs.of(data)
        self._pending = pool.submit(self._train, program, inputs, data, clock)

    def _train(
        self, program: Any, inputs: Inputs, data: Data, clock: Clock
    ) -> dict[str, list[float]]:
        with clock, on(self._device):
            self._state, logs = program(self._state, inputs, data)
            return {name: ops.convert_to_numpy(values).tolist() for name, values in logs.items()}

    def wait(self) -> None:
        """Waits for the end of the epoch."""
        wait([self._pending] if self._pending else [])

    def finish(
        self, report: Callable[[list[EndedEpoch]], list[bool]]
    ) -> tuple[list[Candidate], list[Parked]]:
        """Reports the epoch of all; returns the candidates that have ended and those that wait."""
        assert self._pending is not None
        logs = self._pending.result()
        self._pending = None
        seated = [(index, seat) for index, seat in enumerate(self._seats) if seat is not None]
        epochs = []
        for _, seat in seated:
            rows = range(self._epoch.width)[seat.place]
            runs = [{name: values[row] for name, values in logs.items()} for row in rows]
            epochs.append(EndedEpoch(seat.candidate, seat.epoch, runs))
            seat.epoch += 1
        ended: list[Candidate] = []
        parked: list[Parked] = []
        for (index, seat), goes_on in zip(seated, report(epochs), strict=True):
            if not goes_on and seat.candidate.waits:
                parked.append(self.park(seat.candidate))
            elif not goes_on or not seat.ends_after:
                self._seats[index] = None
                ended.append(seat.candidate)
        return ended, parked


class AtOnce(Executor):
    """Runs what is submitted at once, in this thread: PyTorch is slower in any other one."""

    def submit(self, function, /, *arguments, **named) -> Future:
        future: Future = Future()
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future
