"""Searches that train: what `bench_search.py --live` runs, each in a process of its own.

Every search tunes Adam on a task, with the same search space and the same number of trials. What it
would choose after so many trainings and seconds is trained again afterwards, with seeds that no
search used, and judged by its mean on the validation split. Regret is (loss − best) / (median −
best), cut at 1: the best of the eight best stored settings, and the median one, trained with the
same seeds.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np

AFTER = {"trainings": (8, 16, 32, 64), "seconds": (5, 10, 20, 40, 80, 160, 320)}
FRESH_SEEDS = range(50_000, 50_010)
_BEST = 8
NAMES = (
    "kol.tune",
    "engine, random",
    "engine, tpe",
    "engine, gp",
    "engine, hyperband",
    "optuna, tpe",
    "optuna, hyperband",
    "keras-tuner, bayesian",
    "keras-tuner, hyperband",
)


@dataclass
class Trained:
    """One trial that has ended.

    Attributes:
        seconds: since the search began.
        trainings: that it took, stopped ones by the share of their epochs.
        epochs: after which `loss` was measured.
        loss: the last one on the validation split.
        settings: of Adam, as its constructor takes them.
    """

    seconds: float
    trainings: float
    epochs: int
    loss: float
    settings: dict[str, float]


def arguments_of_adam(params: dict[str, float]) -> dict[str, float]:
    return {
        name.removeprefix("1-"): 1.0 - value if name.startswith("1-") else value
        for name, value in params.items()
        if not name.startswith("tuner/")
    }


def of_study(study: Any, epochs: int, begun: datetime) -> list[Trained]:
    """What an Optuna study trained, in the order in which it ended."""
    ended = [t for t in study.trials if t.datetime_complete and t.intermediate_values]
    found = []
    for trial in sorted(ended, key=lambda t: t.datetime_complete):
        last = max(trial.intermediate_values)
        runs = len(trial.user_attrs.get("values", [None]))  # of this package: seeds and folds
        found.append(
            Trained(
                (trial.datetime_complete - begun).total_seconds(),
                runs * (last + 1) / epochs,
                last + 1,
                trial.intermediate_values[last],
                arguments_of_adam(trial.params),
            )
        )
    return found


def ours(task, trials: int, seed: int, **options: Any) -> list[Trained]:
    """`kol.tune`; the last one is its choice, after its race, whose time and trainings count."""
    import keras_optim_lab as kol

    begun, clock = datetime.now(), time.perf_counter()
    result = kol.tune(task, "adam", trials=trials, seed=seed, name="ours", **options)
    seconds = time.perf_counter() - clock
    found = of_study(result.study, task.epochs, begun)
    chosen = {**result.best_configuration.template.defaults, **result.best_configuration.settings}
    settings = {name: chosen[name] for name in ("learning_rate", "beta_1", "beta_2", "epsilon")}
    raced = result.confirmation
    runs = [*raced.values.values(), raced.default, raced.tuned] if raced else []
    # Before all others, whatever their losses.
    found.append(Trained(seconds, sum(map(len, runs)), task.epochs + 1, 0.0, settings))
    return found


def compiled(task, settings: dict[str, float]):
    """A fresh model with the built-in Adam, as a user would write it."""
    import keras

    model = task.model()
    optimizer = keras.optimizers.Adam(**settings)
    model.compile(optimizer=optimizer, loss=task.loss)
    return model


def optuna_loop(task, trials: int, seed: int, pruner) -> list[Trained]:
    """An Optuna study as its documentation writes it, until it has taken so many trainings."""
    import keras
    import optuna

    import keras_optim_lab as kol

    space = kol.search_space("adam")
    spent = 0

    class Report(keras.callbacks.Callback):
        def __init__(self, trial):
            super().__init__()
            self.trial = trial

        def on_epoch_end(self, epoch, logs=None):
            nonlocal spent
            spent += 1
            self.trial.report(logs["val_loss"], epoch)
            if self.trial.should_prune():
                raise optuna.TrialPruned

    def objective(trial) -> float:
        keras.utils.clear_session()
        params = {n: trial.suggest_float(n, d.low, d.high, log=True) for n, d in space.items()}
        history = compiled(task, arguments_of_adam(params)).fit(
            *task.train,
            batch_size=task.batch_size,
            epochs=task.epochs,
            validation_data=task.validation,
            callbacks=[Report(trial)],
            verbose=0,
        )
        return history.history["val_loss"][-1]

    def stop(study, _) -> None:
        if spent >= trials * task.epochs:
            study.stop()

    begun = datetime.now()
    sampler = optuna.samplers.TPESampler(seed=seed)
    study = optuna.create_study(sampler=sampler, pruner=pruner)
    study.optimize(objective, n_trials=1000, callbacks=[stop])
    return of_study(study, task.epochs, begun)


class _EnoughError(Exception):
    """A search has taken as many trainings as it may."""


def keras_tuner_search(task, trials: int, seed: int, tuner: str) -> list[Trained]:
    """One of KerasTuner's tuners, until it has taken so many trainings."""
    import keras_tuner

    import keras_optim_lab as kol

    space = kol.search_space("adam")
    found: list[Trained] = []
    clock = time.perf_counter()

    class Searched(getattr(keras_tuner, tuner)):
        def on_trial_end(self, trial):
            super().on_trial_end(trial)
            values = trial.hyperparameters.values
            last = values.get("tuner/epochs", task.epochs)
            epochs = last - values.get("tuner/initial_epoch", 0)
            settings = arguments_of_adam({name: values[name] for name in space})
            seconds = time.perf_counter() - clock
            if trial.score is not None:
                found.append(Trained(seconds, epochs / task.epochs, last, trial.score, settings))
            if sum(each.trainings for each in found) >= trials:
                raise _EnoughError

    def build(hp):
        params = {n: hp.Float(n, d.low, d.high, sampling="log") for n, d in space.items()}
        return compiled(task, arguments_of_adam(params))

    own = {"max_epochs": task.epochs, "hyperband_iterations": 100}
    searched = Searched(
        build,
        objective="val_loss",
        directory=".",
        seed=seed,
        overwrite=True,
        **(own if tuner == "Hyperband" else {"max_trials": 1000}),
    )
    data = {"batch_size": task.batch_size, "validation_data": task.validation, "verbose": 0}
    data |= {} if tuner == "Hyperband" else {"epochs": task.epochs}
    with suppress(_EnoughError):
        searched.search(*task.train, **data)
    return found


def search(
    name: str, task_name: str, trials: int, seed: int, start: list[dict[str, float]]
) -> list[Trained]:
    """One search in this process; `kol.tune` begins with the settings of `start`."""
    import optuna

    from keras_optim_lab import tasks

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    task = tasks.get(task_name)
    bare = {"start": "none", "confirm": 0, "folds": None, "pruner": "none"}
    no, hyperband = optuna.pruners.NopPruner(), optuna.pruners.HyperbandPruner(1, task.epochs)
    if name.startswith("keras-tuner"):
        import keras_tuner  # noqa: F401, not part of what is timed
    runs: dict[str, Callable[[], list[Trained]]] = {
        "kol.tune": lambda: ours(task, trials, seed, start=start),
        "engine, random": lambda: ours(task, trials, seed, sampler="random", **bare),
        "engine, tpe": lambda: ours(task, trials, seed, sampler="tpe", **bare),
        "engine, gp": lambda: ours(task, trials, seed, sampler="gp", **bare),
        "engine, hyperband": lambda: ours(
            task, trials, seed, sampler="tpe", **{**bare, "pruner": "hyperband"}
        ),
        "optuna, tpe": lambda: optuna_loop(task, trials, seed, no),
        "optuna, hyperband": lambda: optuna_loop(task, trials, seed, hyperband),
        "keras-tuner, bayesian": lambda: keras_tuner_search(
            task, trials, seed, "BayesianOptimization"
        ),
        "keras-tuner, hyperband": lambda: keras_tuner_search(task, trials, seed, "Hyperband"),
    }
    os.chdir(tempfile.mkdtemp())
    return runs[name]()


def in_own_process(
    name: str, task: str, trials: int, seed: int, start: Sequence[dict[str, float]]
) -> list[Trained] | None:
    """Runs this script for one search and reads the line of JSON that it ends with."""
    environment = {"KERAS_BACKEND": "jax", **os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, __file__, name, task, str(trials), str(seed), json.dumps(start)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        print(f"  {name}: {done.stderr.strip().splitlines()[-1]}")
        return None
    return [Trained(**each) for each in json.loads(done.stdout.strip().splitlines()[-1])]


def chosen(found: Sequence[Trained], after: float, unit: str) -> Trained | None:
    """What a search would choose after so many "trainings" or "seconds".

    The best of those trained longest; None where no trial has ended.
    """
    spent, best = 0.0, None
    for each in found:
        spent += each.trainings
        if (each.seconds if unit == "seconds" else spent) > after + 1e-9:
            break
        if best is None or (each.epochs, -each.loss) > (best.epochs, -best.loss):
            best = each
    return best


def judged(task_name: str, settings: Sequence[dict[str, float]]) -> list[float]:
    """The mean validation loss of each over fresh seeds."""
    from keras_optim_lab import tasks
    from keras_optim_lab.tuning.repetitions import Training, train
    from keras_optim_lab.tuning.spaces.configuration import Configuration

    trainings = [
        Training("again", Configuration("adam", each), seed)
        for each in settings
        for seed in FRESH_SEEDS
    ]
    losses = [curves["val_loss"][-1] for curves in train(tasks.get(task_name), trainings)]
    count = len(FRESH_SEEDS)
    return [sum(losses[i : i + count]) / count for i in range(0, len(losses), count)]


def compare(
    every: Sequence[Any], names: Sequence[str], trials: int, seeds: int, listed: int
) -> dict[str, dict[str, list[list[float]]]]:
    """Runs every search on every task with every seed.

    Args:
        every: the stored curves of the tasks, by whose best and median regret is measured.
        names: of the searches.
        trials: of each; those that stop some train more of them, not longer.
        seeds: how many runs of each.
        listed: settings that `kol.tune` begins with, of a list that the other tasks made.

    Returns:
        By unit and name, the regrets of its choices [run, after]; 1 where it has none yet.
    """
    found: dict[str, dict[str, list[list[float]]]] = {u: {n: [] for n in names} for u in AFTER}
    for stored in every:
        order = np.argsort(stored.curves[..., -1].mean(axis=1))
        known = [stored.settings[i] for i in (*order[:_BEST], order[len(order) // 2])]
        *best_ones, median = judged(stored.task, known)
        best = min(best_ones)
        start = [stored.settings[i] for i in stored.listed(listed)]
        for seed in range(seeds):
            for name in names:
                run = in_own_process(name, stored.task, trials, seed, start)
                if run is None:
                    continue
                choices = {
                    (unit, after): choice.settings
                    for unit, points in AFTER.items()
                    for after in points
                    if (choice := chosen(run, after, unit))
                }
                distinct = [dict(each) for each in {tuple(c.items()) for c in choices.values()}]
                losses = judged(stored.task, distinct)
                for unit, points in AFTER.items():
                    regrets = [1.0] * len(points)
                    for i, after in enumerate(points):
                        if (unit, after) in choices:
                            loss = losses[distinct.index(choices[unit, after])]
                            regrets[i] = min(1.0, (loss - best) / (median - best))
                    found[unit][name].append(regrets)
                print(
                    f"  {stored.task}, seed {seed}, {name}: {run[-1].seconds:.1f} s, "
                    f"{sum(each.trainings for each in run):.1f} trainings, "
                    f"regret {found['seconds'][name][-1][-1]:.3f}",
                    flush=True,
                )
    return found


if __name__ == "__main__":
    own_name, own_task, own_trials, own_seed, own_start = sys.argv[1:]
    trained = search(own_name, own_task, int(own_trials), int(own_seed), json.loads(own_start))
    print(json.dumps([asdict(each) for each in trained]))
