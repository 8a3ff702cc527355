"""Kills actors of Ray that train a study, lets a node leave and join, and counts what is lost.

    KERAS_BACKEND=jax .venv/bin/python scripts/kill_actors.py --actors 8 --kills 20

A cluster of two nodes begins on this machine. At every so many trials one of the actors is killed;
after a third of the kills the second node leaves, with all actors on it, and after two thirds it
joins again. At the end every trial must have been told once, and have the curve that it has where
one process trains them all.
"""

import argparse
import os
import random
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1]))

import optuna
import ray
from ray.cluster_utils import Cluster

from keras_optim_lab.tuner import TuningResult, tune
from keras_optim_lab.tuning.executors import Ray
from tests.studies import small_task

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Killer:
    """A callback that kills, and notes which trials it was told of."""

    def __init__(self, cluster: Cluster, executor: Ray, node, trials: int, kills: int):
        self.cluster, self.executor, self.node = cluster, executor, node
        self.every, self.most = max(1, trials // (kills + 2)), kills
        self.told: list[int] = []
        self.kills = self.changes = 0

    def __call__(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        self.told.append(trial.number)
        if self.kills < self.most and len(self.told) % self.every == 0:
            actor = random.choice(self.executor._workers).link._actor
            ray.kill(actor)
            self.kills += 1
        if self.changes == 0 and self.kills >= self.most // 3:
            self.cluster.remove_node(self.node)
            self.changes = 1
        if self.changes == 1 and self.kills >= 2 * self.most // 3:
            self.cluster.add_node(num_cpus=4)
            self.changes = 2


def searched(trials: int, epochs: int, **options) -> TuningResult:
    return tune(
        small_task(epochs=epochs),
        "adam",
        trials=trials,
        sampler="random",
        start="none",
        folds=None,
        confirm=0,
        storage=optuna.storages.InMemoryStorage(),
        **options,
    )


def curves(result: TuningResult) -> dict[int, tuple]:
    return {t.number: (t.params, t.intermediate_values, t.state) for t in result.study.trials}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--actors", type=int, default=8)
    arguments.add_argument("--kills", type=int, default=20)
    arguments.add_argument("--trials", type=int, default=2000)
    arguments.add_argument("--epochs", type=int, default=40)
    chosen = arguments.parse_args()
    random.seed(0)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 4})
    node = cluster.add_node(num_cpus=4)
    begun = time.perf_counter()
    with Ray(chosen.actors, address=cluster.address, population=8) as executor:
        killer = Killer(cluster, executor, node, chosen.trials, chosen.kills)
        result = searched(chosen.trials, chosen.epochs, executor=executor, callbacks=[killer])
    seconds = time.perf_counter() - begun
    ray.shutdown()
    cluster.shutdown()
    same = curves(result) == curves(searched(chosen.trials, chosen.epochs))
    once = sorted(killer.told) == list(range(chosen.trials))
    print(
        f"{killer.kills} kills and {killer.changes} changes of nodes in {seconds:.0f} s: "
        f"{len(result.finished_trials)} of {chosen.trials} trials finished, "
        f"{'each told once' if once else 'NOT each told once'}, "
        f"{'the same' if same else 'NOT the same'} to the last bit as in one process."
    )
    return 0 if same and once and killer.kills == chosen.kills else 1


if __name__ == "__main__":
    sys.exit(main())
