"""How often a study should ask its sampler: the best value that it finds, and the time it takes.

    KERAS_BACKEND=jax .venv/bin/python scripts/bench_generations.py
    KERAS_BACKEND=torch .venv/bin/python scripts/bench_generations.py --tasks digits-mlp --seeds 2

All trials of a generation are trained side by side, so that a sampler chooses the next ones by the
results of those before. More generations know more, and train fewer at once. Every line is of
studies of Adam with other seeds and nothing confirmed; given are median and quartiles of the best
value of the objective, and the medians of seconds and of processor seconds.
"""

import argparse
import statistics
import time

import numpy as np
import optuna

from keras_optim_lab.tuner import TuningResult
from keras_optim_lab.tuning import asked
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine

TASKS = ("friedman-mlp", "breast-cancer-mlp", "digits-mlp")


def search(task: str, seed: int, chosen: argparse.Namespace) -> tuple[float, float, float, int]:
    """Best value, seconds, processor seconds and rows of one study."""
    begun, used = time.perf_counter(), time.process_time()
    storage = optuna.storages.InMemoryStorage()
    result = TuningResult.create(
        task, "adam", seed=1000 * seed, sampler=chosen.sampler, storage=storage, start=chosen.start
    )
    engine = PopulationEngine()
    result.run(chosen.trials, engine)
    best = result.ranked_trials[0].value
    width = engine.summary["width"]
    return best, time.perf_counter() - begun, time.process_time() - used, width


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--generations", nargs="+", type=int, default=[2, 4, 8, 16])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--start", default="none")
    chosen = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print("| task | generations | rows | best, median | quartiles | seconds | processor |")
    print("|---|---|---|---|---|---|---|")
    for task in chosen.tasks:
        for generations in chosen.generations:
            asked.GENERATIONS = generations
            found = [search(task, seed, chosen) for seed in range(chosen.seeds)]
            best, seconds, processor, widths = zip(*found, strict=True)
            low, median, high = np.quantile(best, [0.25, 0.5, 0.75])
            print(
                f"| {task} | {generations} | {widths[0]} | {median:.5g} | {low:.5g} … {high:.5g} "
                f"| {statistics.median(seconds):.1f} | {statistics.median(processor):.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
