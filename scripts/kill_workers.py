"""Kills the processes that train a study again and again, and counts what is left of it.

    .venv/bin/python scripts/kill_workers.py --trials 200 --kills 50 --storage study.journal

Several processes train one study; at random moments one of them is killed with SIGKILL and another
one started. At the end the study must hold exactly as many finished trials as were asked for, each
with a seed of its own, and every trial that was in flight must have been trained again with the
same parameters. A trial's "training" is a formula and a short sleep: it is the storage that is
tried here. Databases are given as URLs, such as sqlite:///study.db.
"""

import argparse
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1]))

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState

from keras_optim_lab.tuner import TuningResult
from keras_optim_lab.tuning import study as study_module
from keras_optim_lab.tuning.storages.abandoned import retry
from keras_optim_lab.tuning.storages.urls import with_driver
from tests.studies import Formula, decades_from_optimum, small_task

NAME = "killed"
EPOCHS = 3


def opened(storage: str) -> str | BaseStorage:
    """A database with signs of life every second, so that nobody waits long for a dead process."""
    if "://" not in storage:
        return storage
    return RDBStorage(
        with_driver(storage),
        engine_kwargs={"pool_pre_ping": True},
        heartbeat_interval=1,
        grace_period=3,
        heartbeat_stale_trial_callback=retry,
    )


def train(storage: str, trials: int) -> None:
    """What a worker process does."""

    def slow(loss: float, epoch: int) -> dict[str, float]:
        time.sleep(random.uniform(0, 0.06))
        return {"loss": loss, "val_loss": loss}

    study_module._PAUSE = 0.05
    result = TuningResult.load(NAME, opened(storage), task=small_task(epochs=EPOCHS))
    result.run(trials, Formula(loss=decades_from_optimum, logs=slow))


def forked(storage: str, trials: int) -> int:
    """Starts a worker; returns the number of its process."""
    process = os.fork()
    if process == 0:
        try:
            train(storage, trials)
        except BaseException as error:
            print(f"A worker failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return process


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--trials", type=int, default=200)
    arguments.add_argument("--kills", type=int, default=50)
    arguments.add_argument("--pause", type=float, default=0.4, help="seconds between kills")
    arguments.add_argument("--workers", type=int, default=2)
    arguments.add_argument("--storage", default="killed.journal")
    arguments.add_argument("--seed", type=int, default=0, help="of the moments of death")
    chosen = arguments.parse_args()
    random.seed(chosen.seed)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    task = small_task(epochs=EPOCHS)
    create = {"sampler": "random", "pruner": "none", "name": NAME}
    TuningResult.create(task, "adam", storage=opened(chosen.storage), **create)

    begun = time.perf_counter()
    running = {forked(chosen.storage, chosen.trials) for _ in range(chosen.workers)}
    kills = failures = 0
    while running:
        if kills < chosen.kills:
            time.sleep(random.uniform(0, 2 * chosen.pause))
            victim = random.choice(sorted(running))
            os.kill(victim, signal.SIGKILL)
        process, status = os.wait()
        running.remove(process)
        if os.WIFSIGNALED(status):
            kills += 1
            running.add(forked(chosen.storage, chosen.trials))
        else:
            failures += os.waitstatus_to_exitcode(status) != 0
    seconds = time.perf_counter() - begun

    trials = TuningResult.load(NAME, opened(chosen.storage), task=task).study.get_trials()
    return report(trials, chosen.trials, kills, failures, seconds)


def report(
    trials: list[FrozenTrial], wanted: int, kills: int, failures: int, seconds: float
) -> int:
    states = Counter(trial.state.name for trial in trials)
    finished = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    seeds = {trial.user_attrs["seed"] for trial in finished}
    again = [trial for trial in trials if trial.system_attrs.get("retry_history")]
    changed = [
        trial.number
        for trial in again
        if (former := trials[trial.system_attrs["retry_history"][-1]]).params != trial.params
        # Killed before it had a seed, when it was just taken from the queue, it had not begun.
        or len({t.user_attrs["seed"] for t in (former, trial) if "seed" in t.user_attrs}) > 1
    ]
    print(
        f"{kills} kills in {seconds:.0f} s: {len(finished)} of {wanted} trials finished, with "
        f"{len(seeds)} different seeds; {len(again)} were trained again, {len(changed)} of them "
        f"with other settings; states {dict(states)}; {failures} workers failed."
    )
    right = len(finished) == len(seeds) == wanted
    return 0 if right and not changed and not failures and not states["RUNNING"] else 1


if __name__ == "__main__":
    sys.exit(main())
