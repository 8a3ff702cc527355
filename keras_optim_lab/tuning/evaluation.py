"""Is the result good, or was its seed? Default and best settings over fresh seeds."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from keras_optim_lab.arguments import whole_number
from keras_optim_lab.tasks.splits import SplitName
from keras_optim_lab.tuning.engines.engine import Engine
from keras_optim_lab.tuning.repetitions import (
    Curves,
    OnProgress,
    Training,
    of_split,
    silent,
    train,
)
from keras_optim_lab.tuning.study import TuningStudy

# Added to the study's own seed: what is chosen on some seeds is judged on others.
EVALUATION_SEEDS = 2_000_000
_EVALUATION = "evaluation"

EVALUATIONS = 20  # runs of the default and of the best settings each


@dataclass(frozen=True)
class Runs:
    """One optimizer trained once per seed.

    Attributes:
        scores: by metric, its value on the measured split at the end of each run; NaN of those
            that diverged.
        curves: one of these metrics after every epoch, a list per run; NaN once diverged.
    """

    optimizer: str
    scores: dict[str, list[float]]
    curves: list[list[float]]

    @classmethod
    def of(
        cls, optimizer: str, results: Sequence[Curves], metric: str, epoch: int | None = None
    ) -> "Runs":
        """What trainings gave, by the names of `of_split`.

        Args:
            optimizer: what it is called.
            results: of one training for each seed.
            metric: that the curves are of.
            epoch: after which the scores are taken, counted from 1; the last by default.
        """
        last = -1 if epoch is None else epoch - 1
        scores = {
            name: [curves[name][last] for curves in results]
            for name in sorted(results[0], key=lambda name: name != "loss")  # the loss first
        }
        return cls(optimizer, scores, [curves[metric] for curves in results])

    def mean(self, metric: str) -> float:
        """Mean over the runs that did not diverge; NaN if all did."""
        finite = self._finite(metric)
        return float(np.mean(finite)) if finite else math.nan

    def spread(self, metric: str) -> float:
        """Sample standard deviation over the runs that did not diverge; NaN of fewer than two."""
        finite = self._finite(metric)
        return float(np.std(finite, ddof=1)) if len(finite) > 1 else math.nan

    def diverged(self, metric: str) -> int:
        """How many runs ended with NaN or infinity."""
        return len(self.scores[metric]) - len(self._finite(metric))

    def _finite(self, metric: str) -> list[float]:
        return [score for score in self.scores[metric] if math.isfinite(score)]


@dataclass(frozen=True)
class Evaluation:
    """Default against tuned settings of the best optimizer, with the same seeds and models."""

    default: Runs
    tuned: Runs
    seeds: list[int]
    split: SplitName


def evaluate(
    tuning: TuningStudy,
    seeds: int = EVALUATIONS,
    engine: Engine | None = None,
    on_progress: OnProgress = silent,
) -> Evaluation:
    """Trains the default and the best settings once per seed and measures the test split.

    A model that is built from the trial is built from the best one for both. Without a test split
    the validation split is measured.

    The result is kept with the study and not computed again while the best settings are the same.

    Args:
        tuning: a study with at least one complete trial.
        seeds: number of runs of each, at least 1.
        engine: what trains them; see `repetitions.train`.
        on_progress: called as `on_progress(done, total)` while they train.

    Raises:
        RuntimeError: the study has no complete trial.
    """
    seeds = whole_number("seeds", seeds)
    best = tuning.best_trial
    split: SplitName = "validation" if tuning.task.test is None else "test"
    key = {"trial": best.number, "seeds": seeds, "curves": split}
    stored = tuning.study.user_attrs.get(_EVALUATION)
    if stored is not None and stored["key"] == key:
        runs = stored["result"]
        return Evaluation(
            Runs(**runs["default"]), Runs(**runs["tuned"]), runs["seeds"], runs["split"]
        )
    numbers = [tuning.seed + EVALUATION_SEEDS + i for i in range(seeds)]
    tuned = tuning.found_configuration
    pair = {"default": tuned.default, "tuned": tuned}
    curves = train(
        tuning.task,
        [Training(name, each, n, best.params) for name, each in pair.items() for n in numbers],
        split=split,
        objective=f"val_{tuning.metric}",
        engine=engine,
        on_progress=on_progress,
    )
    measured = list(map(of_split, curves))
    runs = {
        name: Runs.of(
            repr(each.optimizer(each.on(tuning.task).training_steps)),
            measured[at : at + seeds],
            tuning.metric,
        )
        for at, (name, each) in zip((0, seeds), pair.items(), strict=True)
    }
    result = Evaluation(**runs, seeds=numbers, split=split)
    tuning.study.set_user_attr(_EVALUATION, {"key": key, "result": asdict(result)})
    return result
