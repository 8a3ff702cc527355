"""How long a study takes here and in workers: with their start, and once they are there.

    KERAS_BACKEND=torch .venv/bin/python scripts/bench_workers.py --task digits-mlp --workers 2
    taskset -c 0 .venv/bin/python scripts/bench_workers.py --ray --workers 1 --trials 256
    .venv/bin/python scripts/bench_workers.py --ray --workers 2 --trials 256
    .venv/bin/python scripts/bench_workers.py --ray --workers 1 --population 64

Two studies in the same workers tell what their start takes. Of the second is said which share of
its time passed between a worker's requests and their replies.
"""

import argparse
import time

import optuna

from keras_optim_lab.tuner import TuningResult
from keras_optim_lab.tuning import executors
from keras_optim_lab.tuning.engines.engine import Engine
from keras_optim_lab.tuning.executors.choosing import engine_of


def seconds(task: str, trials: int, engine: Engine) -> float:
    begun = time.perf_counter()
    storage = optuna.storages.InMemoryStorage()
    study = TuningResult.create(task, "adam", sampler="random", storage=storage, start="none")
    study.run(trials, engine)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--task", default="digits-mlp")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ray", action="store_true", help="actors of Ray, not processes")
    parser.add_argument("--population", type=int, help="rows of each worker; by themselves if none")
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for _ in range(options.repeats):
        with engine_of() as engine:
            alone = seconds(options.task, options.trials, engine)
        make = executors.Ray if options.ray else executors.Processes
        with make(options.workers, population=options.population or "auto") as engine:
            first, again = (seconds(options.task, options.trials, engine) for _ in range(2))
            exchanged = engine.summary["exchange_seconds"] / again
        print(
            f"{options.task}, {options.trials} trials: {alone:.1f} s here, {first:.1f} s in "
            f"{options.workers} workers that start, {again:.1f} s ({again / alone:.2f}) in those "
            f"that are there, {100 * exchanged:.1f} % of it for exchanges",
            flush=True,
        )


if __name__ == "__main__":
    main()
