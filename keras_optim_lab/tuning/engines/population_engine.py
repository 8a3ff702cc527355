"""The population engine: many trials as rows of one compiled program."""

import logging
import time
import warnings
from collections import deque
from collections.abc import Hashable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Any, Literal

import keras

from keras_optim_lab import backend
from keras_optim_lab.arguments import whole_number
from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning.candidate import Candidate
from keras_optim_lab.tuning.engines.clock import Clock
from keras_optim_lab.tuning.engines.engine import Candidates
from keras_optim_lab.tuning.engines.epoch import Epoch, Form, on_device
from keras_optim_lab.tuning.engines.layer_probe import first_failing_layer
from keras_optim_lab.tuning.engines.memory import (
    Need,
    check_data_fits,
    check_width_fits,
    free_memory,
)
from keras_optim_lab.tuning.engines.population import Population
from keras_optim_lab.tuning.engines.pure_model import ImpureModelError, PureModel, failing_metric
from keras_optim_lab.tuning.engines.sequential_engine import SequentialEngine
from keras_optim_lab.tuning.engines.session import fresh_session
from keras_optim_lab.tuning.engines.synchronous_executor import AtOnce
from keras_optim_lab.tuning.interruption import raise_if_interrupted

_log = logging.getLogger("keras_optim_lab")

# Rows that "auto" wants: more do not make a vectorized step of a small model faster, and a loop
# only needs enough of them that its start does not count. Samplers learn from trials that have
# ended, so not all may train at once.
_VECTORIZED_ROWS = 64
_LOOPED_ROWS = 8
_WEIGHTS_AT_ONCE = 2**23
_GENERATIONS = 2

_IN_WORDS: dict[Form, str] = {
    "vectorized": "vectorized step of many models",
    "looped": "loop over models in one program",
}


class PopulationEngine:
    """Trains many candidates at once: each is a row of one compiled program, an epoch is one call.

    A row whose trial has ended goes to the next trial at once. A model that cannot be made a pure
    function is left to `SequentialEngine`, and the reason is logged.

    Args:
        width: how many rows, at least 1; "auto" chooses by the model's size, the free memory and
            the trials that are left.
        form: "vectorized" or "looped"; None for the faster one of those that are possible.
    """

    name = "population"

    def __init__(self, width: int | Literal["auto"] = "auto", form: Form | None = None):
        if isinstance(width, str) and width != "auto":
            raise ValueError(f'population must be an integer ≥ 1 or "auto". Received: {width!r}')
        self._width = width if width == "auto" else whole_number("population", width)
        self._form = form
        self.summary: dict[str, Any] = {}

    def run(self, task: Task, candidates: Candidates) -> None:
        fresh_session()  # as other engines do; groups may tell weights apart by names of layers
        run = None
        try:
            run = _Run(task, candidates, self._width, self._form)
            run.train()
            self.summary = run.summary
        except ImpureModelError as reason:
            _log.warning(
                "task %r: %s; its trials are trained one after the other.", task.name, reason
            )
            drawn = run.drawn if run else []
            sequential = SequentialEngine()
            sequential.run(task, chain(drawn, candidates))
            self.summary = {**sequential.summary, "reason": str(reason)}


class _Group:
    """The populations of one optimizer's form, and the candidates that wait for their seats."""

    def __init__(self, populations: list[Population]):
        self.populations = populations
        self.waiting: deque[Candidate] = deque()


class _Run:
    """One run of a study: fills seats, starts epochs and reports them until no trial is left.

    Populations take turns: while the main thread reports one's epoch, samples its next trials and
    draws their weights, the programs of the others run.
    """

    def __init__(self, task: Task, candidates: Candidates, width, form: Form | None):
        self._clock = Clock()
        self.task = task
        self.candidates = candidates
        if task.depends_on_trial:
            raise ImpureModelError("its model is built from the trial")
        if task.streams:
            raise ImpureModelError("its data is a pipeline, which cannot be held on the device")
        check_data_fits(task)
        optimizers = [each.optimizer(steps=None) for each in candidates.forms]
        if any(each.state_dtype for each in optimizers):
            raise ImpureModelError("its optimizer keeps state in 16 bits")
        if not all(each.is_rule_only for each in optimizers):
            raise ImpureModelError("its optimizer leaves to Keras what is around a step")
        # Only the objective and losses are read, and metrics of training steps cost time.
        train_metrics = not candidates.objective.startswith("val_") and (
            candidates.objective != "loss"
        )
        self.model = PureModel(task, optimizers[0], train_metrics)
        forms: list[Form] = ["vectorized", "looped"]
        if form is not None:
            forms = [form]
        elif not backend.rows().prefers_vectorized():
            forms.reverse()
        self._forms = forms
        self._workers = backend.rows().WORKERS if backend.rows().on_host() else 1
        self.width = self._choose_width(width, Need.of(self.model, optimizers))
        self._runs_left = candidates.left * candidates.runs
        self._data = on_device(task)
        self._groups: dict[Hashable, _Group] = {}
        self._open: dict[Candidate, ExitStack] = {}
        self._programs: list[Any] = []
        self._compiling = 0.0

    @property
    def drawn(self) -> list[Candidate]:
        """The candidates whose training has not ended."""
        return [*self._open]

    @property
    def summary(self) -> dict[str, Any]:
        return {
            "engine": PopulationEngine.name,
            "form": self._forms[0],
            "width": self.width,
            "programs": len(self._programs),
            "traces": sum(program.traces for program in self._programs),
            "model_traces": self.model.traces,
            "seconds": round(self._clock.total, 3),
            "compile_seconds": round(self._compiling, 3),
            "program_seconds": round(self._clock.busy, 3),
        }

    # The width.

    def _choose_width(self, wanted: int | Literal["auto"], need: Need) -> int:
        runs = self.candidates.runs
        at_once = None if self._forms[0] == "vectorized" else self._workers
        left = max(1, self.candidates.left) * runs
        if wanted != "auto":
            if wanted < runs:
                raise ValueError(
                    f"population={wanted} has no room for one trial of seeds_per_trial={runs}; "
                    f"give at least {runs}."
                )
            if wanted > left:
                _log.info("population=%d is cut to the %d rows that are left.", wanted, left)
            width = min(wanted, left)
            check_width_fits(need, width, at_once)
            return width // runs * runs
        rows = _VECTORIZED_ROWS if at_once is None else _LOOPED_ROWS * self._workers
        rows = min(rows, max(self._workers, _WEIGHTS_AT_ONCE // max(1, self.model.numbers)))
        if self.candidates.sampled:
            rows = min(rows, max(self._workers, left // _GENERATIONS))
        rows = min(rows, need.widest(free_memory(), at_once))
        rows = max(runs, min(rows, left) // runs * runs)
        check_width_fits(need, rows, at_once)
        return rows

    # The loop.

    def train(self) -> None:
        running: deque[Population] = deque()
        threads = self._workers > 1
        with ThreadPoolExecutor(self._workers, "population") if threads else AtOnce() as pool:
            try:
                with self.candidates.together():
                    self._fill_and_start(pool, running)
                while running:
                    population = running.popleft()
                    population.wait()
                    with self.candidates.together():
                        self._tell(population.finish())
                        raise_if_interrupted()
                        self._fill_and_start(pool, running)
            except ImpureModelError:
                raise  # the candidates drawn so far are trained by another engine
            except BaseException as error:
                for stack in self._open.values():
                    stack.__exit__(type(error), error, error.__traceback__)
                raise
            finally:
                self._clock.stop()

    def _tell(self, ended: list[Candidate]) -> None:
        """Tells all of them, also if a callback raises an error for one."""
        errors = []
        for candidate in ended:
            try:
                self._open.pop(candidate).close()
            except BaseException as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _fill_and_start(self, pool: Executor, running: deque[Population]) -> None:
        if not self._groups and (first := self._draw()) is not None:
            self._group(first).waiting.append(first)
        if len(self.candidates.forms) == 1:
            for group in self._groups.values():
                free = sum(population.free for population in group.populations)
                if free > len(group.waiting):
                    self.candidates.expect(free - len(group.waiting))
        again = True
        while again:  # a trial drawn for one optimizer may wait for a seat of another
            again = False
            groups = list(self._groups.values())
            for group in groups:
                for population in group.populations:
                    while population.free and (candidate := self._next(group)) is not None:
                        rows = population.seat(candidate)
                        candidate.record(engine="population", row=rows.start, width=self.width)
                        again = True
            again = again or len(self._groups) > len(groups)
        for group in self._groups.values():
            for population in group.populations:
                if population.occupied and population not in running:
                    population.start(pool, self._clock)
                    running.append(population)

    def _next(self, group: _Group) -> Candidate | None:
        """The next candidate of this group; those of others that come first wait for theirs."""
        if group.waiting:
            return group.waiting.popleft()
        while sum(len(each.waiting) for each in self._groups.values()) < self.width:
            candidate = self._draw()
            if candidate is None:
                return None
            other = self._group(candidate)
            if other is group:
                return candidate
            other.waiting.append(candidate)
        return None

    def _draw(self) -> Candidate | None:
        candidate = next(self.candidates, None)
        if candidate is not None:
            stack = ExitStack()
            stack.enter_context(candidate)
            self._open[candidate] = stack
        return candidate

    # One group for each form of an optimizer.

    def _group(self, candidate: Candidate) -> _Group:
        configuration = candidate.configuration
        form = configuration.form
        if form not in self._groups:
            optimizer = configuration.template.make(configuration.hyperparameters)
            self._groups[form] = _Group(self._populations(optimizer))
        return self._groups[form]

    def _populations(self, optimizer: Optimizer) -> list[Population]:
        runs = self.candidates.runs
        seats = max(1, self.width // runs // len(self.candidates.forms))
        count = min(self._workers, seats)
        self.candidates.flush()  # compiling takes a while, in which the process may be killed
        begun = time.perf_counter()
        epoch, program = self._compiled(optimizer, width=-(-seats // count) * runs)
        self._compiling += time.perf_counter() - begun
        self._programs.append(program)
        populations = []
        first = sum(len(each.rows) for group in self._groups.values() for each in group.populations)
        for i in range(count):
            last = first + (seats // count + (i < seats % count)) * runs
            populations.append(Population(epoch, program, self._data, range(first, last), runs))
            first = last
        return populations

    def _compiled(self, optimizer: Optimizer, width: int) -> tuple[Epoch, Any]:
        failures = []
        for form in list(self._forms):
            epoch = Epoch(
                self.model,
                optimizer,
                width=width,
                form=form,
                scheduled=self.candidates.scheduled,
                runs=self._runs_left,
            )
            try:
                with _warnings_unless_it_fails():
                    program = epoch.program(self._data)
            except MemoryError:
                raise
            except Exception as error:
                _log.debug("task %r: not in %s form", self.task.name, form, exc_info=error)
                failures.append(_why(self.model, form, error))
                continue
            if failures:
                instead = f"its trials are trained in a {_IN_WORDS[form]}"
                _log.warning("task %r: %s; %s.", self.task.name, failures[0], instead)
            self._forms = [form]
            return epoch, program
        if self._groups:  # trials of other optimizers are in training already
            raise RuntimeError(f"task {self.task.name!r}: {failures[-1]}")
        raise ImpureModelError(failures[-1])


def _why(model: PureModel, form: Form, error: Exception) -> str:
    part: keras.Layer | keras.Metric | None = failing_metric(error)
    kind = "metric"
    if part is None:
        kind = "layer"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            part = first_failing_layer(model.model, form)
    failing = f"{kind} {part.name!r} ({type(part).__name__})" if part else "model"
    return f"its {failing} cannot be part of a {_IN_WORDS[form]}"


@contextmanager
def _warnings_unless_it_fails() -> Iterator[None]:
    """Shows the warnings of what is tried; if it fails, what comes of that is said instead."""
    with warnings.catch_warnings(record=True) as caught:
        yield
    for each in caught:
        warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
