"""Settings over seeds: chosen ones trained once with each seed, by the engines that train studies.

Whatever trains a setting again goes this way: a confirmation, a report, an experiment's fresh runs.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from optuna.trial import FixedTrial

from keras_optim_lab.tasks import Task
from keras_optim_lab.tasks.splits import Fold, SplitName
from keras_optim_lab.tuning.engines.default import default_engine
from keras_optim_lab.tuning.engines.engine import Candidate, Candidates, Engine, Run
from keras_optim_lab.tuning.interruption import interruptible, raise_if_interrupted
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.spaces.recipe import Recipe

# By the name of a metric, as in the logs of `fit`, its value after every epoch; NaN from the epoch
# on in which the run diverged.
Curves = dict[str, list[float]]


@dataclass(frozen=True)
class Training:
    """One configuration with one seed.

    Attributes:
        method: what results call the configuration.
        params: of the trial that the model is built from, if it is.
        fold: of the training and validation samples that it is trained and measured on; None for
            the splits as they are.
    """

    method: str
    configuration: Configuration
    seed: int
    params: Mapping[str, Any] = field(default_factory=dict)
    fold: Fold | None = None


OnDone = Callable[[Training, Curves], None]
OnProgress = Callable[[float, int], None]


def silent(*_: Any) -> None:
    """Tells nobody."""


def train(
    task: Task,
    trainings: Sequence[Training],
    *,
    split: SplitName = "validation",
    objective: str = "val_loss",
    engine: Engine | None = None,
    on_done: OnDone = silent,
    on_progress: OnProgress = silent,
) -> list[Curves]:
    """Trains all of them; returns what each gave, in their order.

    What a training gives is what `Task.fit` gives with its seed and settings, whoever trains beside
    it: those of one seed begin with the same weights and see the same batches. Optimizers of
    different kinds are populations of their own. A run that diverges ends, and the others go on.

    Args:
        task: what is trained.
        trainings: in any order; the same seeds and folds for all configurations make pairs. All
            have folds of one count, or none has one.
        split: that is measured after every epoch, by the names `val_…`; "validation" with folds.
        objective: a run has diverged once it or a loss is not finite.
        engine: a `PopulationEngine` by default, which leaves a model that cannot be a pure function
            to those that call `fit`.
        on_done: called as `on_done(training, curves)` as soon as each has ended.
        on_progress: called as `on_progress(done, total)` after every epoch of each; one that is
            not done counts by the share of its epochs.

    Raises:
        ValueError: the task has no such split, or cannot be parted into such folds.
        KeyError: the logs do not hold the objective.
    """
    task = task.measured_on(split)
    folds = _count_of_folds(task, trainings, split)
    wanted = _Repetitions(task, trainings, folds, objective, on_done, on_progress)
    if trainings:
        with interruptible():
            (engine or default_engine()).run(task, wanted)
    return [each.curves for each in wanted.all]


def _count_of_folds(task: Task, trainings: Sequence[Training], split: SplitName) -> int | None:
    counts = {None if each.fold is None else each.fold.count for each in trainings} or {None}
    if len(counts) > 1:
        raise ValueError(
            f"trainings: their folds have the counts {', '.join(map(str, counts))}, and all rows "
            "of a program have data of one shape: call train once for each count."
        )
    (count,) = counts
    if count is not None and split != "validation":
        raise ValueError(
            f"split={split!r}: trainings with folds are measured on what their fold holds out; "
            'pass split="validation", or trainings without folds.'
        )
    for fold in {each.fold for each in trainings if each.fold is not None}:
        task.folds.check(fold)
    return count


def of_split(curves: Curves) -> Curves:
    """Those of the split that was measured, by the names of its metrics."""
    return {
        name.removeprefix("val_"): curve
        for name, curve in curves.items()
        if name.startswith("val_")
    }


class _Repetition(Candidate):
    """A training that belongs to no study: what engines report is kept, and nothing prunes it."""

    def __init__(self, training: Training, among: "_Repetitions"):
        super().__init__(
            training.configuration,
            [Run(training.seed, training.fold)],
            training.configuration.on(among.task),
            among.objective,
            FixedTrial(dict(training.params)),
        )
        self.curves: Curves = {}
        self._training = training
        self._among = among

    def report(self, epoch: int, *logs: Mapping[str, float]) -> bool:
        lost = self.diverges(logs[0])
        left = self.task.epochs - epoch
        for name, value in logs[0].items():
            # No more digits than float32 has.
            values = [math.nan] * left if lost else [float(f"{value:.8g}")]
            self.curves.setdefault(name, []).extend(values)
        self._among.tell_progress()
        return not lost

    def __enter__(self) -> "_Repetition":
        self.curves.clear()  # another engine may have begun it
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if error is None:
            self._among.on_done(self._training, self.curves)


class _Repetitions(Candidates):
    """Trainings as engines ask for them."""

    runs = 1
    at_once = None

    def __init__(
        self,
        task: Task,
        trainings: Sequence[Training],
        folds: int | None,
        objective: str,
        on_done: OnDone,
        on_progress: OnProgress,
    ):
        # An engine asks a structure for an optimizer before it knows the length of the training.
        every = {each.configuration.structure: each.configuration for each in trainings}
        self.structures = [
            replace(each, recipe=Recipe(batch_size=each.recipe.batch_size))
            for each in every.values()
        ]
        self.scheduled = any(each.configuration.scheduled for each in trainings)
        self.objective = objective
        self.folds = folds
        self.task = task
        self.on_done = on_done
        self._on_progress = on_progress
        self.all = [_Repetition(each, self) for each in trainings]
        self._waiting = deque(self.all)

    def tell_progress(self) -> None:
        shares = [len(next(iter(e.curves.values()), ())) / e.task.epochs for e in self.all]
        self._on_progress(sum(shares), len(self.all))

    @property
    def left(self) -> int:
        return len(self._waiting)

    def __next__(self) -> Candidate:
        raise_if_interrupted()
        if not self._waiting:
            raise StopIteration
        return self._waiting.popleft()
