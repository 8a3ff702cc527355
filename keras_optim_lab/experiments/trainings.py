"""The same settings with many seeds, as rows of the programs that train studies."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from optuna.trial import FixedTrial

from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning.candidate import Candidate
from keras_optim_lab.tuning.configuration import Configuration
from keras_optim_lab.tuning.engine import Engine
from keras_optim_lab.tuning.interruption import interruptible
from keras_optim_lab.tuning.objective import diverged
from keras_optim_lab.tuning.population_engine import PopulationEngine


@dataclass(frozen=True)
class Training:
    """One configuration with one seed.

    Attributes:
        method: what results call the configuration.
    """

    method: str
    configuration: Configuration
    seed: int


# By the name of a metric, its value after every epoch; NaN where it is not finite.
Curves = dict[str, list[float]]
OnDone = Callable[[Training, Curves], None]


def judged_by_test(task: Task) -> Task:
    """The task with its test split in place of the validation split, if it has one."""
    return task if task.test is None else replace(task, validation=task.test, test=None)


@interruptible()
def train(
    task: Task, trainings: Sequence[Training], on_done: OnDone, engine: Engine | None = None
) -> None:
    """Trains all; `on_done(training, curves)` is called as soon as each has ended.

    The curves are those of the task's validation split. A run whose loss is no longer finite ends.
    """
    if trainings:
        (engine or PopulationEngine()).run(task, Repetitions(task, trainings, on_done))


class Repetition(Candidate):
    """A training that belongs to no study: what engines report is kept, and nothing prunes it."""

    def __init__(self, training: Training, number: int, steps: int | None, on_done: OnDone):
        self.number = number
        self.seeds = (training.seed,)
        self.configuration = training.configuration
        self.steps = steps
        self.trial = FixedTrial({})  # type: ignore[assignment]
        self._training = training
        self._call = on_done
        self._curves: Curves = {}

    def record(self, **attributes: Any) -> None:
        pass

    def report(self, epoch: int, *logs: Mapping[str, float]) -> bool:
        for name, value in logs[0].items():
            if name.startswith("val_"):
                value = float(value) if math.isfinite(value) else math.nan
                self._curves.setdefault(name.removeprefix("val_"), []).append(value)
        return not self.diverges(logs[0])

    def diverges(self, logs: Mapping[str, float]) -> bool:
        return diverged(logs, "val_loss")

    def __enter__(self) -> "Repetition":
        self._curves = {}
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if error is None:
            self._call(self._training, self._curves)


class Repetitions:
    """Trainings as engines ask for them; see `Candidates`."""

    runs = 1
    objective = "val_loss"

    def __init__(self, task: Task, trainings: Sequence[Training], on_done: OnDone):
        forms: dict[Hashable, Configuration] = {}
        for training in trainings:
            # An engine asks a form for an optimizer before it knows the length of the training.
            plain = replace(training.configuration, decay="constant", warmup=0.0)
            forms.setdefault(plain.form, plain)
        self.forms = list(forms.values())
        self.scheduled = any(training.configuration.scheduled for training in trainings)
        self._waiting = [
            Repetition(training, i, task.training_steps, on_done)
            for i, training in enumerate(trainings)
        ]

    @property
    def left(self) -> int:
        return len(self._waiting)

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()

    def expect(self, count: int) -> None:
        pass

    def flush(self) -> None:
        pass

    def __iter__(self) -> "Repetitions":
        return self

    def __next__(self) -> Candidate:
        if not self._waiting:
            raise StopIteration
        return self._waiting.pop(0)
