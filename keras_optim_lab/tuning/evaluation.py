"""Are the settings good, or was their seed? The best trials, and the result, over fresh seeds."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from optuna.trial import FixedTrial, FrozenTrial

from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.tasks.checks import check_count
from keras_optim_lab.tuning.interruption import interruptible
from keras_optim_lab.tuning.one_by_one import AtEpochEnd
from keras_optim_lab.tuning.session import fresh_session
from keras_optim_lab.tuning.study import TuningStudy

# Added to the study's own seed, from which those of trials count up: what is chosen on some seeds
# is judged on others.
CONFIRMATION_SEEDS = 1_000_000
EVALUATION_SEEDS = 2_000_000
_EVALUATION = "evaluation"

CONFIRMATIONS = 3  # runs of each trial that is confirmed

OnRun = Callable[[int, int], None]
Wanted = Sequence[tuple[FrozenTrial, int]]
OnDone = Callable[[FrozenTrial, int, float], None]


def _silent(done: int, total: int) -> None:
    pass


def _one_by_one(tuning: TuningStudy, wanted: Wanted, on_done: OnDone) -> None:
    for trial, seed in wanted:
        optimizer = tuning.space.decode(trial.params).optimizer(tuning.steps)
        on_done(trial, seed, _train(tuning, trial, optimizer, seed)[1][-1])


@interruptible()
def confirm(
    tuning: TuningStudy,
    top: int,
    seeds: int = CONFIRMATIONS,
    on_run: OnRun = _silent,
    train: Callable[[TuningStudy, Wanted, OnDone], None] = _one_by_one,
) -> None:
    """Trains the best `top` trials again with `seeds` fresh seeds; the best mean is then the best.

    The best of many noisy trials owes part of its lead to its seed. The objective's values are
    kept with the study, whose `best_trial` follows them until it gets more trials. Nothing is
    trained if the study holds them already.

    Args:
        tuning: a study with at least one complete trial.
        top: how many trials to train again, at least 1.
        seeds: runs of each.
        on_run: called as `on_run(done, total)` after every run.
        train: trains what is wanted, pairs of a trial and a seed, in any order, and calls
            `on_done(trial, seed, objective)` after each; one after the other by default.
    """
    best = tuning.ranked_trials[: check_count("top", top)]
    numbers = [tuning.seed + CONFIRMATION_SEEDS + i for i in range(check_count("seeds", seeds))]
    if is_confirmed(tuning, top, seeds):
        return
    wanted = [(trial, seed) for trial in best for seed in numbers]
    values: dict[tuple[int, int], float] = {}

    def keep(trial: FrozenTrial, seed: int, value: float) -> None:
        values[trial.number, seed] = value
        on_run(len(values), len(wanted))

    train(tuning, wanted, keep)
    tuning.keep_confirmation(
        {trial.number: [values[trial.number, seed] for seed in numbers] for trial in best}
    )


def is_confirmed(tuning: TuningStudy, top: int, seeds: int = CONFIRMATIONS) -> bool:
    """Whether the study holds so many fresh runs of each of the best `top` trials, and no more."""
    kept = {number: len(values) for number, values in tuning.confirmation.items()}
    return bool(kept) and kept == {trial.number: seeds for trial in tuning.ranked_trials[:top]}


@dataclass(frozen=True)
class Runs:
    """One optimizer trained once per seed.

    Attributes:
        scores: by metric, its value on `split` at the end of each run.
        curves: the study's objective after every epoch, a list per run; NaN once diverged.
    """

    optimizer: str
    scores: dict[str, list[float]]
    curves: list[list[float]]

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
    split: Literal["test", "validation"]


@interruptible()
def evaluate(
    tuning: TuningStudy,
    seeds: int = 5,
    on_run: OnRun = _silent,
) -> Evaluation:
    """Trains the default and the best settings once per seed and measures the test split.

    A model that is built from the trial is built from the best one for both.

    The result is kept with the study and not computed again while the best settings are the same.

    Args:
        tuning: a study with at least one complete trial.
        seeds: number of runs of each, at least 1.
        on_run: called as `on_run(done, total)` after every run.

    Raises:
        RuntimeError: the study has no complete trial.
    """
    seeds = check_count("seeds", seeds)
    best = tuning.best_trial
    key = {"trial": best.number, "seeds": seeds}
    stored = tuning.study.user_attrs.get(_EVALUATION)
    if stored is not None and stored["key"] == key:
        runs = stored["result"]
        return Evaluation(
            Runs(**runs["default"]), Runs(**runs["tuned"]), runs["seeds"], runs["split"]
        )
    numbers = [tuning.seed + EVALUATION_SEEDS + i for i in range(seeds)]
    split: Literal["test", "validation"] = "validation" if tuning.task.test is None else "test"
    done = 0

    def runs_of(make: Callable[[], Optimizer]) -> Runs:
        nonlocal done
        scores: dict[str, list[float]] = {}
        curves = []
        for seed in numbers:
            model, curve = _train(tuning, best, make(), seed)
            for metric, value in tuning.task.evaluate(model, split).items():
                scores.setdefault(metric, []).append(value)
            curves.append(curve)
            done += 1
            on_run(done, 2 * seeds)
        return Runs(repr(make()), scores, curves)

    result = Evaluation(
        runs_of(tuning.default_optimizer), runs_of(tuning.best_optimizer), numbers, split
    )
    tuning.study.set_user_attr(_EVALUATION, {"key": key, "result": asdict(result)})
    return result


def _train(
    tuning: TuningStudy, trial: FrozenTrial, optimizer: Optimizer, seed: int
) -> tuple[Any, list[float]]:
    fresh_session()
    model = tuning.task.build(optimizer, seed, FixedTrial(trial.params))
    ends_at_ctrl_c = AtEpochEnd(lambda epoch, logs: True)
    history = tuning.task.fit(model, seed, callbacks=[ends_at_ctrl_c]).history
    return model, [float(value) for value in history[tuning.objective.name]]
