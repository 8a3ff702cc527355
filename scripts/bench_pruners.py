"""What pruners save, and what they lose, on stored curves of Adam.

    .venv/bin/python scripts/bench_pruners.py

64 settings in random order, 8 of them side by side, on each task of `experiments/portfolios.toml`.
`epochs` is the share of all epochs that was trained. `lost` is how much worse the best trial that
ended is than the best of all 64, as a share of the way from that to their median; `missed` in how
many studies it is another one. `freeze-thaw for good` never thaws what it has stopped.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import FloatDistribution
from optuna.pruners import BasePruner
from optuna.trial import TrialState

from keras_optim_lab.tuning.samplers import PRUNERS

TABLE = Path(__file__).parents[1] / "experiments/results/portfolios/adam.npz"
TRIALS, ROWS = 64, 8
FOR_GOOD = "freeze-thaw for good"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="studies of each task")
    seeds = parser.parse_args().seeds
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    table = np.load(TABLE)
    found: dict[str, list[tuple[float, float]]] = {}
    for name in [name for name in table.files if name.endswith("/val_loss")]:
        for seed in range(seeds):
            curves = _answers(table[name].astype(float), seed)
            ends = curves[:, -1]
            for pruner in [*PRUNERS, FOR_GOOD]:
                make = PRUNERS[pruner.removesuffix(" for good")]
                best, share = search(curves, make(curves.shape[1]), pruner == "freeze-thaw")
                lost = (best - ends.min()) / (np.median(ends) - ends.min())
                found.setdefault(pruner, []).append((share, lost))
    print(f"| pruner | epochs | lost, mean | lost, most | missed of {len(found['none'])} |")
    print("|---|---|---|---|---|")
    for pruner, studies in found.items():
        share, lost = np.array(studies).T
        print(
            f"| {pruner} | {share.mean():.2f} | {lost.mean():.3f} | {lost.max():.2f} "
            f"| {np.count_nonzero(lost)} |"
        )


def _answers(curves: NDArray, seed: int) -> NDArray:
    """The curves of some settings in random order, (settings, epochs)."""
    chosen = curves[np.random.RandomState(seed).permutation(len(curves))[:TRIALS], seed % 2]
    return np.where(np.isfinite(chosen), chosen, chosen[np.isfinite(chosen)].max())


@dataclass(eq=False)
class Seat:
    trial: optuna.Trial
    curve: NDArray
    epoch: int = 0


def search(curves: NDArray, pruner: BasePruner, thaws: bool) -> tuple[float, float]:
    """The best value of a trial that ended, and the share of all epochs that was trained."""
    # Hyperband goes by the name of a study.
    study = optuna.create_study(
        study_name="stored", pruner=pruner, sampler=optuna.samplers.RandomSampler(0)
    )
    todo, used, best = list(curves), 0, np.inf
    seats: list[Seat] = []
    parked: list[Seat] = []
    while True:
        for seat in [*parked]:
            if len(seats) < ROWS and not seat.trial.should_prune():
                parked.remove(seat)
                seats.append(seat)
        while len(seats) < ROWS and todo:
            seats.append(Seat(study.ask({"x": FloatDistribution(0, 1)}), todo.pop(0)))
        if not seats:
            return best, used / curves.size
        for seat in [*seats]:
            value = float(seat.curve[seat.epoch])
            seat.trial.report(value, seat.epoch)
            seat.epoch += 1
            used += 1
            if seat.epoch == len(seat.curve):
                best = min(best, value)
                study.tell(seat.trial, value)
            elif not seat.trial.should_prune():
                continue
            elif thaws:
                parked.append(seat)
            else:
                study.tell(seat.trial, state=TrialState.PRUNED)
            seats.remove(seat)


if __name__ == "__main__":
    main()
