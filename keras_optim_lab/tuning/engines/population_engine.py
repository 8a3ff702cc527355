"""The population engine: many trials as rows of one compiled program."""

import time
from collections import deque
from collections.abc import Hashable
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import chain
from typing import Any, Literal

from keras_optim_lab import backend
from keras_optim_lab.arguments import whole_number
from keras_optim_lab.curvature.optimizer import CurvatureOptimizer
from keras_optim_lab.optimizers.shell.field_kinds import KerasNumber
from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning.engines.clock import Clock
from keras_optim_lab.tuning.engines.compiling import first_that_compiles
from keras_optim_lab.tuning.engines.devices import devices, on
from keras_optim_lab.tuning.engines.engine import Candidate, Candidates, leave_to
from keras_optim_lab.tuning.engines.epoch import Epoch, Form
from keras_optim_lab.tuning.engines.memory import Need
from keras_optim_lab.tuning.engines.passes import Passes
from keras_optim_lab.tuning.engines.population import AtOnce, Parked, Population, Programs
from keras_optim_lab.tuning.engines.pure_model import ImpureModelError, PureModel
from keras_optim_lab.tuning.engines.sequential_engine import SequentialEngine
from keras_optim_lab.tuning.engines.session import fresh_session
from keras_optim_lab.tuning.engines.width import chosen_width
from keras_optim_lab.tuning.interruption import raise_if_interrupted
from keras_optim_lab.tuning.spaces.configuration import Configuration


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
            left = chain(run.in_training if run else (), candidates)
            instead = "; its trials are trained one after the other"
            if candidates.folds and candidates.runs > 1:
                trials = candidates.left + len(run.in_training if run else ())
                once = trials * candidates.runs // candidates.folds
                instead += (
                    f", in {once * candidates.folds} trainings over {candidates.folds} folds; with "
                    f"folds=None there are {once}"
                )
            self.summary = leave_to(SequentialEngine(), task, left, str(reason), instead)


class _Group:
    """The populations of one structure of an optimizer, and the candidates without a seat.

    It has none until its program is compiled.
    """

    def __init__(self, configuration: Configuration):
        self.configuration = configuration
        self.populations: list[Population] = []
        self.waiting: deque[Candidate] = deque()
        self.parked: list[Parked] = []


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
        self._devices = devices()
        self._passes = Passes(task, candidates.folds, self._devices)
        task = self._passes.task
        optimizers = [each.optimizer(steps=None) for each in candidates.structures]
        # Only the objective and losses are read, and metrics of training steps cost time.
        train_metrics = not candidates.objective.startswith("val_") and (
            candidates.objective != "loss"
        )
        self.model = PureModel(task, optimizers[0], train_metrics, self._passes.validation_batch)
        rows = backend.rows()
        self._forms: list[Form] = ["vectorized", "looped"]
        if form is not None:
            self._forms = [form]
        elif not rows.prefers_vectorized():
            self._forms.reverse()
        if self.model.has_own_step and any(map(_around, candidates.structures)):
            raise ImpureModelError("its train_step leaves to Keras what is around a step")
        curved = any(isinstance(each, CurvatureOptimizer) for each in optimizers)
        if curved or self.model.has_own_step:
            self._forms = ["looped"]  # a row may search along a line of its own
        # What is computed on the host waits for its cores, and elsewhere for its own device.
        self._workers = max(rows.WORKERS if rows.on_host() else 1, len(self._devices))
        vectorized = self._forms[0] == "vectorized"
        sizes = [each.recipe.batch_size or task.batch_size for each in candidates.structures]
        need = Need.of(self.model, optimizers, max(sizes, default=None))
        self.width = chosen_width(
            *(width, candidates, need, self.model.numbers, self._workers, vectorized),
            1 if rows.on_host() else len(self._devices),
        )
        self._runs_left = candidates.left * candidates.runs
        self._groups: dict[Hashable, _Group] = {}
        self.in_training: list[Candidate] = []
        self._programs: list[Programs] = []
        self._compiling = 0.0

    @property
    def summary(self) -> dict[str, Any]:
        return {
            "engine": PopulationEngine.name,
            "form": self._forms[0],
            "width": self.width,
            "programs": sum(1 for _ in chain(*self._programs)),
            "traces": sum(program.traces for program in chain(*self._programs)),
            "model_traces": self.model.traces,
            "seconds": round(self._clock.total, 3),
            "start_seconds": round(self._clock.start, 3),
            "compile_seconds": round(self._compiling, 3),
            "program_seconds": round(self._clock.busy, 3),
        }

    def train(self) -> None:
        running: deque[Population] = deque()
        threads = self._workers > 1
        with ThreadPoolExecutor(self._workers, "population") if threads else AtOnce() as pool:
            try:
                while True:
                    with self.candidates.together():
                        if running:
                            self._tell(self._finished(running.popleft()))
                            raise_if_interrupted()
                        self._seat()
                    while self._compile():
                        with self.candidates.together():
                            self._seat()
                    if not (running and self._passes.in_parts):  # these are for all together
                        running += self._begun(self._rested(running), pool)
                    if not running:
                        with self.candidates.together():
                            self._tell(self._given_up())
                        break
                    if any(population.continues for population in running):
                        self._passes.look_ahead()  # while they run
                    running[0].wait()
            except ImpureModelError:
                raise  # those in training are trained by another engine
            except BaseException as error:
                for candidate in self.in_training:
                    candidate.__exit__(type(error), error, error.__traceback__)
                raise
            finally:
                self._clock.stop()

    def _begun(self, populations: list[Population], pool: Executor) -> list[Population]:
        """Begins an epoch of each; of an epoch in parts all but the end is over."""
        if populations and self._passes.in_parts:
            for part in self._passes.parts():  # which is read while the last one is trained on
                for population in populations:
                    population.wait()
                for population in populations:
                    population.start(pool, self._clock, part)
        else:
            for population in populations:
                population.start(pool, self._clock)
        return populations

    def _finished(self, population: Population) -> list[Candidate]:
        """Reports an epoch; returns the candidates that have ended."""
        ended, parked = population.finish(self.candidates.report)
        for each in parked:
            self._groups[each.candidate.configuration.structure].parked.append(each)
        return ended

    def _thaw(self) -> None:
        """Seats those that are parked and are to go on after all, as far as there is room."""
        for group in self._groups.values():
            for parked in [*group.parked] if any(each.free for each in group.populations) else ():
                free = [population for population in group.populations if population.free]
                if free and parked.candidate.goes_on():
                    group.parked.remove(parked)
                    free[0].thaw(parked)

    def _given_up(self) -> list[Candidate]:
        """Those that are parked when there is nothing else to train."""
        groups = self._groups.values()
        given_up = [each.candidate for group in groups for each in group.parked]
        for group in groups:
            group.parked.clear()
        return given_up

    def _rested(self, running: deque[Population]) -> list[Population]:
        every = [each for group in self._groups.values() for each in group.populations]
        return [each for each in every if each.occupied and each not in running]

    def _tell(self, ended: list[Candidate]) -> None:
        """Tells all of them, also if a callback raises an error for one."""
        errors = []
        for candidate in ended:
            self.in_training.remove(candidate)
            try:
                candidate.__exit__(None, None, None)
            except BaseException as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _seat(self) -> None:
        """Seats candidates wherever there is room; those without a program wait."""
        self._thaw()
        if not self._groups:
            self._draw(1)
        if len(self.candidates.structures) == 1:
            for group in self._groups.values():
                free = sum(population.free for population in group.populations)
                self._draw(max(0, free - len(group.waiting)))
        again = True
        while again:  # a candidate drawn for one optimizer may wait for a seat of another
            again = False
            for group in list(self._groups.values()):
                for population in group.populations:
                    while population.free and (candidate := self._next(group)) is not None:
                        rows = population.seat(candidate)
                        candidate.record(engine="population", row=rows.start, width=self.width)
                        again = True

    def _next(self, group: _Group) -> Candidate | None:
        """The next candidate of this group; those of others that come first wait for theirs."""
        while not group.waiting:
            waiting = sum(len(each.waiting) for each in self._groups.values())
            if waiting >= self.width or not self._draw(1):
                return None
        return group.waiting.popleft()

    def _draw(self, count: int) -> bool:
        drawn = False
        for candidate in self.candidates.take(count):
            drawn = True
            candidate.__enter__()
            self.in_training.append(candidate)
            configuration = candidate.configuration
            group = self._groups.setdefault(configuration.structure, _Group(configuration))
            group.waiting.append(candidate)
        return drawn

    def _compile(self) -> bool:
        """Compiles a program for each group without one; returns whether there were any."""
        new = [group for group in self._groups.values() if not group.populations]
        for group in new:
            begun = time.perf_counter()
            group.populations = self._populations(group.configuration)
            self._compiling += time.perf_counter() - begun
        return bool(new)

    def _populations(self, configuration: Configuration) -> list[Population]:
        runs = self.candidates.runs
        seats = max(1, self.width // runs // len(self.candidates.structures))
        count = min(self._workers, seats)
        optimizer = configuration.template.make(configuration.hyperparameters)

        def epoch_in(form: Form) -> Epoch:
            return Epoch(
                self.model,
                optimizer,
                width=-(-seats // count) * runs,
                form=form,
                batch_size=configuration.recipe.batch_size,
                scheduled=self.candidates.scheduled,
                folds=self.candidates.folds,
                steps=self._passes.steps,
                runs=self._runs_left,
            )

        places = []
        for device in self._devices[:count]:
            data = self._passes.forms(device)
            try:
                with on(device):
                    epoch, found = first_that_compiles(self.model, self._forms, epoch_in, *data)
            except ImpureModelError as reason:
                if self._programs:  # trials of other optimizers are in training already
                    raise RuntimeError(f"task {self.task.name!r}: {reason}") from None
                raise
            self._forms = [epoch.form]
            programs = Programs(epoch, zip(data, found, strict=True))
            self._programs.append(programs)
            places.append((epoch, programs, device))
        populations = []
        row = sum(len(each.rows) for group in self._groups.values() for each in group.populations)
        for i in range(count):
            rows = range(row, row + (seats // count + (i < seats % count)) * runs)
            epoch, programs, device = places[i % len(places)]
            populations.append(Population(epoch, programs, self._passes, rows, runs, device))
            row = rows.stop
        return populations


def _around(configuration: Configuration) -> bool:
    """Whether a number is chosen that Keras's own class has for every optimizer."""
    fields = configuration.template.fields
    return any(isinstance(fields[name], KerasNumber) for name in configuration.hyperparameters)
