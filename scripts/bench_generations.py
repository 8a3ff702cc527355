"""How often a study should ask its sampler: the best value that it finds, and the time it takes.

    KERAS_BACKEND=jax .venv/bin/python scripts/bench_generations.py
    KERAS_BACKEND=torch .venv/bin/python scripts/bench_generations.py --tasks digits-mlp --seeds 2

    .venv/bin/python scripts/bench_generations.py --taskset taskset-imdb-rnn.npz
    KERAS_BACKEND=jax .venv/bin/python scripts/bench_generations.py --again --seeds 4 \
        --tasks clusters-batchnorm photograph-mlp digits-mlp friedman-mlp breast-cancer-mlp

All trials of a generation are trained side by side, so that a sampler chooses the next ones by the
results of those before. More generations know more, and train fewer at once. Every line is of
studies of Adam with other seeds and nothing confirmed; given are median and quartiles of the best
value of the objective, and the medians of seconds and of processor seconds.

With TaskSet's curves of Adam nothing is trained: between the settings with little regularization is
interpolated, and the value is regret, (loss − best) / (median − best), over all tasks in the file.

`--again` asks whether rows should train more seeds of what is promising while a sampler waits for
results: as many after every generation as it has trials, of its eight best so far in the mean. The
32 best trials are trained with sixteen more seeds, half of which are for this and half tell what a
trial is worth. Printed is by how much of its loss the best of the few that go into a race is behind
the best of the 32, without and with these seeds.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna

import keras_optim_lab as kol
from keras_optim_lab.tuner import TuningResult
from keras_optim_lab.tuning import asked, samplers
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from keras_optim_lab.tuning.repetitions import Training, train
from keras_optim_lab.tuning.shortlist import shortlist

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


def with_more_seeds(result: TuningResult, more: dict[int, np.ndarray], rng) -> TuningResult:
    """The result, had the best of every time been trained again with the seeds there are of it."""
    values = {trial.number: [trial.value] for trial in result.finished_trials}
    seeds = {number: iter(rng.permutation(found)) for number, found in more.items()}
    size = len(values) // asked.GENERATIONS
    for seen in range(size, len(values), size):
        for _ in range(size):
            best = sorted(range(seen), key=lambda number: np.mean(values[number]))[:8]
            left = [n for n in best if n in more and len(values[n]) <= len(more[n])]
            if left:
                number = min(left, key=lambda number: len(values[number]))
                values[number].append(next(seeds[number]))
    study = optuna.create_study()
    for trial in result.finished_trials:
        changed = copy.deepcopy(trial)
        changed.value = float(np.mean(values[trial.number]))
        study.add_trial(changed)
    return replace(result, study=study)


def behind(task: str, seed: int, chosen: argparse.Namespace) -> np.ndarray:
    """What the best of the first 4 and 12 for a race lack, without more seeds and with them."""
    storage = optuna.storages.InMemoryStorage()
    result = TuningResult.create(
        task, "adam", seed=1000 * seed, sampler=chosen.sampler, storage=storage, start=chosen.start
    )
    result.run(chosen.trials)
    best = result.ranked_trials[:32]
    trainings = [
        Training("adam", result.space.decode(trial.params), 5_000_000 + run)
        for trial in best
        for run in range(16)
    ]
    last = [curves["val_loss"][-1] for curves in train(result.task, trainings)]
    runs = dict(zip((trial.number for trial in best), np.reshape(last, (-1, 16)), strict=True))
    worth = {number: found[8:].mean() for number, found in runs.items()}
    least, most = min(worth.values()), max(worth.values())
    more = {number: found[:8] for number, found in runs.items()}
    rng = np.random.default_rng(seed)
    ways = [[result], [with_more_seeds(result, more, rng) for _ in range(4)]]
    return (
        np.array(
            [
                [
                    np.mean(
                        [min(worth.get(t.number, most) for t in shortlist(r, n)) for r in results]
                    )
                    for n in (4, 12)
                ]
                for results in ways
            ]
        )
        / least
        - 1
    )


def trained_again(chosen: argparse.Namespace) -> None:
    print("| task | seeds | best of 4 is behind by | best of 12 |")
    print("|---|---|---|---|")
    for task in chosen.tasks:
        found = [behind(task, seed, chosen) for seed in range(chosen.seeds)]
        for seeds, lacks in zip(("its own", "and more"), np.mean(found, axis=0), strict=True):
            shown = " | ".join(f"{100 * lack:.2f} %" for lack in lacks)
            print(f"| {task} | {seeds} | {shown} |", flush=True)


def stored(file: Path) -> list[Callable[[np.ndarray], np.ndarray]]:
    """For each task of the file, the loss of η, 1 − β₁, 1 − β₂, ε, all by their logarithms."""
    data = np.load(file, allow_pickle=True)
    numbers = data["hyperparameters"].copy()
    numbers[:, 1:3] = 1 - numbers[:, 1:3]
    known = np.log10(numbers)
    light = (known[:, 4] < -3) & (known[:, 5] < -3)  # l1 and l2
    scale = np.array([1.0, 0.6, 0.4, 0.3])
    places = known[light, :4] * scale

    def of_task(key: str) -> Callable[[np.ndarray], np.ndarray]:
        last = data[key][:, -1].astype(float)
        worst = np.nanmedian(np.where(np.isfinite(last), last, np.nan))
        losses = np.minimum(np.nan_to_num(last, nan=worst, posinf=worst), worst)[light]

        def loss(settings: np.ndarray) -> np.ndarray:
            distance = ((settings[:, None] * scale - places) ** 2).sum(-1)
            near = np.argpartition(distance, 6, axis=1)[:, :6]
            weight = 1 / (np.take_along_axis(distance, near, 1) + 0.02)
            return (weight * losses[near]).sum(1) / weight.sum(1)

        return loss

    return [of_task(key) for key in data.files if key.endswith("/valid")]


def simulated(loss: Callable, generations: int, seed: int, chosen: argparse.Namespace) -> float:
    """The regret of one study on stored curves."""
    space = kol.search_space("adam")
    ends = np.log10([[each.low, each.high] for each in space.values()])
    every = loss(np.random.default_rng(0).uniform(*ends.T, (20_000, len(space))))
    rng = np.random.default_rng(seed)
    study = optuna.create_study(sampler=samplers.sampler(chosen.sampler, seed, space))
    best = np.inf
    while left := chosen.trials - len(study.trials):
        count = min(left, max(1, chosen.trials // generations))
        trials = [study.ask(dict(space)) for _ in range(count)]
        values = loss(np.log10([[trial.params[name] for name in space] for trial in trials]))
        for trial, value in zip(trials, values, strict=True):
            study.tell(trial, float(value * rng.normal(1.0, 0.003)))
        best = min(best, values.min())
    return float((best - every.min()) / (np.median(every) - every.min()))


def on_stored_curves(chosen: argparse.Namespace) -> None:
    tasks = stored(chosen.taskset)
    print("| generations | regret, median | quartiles |")
    print("|---|---|---|")
    for generations in chosen.generations:
        found = [simulated(t, generations, s, chosen) for t in tasks for s in range(chosen.seeds)]
        low, median, high = np.quantile(found, [0.25, 0.5, 0.75])
        print(f"| {generations} | {median:.3f} | {low:.3f} … {high:.3f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--generations", nargs="+", type=int, default=[2, 4, 8, 16])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--start", default="none")
    parser.add_argument("--again", action="store_true", help="whether more seeds help the choice")
    parser.add_argument("--taskset", type=Path, help="a NumPy file of TaskSet's curves")
    chosen = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if chosen.again:
        trained_again(chosen)
        return
    if chosen.taskset:
        on_stored_curves(chosen)
        return
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
