"""How much a search leaves to be gained, after so many trainings: ours beside others.

    .venv/bin/python scripts/bench_search.py
    .venv/bin/python scripts/bench_search.py --taskset taskset-imdb-rnn.npz --seeds 5
    .venv/bin/python scripts/bench_search.py --live --seeds 3

Searches run on stored curves, which takes seconds instead of hours: those of Adam on the tasks of
`experiments/portfolios.toml`, and those of TaskSet where its file is given. A sampler proposes what
it likes, and the nearest stored setting that was not trained yet answers with its curve. So every
search is the same code that trains networks elsewhere: Optuna's studies with the samplers of this
package, Optuna's and KerasTuner's own. All search the same space, decay rates as 1 − β, on
logarithmic scales.

A search sees the curves of one seed. Its choice, the best of its last losses, is judged by the mean
over all seeds, as regret: (loss − best) / (median − best) of all stored settings, cut at 1.
A training that was stopped counts by the share of its epochs. `portfolio` begins with the defaults
and a list that was made of the other tasks, never of the one that it is judged on.

`--live` trains instead, `kol.tune` as it comes but with such a list beside the others, against
trainings and seconds. See `bench_search_live.py`.
"""

import argparse
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import bench_search_live as searches
import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from keras_optim_lab.experiments import cover
from keras_optim_lab.tuning import samplers

TABLE = Path(__file__).parents[1] / "experiments/results/portfolios/adam.npz"
AFTER = (1, 4, 8, 16, 32, 64)
LIVE = ("digits-mlp", "friedman-mlp", "clusters-batchnorm")
ROWS = 8  # that a study of 64 trials asks for at a time, where its sampler learns
LISTED = ROWS - 1  # settings of a portfolio that a study of 64 trials begins with
Event = tuple[int, int, int, float]  # a setting, its epochs before and after, its last loss


@dataclass
class Stored:
    """Curves of many settings on one task.

    Attributes:
        points: of the settings in the search space, as shares of its sides.
        curves: [setting, seed, epoch], infinite where a run diverged.
        others: regrets of all tasks but this one, a row for each task and length.
        tried: settings at the beginning that come before any list.
        settings: as the optimizer takes them; none of TaskSet.
    """

    task: str
    points: NDArray
    curves: NDArray
    others: NDArray
    tried: Sequence[int] = ()
    settings: Sequence[dict[str, float]] = ()
    regret: NDArray = field(init=False)

    def __post_init__(self):
        self.regret = cover.regrets(self.curves[..., -1].mean(axis=1)[None])[0]

    @property
    def epochs(self) -> int:
        return self.curves.shape[-1]

    def listed(self, count: int) -> list[int]:
        """The first settings of a portfolio that was made of all tasks but this one."""
        return cover.greedy(self.others, count, self.tried)


class Answers:
    """One search on stored curves: what is nearest to a proposal and was not trained yet."""

    def __init__(self, stored: Stored, seed: int):
        curves = stored.curves[:, seed % stored.curves.shape[1]]
        worst = curves[np.isfinite(curves)].max()
        self.curves = np.where(np.isfinite(curves), curves, worst)
        self.stored = stored
        self._left = np.ones(len(curves), bool)

    def take(self, row: int) -> int:
        self._left[row] = False
        return row

    def nearest(self, point: Sequence[float]) -> int:
        distance = ((self.stored.points - np.asarray(point)) ** 2).sum(axis=1)
        return self.take(int(np.where(self._left, distance, np.inf).argmin()))


Contestant = Callable[[Answers, int], Iterator[Event]]

# Contestants: each is given the answers and a seed, and yields what it trains.


def optuna_loop(
    sampler: Callable[[int], optuna.samplers.BaseSampler],
    pruner: Callable[[int], optuna.pruners.BasePruner],
    rows: int = 1,
    listed: int = 0,
) -> Contestant:
    """A study of Optuna's that asks for `rows` trials at a time, which train side by side.

    Args:
        listed: how many settings of a portfolio it begins with, after those tried in any case.
    """

    def run(answers: Answers, seed: int) -> Iterator[Event]:
        stored = answers.stored
        epochs = stored.epochs
        space = {f"x{i}": FloatDistribution(0.0, 1.0) for i in range(stored.points.shape[1])}
        study = optuna.create_study(sampler=sampler(seed), pruner=pruner(epochs))
        chosen = stored.listed(listed) if listed else []
        for row in [*stored.tried, *chosen] if listed else []:
            loss = float(answers.curves[answers.take(row), -1])
            point = {name: float(x) for name, x in zip(space, stored.points[row], strict=True)}
            study.add_trial(optuna.create_trial(params=point, distributions=space, value=loss))
            yield row, 0, epochs, loss
        while True:
            training = {}
            for _ in range(rows):
                trial = study.ask(space)
                training[trial] = answers.nearest([*trial.params.values()])
            for epoch in range(epochs):
                for trial, row in [*training.items()]:
                    loss = float(answers.curves[row, epoch])
                    trial.report(loss, epoch)
                    yield row, epoch, epoch + 1, loss
                    if epoch + 1 < epochs and trial.should_prune():
                        study.tell(trial, state=TrialState.PRUNED)
                        del training[trial]
            for trial, row in training.items():
                study.tell(trial, float(answers.curves[row, -1]))

    return run


def keras_tuner_oracle(name: str) -> Contestant:
    """One of KerasTuner's oracles, asked as its tuners ask it."""

    def run(answers: Answers, seed: int) -> Iterator[Event]:
        import keras_tuner

        stored = answers.stored
        hp = keras_tuner.HyperParameters()
        labels = [f"x{i}" for i in range(stored.points.shape[1])]
        for label in labels:
            hp.Float(label, 0.0, 1.0)
        own = (
            {"max_epochs": stored.epochs, "hyperband_iterations": 100}
            if name == "HyperbandOracle"
            else {"max_trials": 10_000}
        )
        objective = keras_tuner.Objective("val_loss", "min")
        oracle = getattr(keras_tuner.oracles, name)(
            objective=objective, hyperparameters=hp, seed=seed, **own
        )
        oracle.verbose = 0
        rows: dict[str, int] = {}
        with tempfile.TemporaryDirectory() as folder:
            oracle._set_project_dir(folder, "search")
            while True:
                trial = oracle.create_trial("one")
                values = trial.hyperparameters.values
                begun = rows.get(values.get("tuner/trial_id", ""))
                row = answers.nearest([values[x] for x in labels]) if begun is None else begun
                rows[trial.trial_id] = row
                first = values.get("tuner/initial_epoch", 0) if begun is not None else 0
                last = values.get("tuner/epochs", stored.epochs)
                loss = float(answers.curves[row, last - 1])
                oracle.update_trial(trial.trial_id, {"val_loss": loss}, step=last)
                trial.status = "COMPLETED"
                oracle.end_trial(trial)
                yield row, first, last, loss

    return run


def ours(sampler: str, pruner: str = "none", listed: int = 0) -> Contestant:
    """As studies of this package ask."""
    made = partial(samplers.sampler, sampler)
    return optuna_loop(made, samplers.PRUNERS[pruner], ROWS, listed)


def plain(pruner: str = "none") -> Contestant:
    """As Optuna's documentation asks."""

    def tpe(seed: int) -> optuna.samplers.BaseSampler:
        return optuna.samplers.TPESampler(seed=seed)

    return optuna_loop(tpe, samplers.PRUNERS[pruner])


CONTESTANTS: dict[str, Contestant] = {
    "portfolio, then tpe": ours("tpe", listed=LISTED),
    "engine, random": ours("random"),
    "engine, tpe": ours("tpe"),
    "engine, gp": ours("gp"),
    "engine, hyperband": ours("tpe", "hyperband"),
    "optuna, tpe": plain(),
    "optuna, hyperband": plain("hyperband"),
    "keras-tuner, bayesian": keras_tuner_oracle("BayesianOptimizationOracle"),
    "keras-tuner, hyperband": keras_tuner_oracle("HyperbandOracle"),
}


def regrets_after(
    contestant: Contestant, stored: Stored, seed: int, trainings: Sequence[int]
) -> list[float]:
    """The regret of what a search would choose after so many trainings.

    The choice is the setting with the best last loss of those trained longest.
    """
    spent, best = 0.0, (0, np.inf, 1.0)  # epochs of the choice, its loss, its regret
    left, found = [*trainings], []
    for row, before, after, loss in contestant(Answers(stored, seed), seed):
        spent += (after - before) / stored.epochs
        while left and spent > left[0] + 1e-9:
            found.append(best[2])
            left.pop(0)
        if not left:
            return found
        if after > best[0] or (after == best[0] and loss < best[1]):
            best = (after, loss, float(stored.regret[row]))
    raise RuntimeError("a search ended before it had trained enough")


# Stored curves.


def ours_from(path: Path) -> list[Stored]:
    """The tables of `experiments/portfolios.toml`, one optimizer on several tasks."""
    from keras_optim_lab.tuning.spaces.parameters import complement
    from keras_optim_lab.tuning.spaces.space import SearchSpace

    space = SearchSpace(path.stem).distributions
    with np.load(path) as file:
        arrays = dict(file)
    columns = []
    for name, values in zip(arrays["names"], arrays["hyperparameters"].T, strict=True):
        side = space.get(name) or space[complement(name)]
        drawn = np.log(values if name in space else 1 - values)
        columns.append((drawn - np.log(side.low)) / (np.log(side.high) - np.log(side.low)))
    curves = {
        name.removesuffix("/val_loss"): array.astype("float64")
        for name, array in arrays.items()
        if name.endswith("/val_loss")
    }
    found = _beside_each_other(np.stack(columns, axis=1), curves, tried=(0,))
    names = [str(name) for name in arrays["names"]]
    settings = [dict(zip(names, map(float, row), strict=True)) for row in arrays["hyperparameters"]]
    return [replace(each, settings=settings) for each in found]


def taskset_from(path: Path) -> list[Stored]:
    """TaskSet's Adam on several tasks: `hyperparameters`, and `TASK/valid` [setting, point]."""
    with np.load(path) as file:
        arrays = dict(file)
    values = arrays["hyperparameters"].astype("float64")
    decays = [str(name).startswith("beta") for name in arrays["names"]]
    logs = np.log(np.where(decays, 1 - values, values))
    points = (logs - logs.min(axis=0)) / np.ptp(logs, axis=0)
    curves = {
        name.removesuffix("/valid"): np.where(np.isfinite(array), array, np.inf)[:, None, :]
        for name, array in arrays.items()
        if name.endswith("/valid")
    }
    return _beside_each_other(points, curves, tried=())


def _beside_each_other(
    points: NDArray, curves: dict[str, NDArray], tried: Sequence[int]
) -> list[Stored]:
    every = {task: cover.of_task(each.mean(axis=1)) for task, each in curves.items()}
    return [
        Stored(
            task,
            points,
            each.astype("float64"),
            np.concatenate([regret for other, regret in every.items() if other != task]),
            tried,
        )
        for task, each in curves.items()
    ]


def quartiles(found: NDArray) -> list[str]:
    """`0.05 (0.02–0.11)` of each column."""
    low, median, high = np.quantile(found, [0.25, 0.5, 0.75], axis=0)
    return [f"{m:.3f} ({a:.3f}–{b:.3f})" for a, m, b in zip(low, median, high, strict=True)]


def draw(
    found: dict[str, NDArray], after: Sequence[int], unit: str, title: str, path: Path
) -> None:
    """Medians after so many trainings or seconds, and for the first what is between quartiles."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for i, (name, regrets) in enumerate(found.items()):
        low, median, high = np.quantile(regrets, [0.25, 0.5, 0.75], axis=0)
        style = {"color": "#d1495b", "linewidth": 3} if i == 0 else {"color": f"C{i}"}
        axes.plot(after, median, marker="o", markersize=3, label=name, **style)
        if i == 0:
            axes.fill_between(after, low, high, alpha=0.15, color=style["color"])
    axes.set_xscale("log", base=2)
    axes.set_xticks(after, [str(count) for count in after])
    axes.set(xlabel=unit, ylabel="regret of the choice, median", title=title)
    axes.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def on_stored_curves(title: str, every: list[Stored], options: argparse.Namespace) -> None:
    """The table of searches on stored curves, and its figure."""
    print(f"\n{title}: {len(every)} tasks × {options.seeds} seeds, {len(every[0].points)} settings")
    print("regret of the choice after so many trainings, median (quartiles)\n")
    print(tabled("", map(str, AFTER)))
    found = {}
    for name in options.contestants:
        runs = [
            regrets_after(CONTESTANTS[name], each, seed, AFTER)
            for each in every
            for seed in range(options.seeds)
        ]
        found[name] = np.array(runs)
        print(tabled(name, quartiles(found[name])), flush=True)
    if options.figure:
        figure = options.figure.with_stem(f"{options.figure.stem}-{title.split()[0].lower()}")
        draw(found, AFTER, "trainings", title, figure)


def on_live_tasks(every: list[Stored], options: argparse.Namespace) -> None:
    """The tables of searches that train, and their figures."""
    on = [each for each in every if each.task in options.tasks]
    found = searches.compare(on, options.contestants, AFTER[-1], options.seeds, LISTED)
    for unit, by_name in found.items():
        points = searches.AFTER[unit]
        print(f"\nregret of the choice after so many {unit}, median (quartiles)\n")
        print(tabled("", map(str, points)))
        runs = {name: np.array(regrets) for name, regrets in by_name.items() if regrets}
        for name, regrets in runs.items():
            print(tabled(name, quartiles(regrets)))
        if options.figure:
            figure = options.figure.with_stem(f"{options.figure.stem}-live-{unit}")
            draw(runs, points, unit, f"Live on {', '.join(options.tasks)}", figure)


def tabled(first: str, others: Iterable[str]) -> str:
    return f"{first:22}" + "".join(f"{cell:>22}" for cell in others)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", type=Path, default=TABLE, help="curves of one optimizer")
    parser.add_argument("--taskset", type=Path, help="a NumPy file of TaskSet's curves")
    parser.add_argument("--live", action="store_true", help="train, on three tasks")
    parser.add_argument("--tasks", nargs="+", default=LIVE, help="of the live searches")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--contestants", nargs="+", help="names of rows; all by default")
    parser.add_argument("--figure", type=Path, help="a PNG, such as docs/pictures/regret.png")
    options = parser.parse_args()
    known = searches.NAMES if options.live else [*CONTESTANTS]
    options.contestants = options.contestants or known
    if wrong := {*options.contestants} - {*known}:
        parser.error(f"--contestants: {sorted(wrong)} are not among {', '.join(known)}")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    every = ours_from(options.table)
    if wrong := {*options.tasks} - {each.task for each in every}:
        parser.error(f"--tasks: {sorted(wrong)} are not in {options.table}")
    if options.live:
        on_live_tasks(every, options)
        return
    on_stored_curves("Adam on the built-in tasks", every, options)
    if options.taskset:
        on_stored_curves("TaskSet's Adam", taskset_from(options.taskset), options)


if __name__ == "__main__":
    main()
