"""A race: settings trained with common seeds in rounds, until a paired test has parted them.

F-race (Birattari et al., 2002) for settings of optimizers: all that are in it are trained with the
same seeds and, where there are folds, on the same ones. After every round those leave that are
significantly behind, and others have more runs.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

import numpy as np

from keras_optim_lab.tasks import Task
from keras_optim_lab.tasks.splits import Fold
from keras_optim_lab.tuning.budget import Budget
from keras_optim_lab.tuning.criterion import Criterion
from keras_optim_lab.tuning.engines.engine import Engine
from keras_optim_lab.tuning.paired import diverged, fold_of, gain
from keras_optim_lab.tuning.repetitions import OnProgress, Training, silent, train
from keras_optim_lab.tuning.spaces.configuration import Configuration

Values = dict[str, list[float]]

_FIRST_PARTITION = 1000  # those before it are the trials'
SEEDS = 4  # that a round begins with where there are no folds
_SIGNIFICANT = 0.05
_CERTAIN = 0.01


@dataclass(frozen=True)
class Entrant:
    """Settings that take part.

    Attributes:
        name: what results call them.
        params: of the trial that the model is built from, if it is.
    """

    name: str
    configuration: Configuration
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Course:
    """What all who take part are trained on.

    Attributes:
        seed: of the first run; those of later ones count up from it.
        folds: into which training and validation samples are parted, by other partitions than the
            trials'; None for the task's own splits.
        engine: what trains; see `repetitions.train`.
        budget: of time; a race has fewer rounds where it ends.
    """

    task: Task
    objective: Criterion
    seed: int
    folds: int | None = None
    engine: Engine | None = None
    budget: Budget = field(default_factory=Budget)

    def values(
        self, entrants: Sequence[Entrant], runs: range, on_progress: OnProgress = silent
    ) -> Values:
        """The objective at the end of these runs, of each by its name; NaN once diverged."""
        trainings = [
            Training(each.name, each.configuration, self.seed + run, each.params, self._fold(run))
            for each, run in product(entrants, runs)
        ]
        name, begun = self.objective.name, time.monotonic()
        curves = train(
            self.task, trainings, objective=name, engine=self.engine, on_progress=on_progress
        )
        self.budget.trained((time.monotonic() - begun) / len(trainings))
        found: Values = {each.name: [] for each in entrants}
        for training, curve in zip(trainings, curves, strict=True):
            found[training.method].append(curve[name][-1])
        return found

    def _fold(self, run: int) -> Fold | None:
        if self.folds is None:
            return None
        fold = fold_of(run, self.folds)
        return fold._replace(repeat=_FIRST_PARTITION + fold.repeat)

    def behind(self, leader: Sequence[float], other: Sequence[float]) -> bool:
        """Whether a setting is significantly worse than the one that leads, or diverged more."""
        if diverged(leader) != diverged(other):
            return diverged(other) > diverged(leader)
        return gain(other, leader, self.objective.direction, self.folds).p < _SIGNIFICANT

    def told_apart(
        self, first: Sequence[float], other: Sequence[float], delta: float, certain: float
    ) -> Literal["behind", "as good"] | None:
        """What is certain of a setting beside the first one, over the runs that both have.

        Args:
            delta: a difference that does not matter, as a share of the first one's mean.
            certain: below this p-value a setting is behind.
        """
        common = min(len(first), len(other))
        first, other = first[:common], other[:common]
        more = diverged(other) - diverged(first)
        if more > 0 and 0.5**more < certain:  # as often as heads in a row
            return "behind"
        lead = gain(other, first, self.objective.direction, self.folds)
        finite = [value for value in first if math.isfinite(value)]
        if more <= 0 and finite and lead.high < delta * abs(float(np.mean(finite))):
            return "as good"
        return "behind" if lead.p < certain else None

    @property
    def unit(self) -> int:
        """Runs that are added at a time."""
        return self.folds or SEEDS


def most_runs(entrants: int, unit: int = SEEDS) -> int:
    """Of a race and the duel of its best with the defaults, if nobody leaves early."""
    second = entrants // 2 + 1
    return unit * (entrants + second + 2 * (second // 2 + 1) + 2 * 16)


def race(
    course: Course,
    entrants: Sequence[Entrant],
    defaults: Sequence[str],
    on_progress: OnProgress = silent,
) -> Values:
    """Trains all of them, and those again that may be the best, in three rounds.

    Each round has as many runs as all before it, and at most half of those who took part go on:
    the best ones that are not significantly behind the first, and the best of the defaults.

    Args:
        course: what they are trained on.
        entrants: trials, the most promising first, and then the defaults. Where time is short the
            last trials take no part.
        defaults: the names of those that stand for what a user has without tuning.
        on_progress: called as `on_progress(done, total)`; the total falls as they leave.

    Returns:
        The objective of every run, by name; those who left early have fewer.
    """
    values: Values = {each.name: [] for each in entrants}
    alive, done = list(entrants), 0
    # The last of the trials are the least promising.
    while len(alive) > 1 + len(defaults) and not course.budget.holds(
        (len(alive) + 2) * course.unit
    ):
        del alive[-1 - len(defaults)]
    for end in (course.unit, 2 * course.unit, 4 * course.unit):
        if done and not course.budget.holds(len(alive) * (end - done) + 8 * course.unit):
            break
        found = course.values(alive, range(done, end), on_progress)
        for name, more in found.items():
            values[name] += more
        done = end
        ranked = sorted(alive, key=lambda each: course.objective.order(values[each.name]))
        first, kept = values[ranked[0].name], len(alive) // 2
        reference = next(each for each in ranked if each.name in defaults)
        alive = [
            each
            for place, each in enumerate(ranked)
            if each is reference or (place < kept and not course.behind(first, values[each.name]))
        ]
        if alive == [reference]:
            break
    return {name: found for name, found in values.items() if found}


def duel(course: Course, pair: Sequence[Entrant], on_progress: OnProgress = silent) -> Values:
    """Trains the defaults and what is to replace them with seeds that no race has.

    At first as often as one that stays in a race to its end; then twice and four times as often,
    while the second gains on average and it is not certain (p < 0.01) whether by luck. Where time
    is short there are fewer runs, and at least those of one round.
    """
    first, unit, done = 4 * course.unit, course.unit, 0
    values: Values = {each.name: [] for each in pair}
    before, after = values.values()
    ends = [n * unit for n in (4, 3, 2) if course.budget.holds(len(pair) * n * unit)]
    for end in (max(ends, default=unit), 8 * unit, 16 * unit):
        if done and not course.budget.holds(len(pair) * (end - done)):
            break
        for name, more in course.values(
            pair, range(first + done, first + end), on_progress
        ).items():
            values[name] += more
        done = end
        if not _CERTAIN < gain(before, after, course.objective.direction, course.folds).p < 0.5:
            break
    return values


def separate(
    course: Course,
    entrants: Sequence[Entrant],
    delta: float,
    limit: int,
    on_progress: OnProgress = silent,
) -> tuple[Values, float]:
    """Trains all of them until each is told apart from the first, or known to be no worse by much.

    Args:
        course: what they are trained on.
        entrants: in any order, at least two.
        delta: a difference that does not matter, as a share of the first one's mean.
        limit: runs of each at most.
        on_progress: called as `on_progress(done, total)` in every round.

    Returns:
        The objective of every run, by name; those who left early have fewer. And the p-value below
        which one is behind: 0.01 divided by the number of ordered pairs and of rounds (Bonferroni),
        as the first one is known by the same runs and every round is another chance for luck.
    """
    values: Values = {each.name: [] for each in entrants}
    rounds = 1 + max(0, math.ceil(math.log2(limit / course.unit)))
    certain = _CERTAIN / (len(entrants) * (len(entrants) - 1) * rounds)
    alive, done = list(entrants), 0
    while done < limit and len(alive) > 1:
        end = min(limit, max(course.unit, 2 * done))
        for name, more in course.values(alive, range(done, end), on_progress).items():
            values[name] += more
        done = end
        first = min(alive, key=lambda each: course.objective.order(values[each.name]))
        alive = [
            each
            for each in alive
            if each is first
            or course.told_apart(values[first.name], values[each.name], delta, certain) is None
        ]
    return values, certain
