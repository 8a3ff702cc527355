"""Seconds per trial of a tuning study: this package beside a plain Optuna loop and KerasTuner.

    .venv/bin/python scripts/bench_tuning.py
    .venv/bin/python scripts/bench_tuning.py --backends jax --tasks digits-mlp --trials 64
    .venv/bin/python scripts/bench_tuning.py --models

Every contestant trains the same configurations of Adam, drawn at random from its search space, in
a process of its own, one after the other on an otherwise idle machine. The time is that of the
whole study after the imports: models built, programs compiled, results stored in a journal file
on disk. Contestants that take seconds for a trial may be given the first `--baseline-trials`
only; the table says how many were run.

`in program` is the share of that time in which a compiled program ran; the rest is building,
compiling, sampling and storing that could not be done meanwhile.

`--models` takes those of `bench_models.py` instead, 24 trials each, and the population engine
beside the plain loop. What an optimizer is told besides, such as `clipnorm`, all are told.

`hyperband` is another question: how long until a study with Hyperband and TPE has a complete
trial as good as the best one of the plain loop.
"""

import argparse
import importlib
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BACKENDS = ("jax", "tensorflow", "torch")
TASKS = ("digits-mlp", "digits-cnn")
PLAIN = "optuna + fit"
SLOW = (PLAIN, "keras-tuner", "sequential")
CONTESTANTS = (*SLOW, "looped", "vectorized", "auto", "hyperband")


def configurations(trials: int) -> list[dict[str, float]]:
    """The parameters of every trial, by their names in a study of Adam."""
    import optuna

    import keras_optim_lab as kol

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [study.ask(kol.search_space("adam")).params for _ in range(trials)]


def arguments_of_adam(params: dict[str, float]) -> dict[str, float]:
    return {
        name.removeprefix("1-"): 1.0 - value if name.startswith("1-") else value
        for name, value in params.items()
    }


def fit_builtin(task, params: dict[str, float], told: dict) -> float:
    """What a user writes: a fresh model, the built-in Adam, `fit`; returns the last val_loss."""
    import keras

    keras.utils.clear_session()
    model = task.model()
    optimizer = keras.optimizers.Adam(**arguments_of_adam(params), **told)
    model.compile(optimizer=optimizer, loss=task.loss, metrics=list(task.metrics))
    data = (task.train,) if task.streams else task.train
    history = model.fit(
        *data,
        batch_size=None if task.streams else task.batch_size,
        epochs=task.epochs,
        validation_data=task.validation,
        verbose=0,
    )
    return history.history["val_loss"][-1]


def plain_optuna(task, trials: int, told: dict) -> float:
    """An Optuna study as its documentation writes it."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    space = configurations(trials)
    study = optuna.create_study(storage=JournalStorage(JournalFileBackend("plain.journal")))
    for params in space:
        study.enqueue_trial(params)

    def objective(trial) -> float:
        params = {name: trial.suggest_float(name, 1e-12, 1e3, log=True) for name in space[0]}
        return fit_builtin(task, params, told)

    study.optimize(objective, n_trials=trials)
    return study.best_value


def random_search(task, trials: int) -> float:
    """KerasTuner's RandomSearch over the numbers of the configurations."""
    import keras
    import keras_tuner

    space = configurations(trials)

    def build(hp) -> keras.Model:
        params = space[hp.Choice("configuration", list(range(trials)))]
        model = task.model()
        optimizer = keras.optimizers.Adam(**arguments_of_adam(params))
        model.compile(optimizer=optimizer, loss=task.loss, metrics=list(task.metrics))
        return model

    tuner = keras_tuner.RandomSearch(
        build, objective="val_loss", max_trials=trials, directory=".", seed=1, overwrite=True
    )
    tuner.oracle._max_collisions = 100_000  # so that it draws every configuration once
    tuner.search(
        *task.train,
        batch_size=task.batch_size,
        epochs=task.epochs,
        validation_data=task.validation,
        verbose=0,
    )
    return tuner.oracle.get_best_trials(1)[0].score


def ours(task, trials: int, engine, told: dict) -> tuple[float, dict]:
    import keras_optim_lab as kol
    from keras_optim_lab.tuner import TuningResult

    result = TuningResult.create(
        task, kol.Adam(**told), pruner="none", sampler="random", name="ours"
    )
    for params in configurations(trials):
        result.study.enqueue_trial(params)
    result.run(trials, engine)
    return result.study.best_value, engine.summary


def hyperband(task, target: float) -> tuple[float, dict]:
    """TPE and Hyperband until a complete trial reaches the target; at most 1000 trials."""
    from optuna.trial import TrialState

    from keras_optim_lab.tuner import TuningResult
    from keras_optim_lab.tuning.engines.population_engine import PopulationEngine

    result = TuningResult.create(task, "adam", pruner="hyperband", name="hyperband")
    engine = PopulationEngine()

    def stop_at_target(study, trial) -> None:
        if trial.state == TrialState.COMPLETE and trial.value <= target:
            study.stop()

    result.run(1000, engine, [stop_at_target])
    trials = len(result.finished_trials)
    return result.study.best_value, {**engine.summary, "trials": trials}


def run(contestant: str, task_name: str, trials: int, target: float | None) -> dict:
    """One contestant in this process."""
    import optuna

    from keras_optim_lab import tasks
    from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
    from keras_optim_lab.tuning.engines.sequential_engine import SequentialEngine

    if contestant == "keras-tuner":
        importlib.import_module("keras_tuner")  # not part of what is timed
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    os.chdir(tempfile.mkdtemp())
    models = importlib.import_module("bench_models")
    task = models.MODELS[task_name]() if task_name in models.MODELS else tasks.get(task_name)
    told = models.TOLD.get(task_name, {})
    summary: dict = {}
    begun = time.perf_counter()
    if contestant == PLAIN:
        best = plain_optuna(task, trials, told)
    elif contestant == "keras-tuner":
        best = random_search(task, trials)
    elif contestant == "sequential":
        best, summary = ours(task, trials, SequentialEngine(), told)
    elif contestant == "hyperband":
        best, summary = hyperband(task, target)
        trials = summary["trials"]
    else:
        # Here all trials are known beforehand, so that a vectorized step may hold them all.
        width = trials if contestant == "vectorized" else "auto"
        form = None if contestant == "auto" else contestant
        best, summary = ours(task, trials, PopulationEngine(width, form), told)
    seconds = time.perf_counter() - begun
    return {
        "contestant": contestant,
        "trials": trials,
        "seconds": round(seconds, 2),
        "seconds_per_trial": round(seconds / trials, 4),
        "trials_per_hour": round(3600 * trials / seconds),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "best": best,
        "summary": summary,
    }


def in_own_process(backend: str, *arguments: object) -> dict | None:
    """Runs this script for one contestant and reads the line of JSON that it ends with."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, __file__, "--run", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        print(f"  {arguments[0]}: {done.stderr.strip().splitlines()[-1]}")
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def compare(backend: str, task: str, options: argparse.Namespace) -> list[dict]:
    """The table of one backend and task."""
    print(f"\n{task} on {backend}, batch and epochs of the task")
    print(f"{'contestant':14} {'trials':>6} {'s/trial':>8} {'trials/h':>9} {'ratio':>6} "
          f"{'in program':>10} {'peak MiB':>8}  best val_loss")  # fmt: skip
    rows: list[dict] = []
    for contestant in options.contestants:
        plain = next((row for row in rows if row["contestant"] == PLAIN), None)
        if contestant == "hyperband" and plain is None:
            continue
        trials = options.baseline_trials if contestant in SLOW else options.trials
        target = plain["best"] if plain else "nan"
        row = in_own_process(backend, contestant, task, trials, target)
        if row is None:
            continue
        rows.append({"backend": backend, "task": task, **row})
        ratio = plain["seconds_per_trial"] / row["seconds_per_trial"] if plain else float("nan")
        if contestant == "hyperband":  # to the same best value, not per trial
            ratio = plain["seconds"] / row["seconds"]
        rows[-1]["ratio"] = round(ratio, 2) if plain else 1.0
        inside = row["summary"].get("program_seconds")
        share = "" if inside is None else f"{inside / row['seconds']:.0%}"
        print(
            f"{contestant:14} {row['trials']:6} {row['seconds_per_trial']:8.3f} "
            f"{row['trials_per_hour']:9,} {rows[-1]['ratio']:6.1f} {share:>10} "
            f"{row['peak_mib']:8,}  {row['best']:.5f}",
            flush=True,
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backends", nargs="+", default=BACKENDS, choices=BACKENDS)
    parser.add_argument("--tasks", nargs="+")
    parser.add_argument("--models", action="store_true")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS)
    parser.add_argument("--trials", type=int)
    parser.add_argument("--baseline-trials", type=int, help="by default as many")
    parser.add_argument("--output", type=Path, default=Path("bench_tuning.json"))
    parser.add_argument("--run", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        contestant, task, trials, target = options.run
        print(json.dumps(run(contestant, task, int(trials), float(target))))
        return
    models = importlib.import_module("bench_models").MODELS if options.models else ()
    options.tasks = options.tasks or [*models] or TASKS
    options.contestants = options.contestants or (
        (PLAIN, "auto") if options.models else CONTESTANTS
    )
    options.trials = options.trials or (24 if options.models else 64)
    options.baseline_trials = options.baseline_trials or options.trials
    rows = [
        row
        for task in options.tasks
        for backend in options.backends
        for row in compare(backend, task, options)
    ]
    machine = {"cores": os.cpu_count(), "python": platform.python_version()}
    options.output.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
    print(f"\nWritten: {options.output}")


if __name__ == "__main__":
    main()
