"""Whether the result of a study holds: the same call with many seeds, judged on the test split.

    .venv/bin/python scripts/bench_verdicts.py
    .venv/bin/python scripts/bench_verdicts.py --optimizers lion muon --studies 3

Every study is `kol.tune(task, optimizer, seed=...)` with nothing else said, but that its portfolio
is made of the other tasks of `experiments/portfolios.toml`. What it found and the defaults are then
trained with twenty fresh seeds and measured on the test split, which no study has seen. Beside them
stands what there is to gain: the best of all stored settings by its validation loss, judged alike.

A result is worse, or better, if a paired t-test over the seeds says so with p < 0.01.
"""

import argparse
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import optuna
from bench_search import LISTED, Stored, ours_from
from numpy.typing import NDArray

import keras_optim_lab as kol
from keras_optim_lab.tuning.paired import gain
from keras_optim_lab.tuning.repetitions import Training, of_split, train
from keras_optim_lab.tuning.spaces.configuration import Configuration

TABLES = Path(__file__).parents[1] / "experiments/results/portfolios"
SEEDS = 20
_FIRST_SEED = 7_000_000
_CERTAIN = 0.01


def judged(task: kol.Task, every: list[Configuration]) -> NDArray:
    """The test loss of each with every seed."""
    trainings = [
        Training(str(i), each, _FIRST_SEED + seed)
        for i, each in enumerate(every)
        for seed in range(SEEDS)
    ]
    curves = train(task, trainings, split="test")
    return np.array([of_split(each)["loss"][-1] for each in curves]).reshape(len(every), SEEDS)


def said(default: NDArray, tuned: NDArray) -> str:
    """`0.61 better`: the share of the default's mean loss, and what a test says of it."""
    if gain(default.tolist(), tuned.tolist(), "minimize").p < _CERTAIN:
        word = "better"
    else:
        worse = gain(tuned.tolist(), default.tolist(), "minimize").p < _CERTAIN
        word = "WORSE" if worse else "same"
    return f"{tuned.mean() / default.mean():.3f} {word}"


def studies(
    stored: Stored, task: kol.Task, optimizer: str, count: int, pruner: str | None
) -> Iterator[tuple[kol.TuningResult, float]]:
    """So many studies, and the seconds of each."""
    start = [stored.settings[i] for i in stored.listed(LISTED)]
    for seed in range(count):
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            yield (
                kol.tune(
                    task,
                    optimizer,
                    seed=seed,
                    pruner=pruner,
                    start=start,
                    storage=f"{folder}/study.journal",
                ),
                time.monotonic() - begun,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--optimizers", nargs="+", default=["adam"])
    parser.add_argument("--tasks", nargs="+", help="all that are stored, by default")
    parser.add_argument("--studies", type=int, default=10)
    parser.add_argument("--pruner", help="that of `kol.tune`, by default")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("keras_optim_lab").setLevel(logging.ERROR)
    print("test loss as a share of the defaults': there is, by the search, by the verdict")
    for optimizer in options.optimizers:
        for stored in ours_from(TABLES / f"{optimizer}.npz"):
            if options.tasks and stored.task not in options.tasks:
                continue
            task = kol.tasks.get(stored.task)
            best = Configuration(optimizer, stored.settings[int(stored.regret.argmin())])
            default, there = judged(task, [Configuration(optimizer, {}), best])
            print(f"\n{optimizer} on {stored.task}: there is {said(default, there)}", flush=True)
            for seed, (result, seconds) in enumerate(
                studies(stored, task, optimizer, options.studies, options.pruner)
            ):
                (found,) = judged(task, [result.found_configuration])
                chosen = found if result.verdict.better else default
                print(
                    f"  study {seed}: {said(default, found)}, chosen "
                    f"{chosen.mean() / default.mean():.3f} ({seconds:.0f} s) {result.verdict}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
