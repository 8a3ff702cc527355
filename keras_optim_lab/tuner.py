"""Tuning in one call: `tune`, and the result that it returns."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage

from keras_optim_lab.arguments import whole_number
from keras_optim_lab.files import file_name
from keras_optim_lab.reports.report import write_report
from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning import TuningStudy, evaluation
from keras_optim_lab.tuning.checks import Callback, check_callbacks
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from keras_optim_lab.tuning.interruption import ended_by
from keras_optim_lab.tuning.spaces.space import Searched


class TuningResult(TuningStudy):
    """A study's result: `study`, `best_params`, `best_optimizer()` and `report(path)`."""

    def report(self, path: str | Path | None = None, seeds: int = evaluation.EVALUATIONS) -> Path:
        """Writes one self-contained HTML page and returns its path.

        Default and tuned settings are trained `seeds` times each for it, unless the study holds
        these runs already.

        Args:
            path: of the page; by default `reports/STUDY.html`, in which what is no letter, digit
                or one of . _ + - has become -.
            seeds: number of runs that mean and spread are taken over.

        Raises:
            RuntimeError: the study has no complete trial.
        """
        path = Path(path or Path("reports") / f"{file_name(self.study.study_name)}.html")
        return write_report(self, evaluation.evaluate(self, seeds), path)


def tune(
    task: Task | str,
    optimizer: Searched = "adam",
    *,
    trials: int = 64,
    seed: int = 0,
    sampler: str | BaseSampler | None = None,
    pruner: str | BasePruner | None = None,
    storage: str | Path | BaseStorage | None = None,
    name: str | None = None,
    space: Mapping[str, Any] | None = None,
    objective: Any = "val_loss",
    population: int | Literal["auto"] = "auto",
    seeds_per_trial: int = 1,
    confirm: int = 0,
    callbacks: Sequence[Callback] = (),
) -> TuningResult:
    """Searches the settings of an optimizer that suit a task.

        result = kol.tune("digits-mlp", optimizer="adam", trials=64)
        model.compile(optimizer=result.best_optimizer(), ...)

    A study is kept while it runs: interrupted at any trial, the same call with the same `name`
    continues it. Ctrl-C ends it at the end of an epoch, a second one at once.

    Args:
        task: a `Task`, or the name of a built-in one.
        optimizer: a name from the catalogue; an optimizer, such as `kol.Lookahead(kol.Adam())`, of
            which the study changes the numbers that have a range and leaves the rest; or several
            of these for the study to choose among. See `SearchSpace`.
        trials: how many finished trials the study is to have, earlier ones included.
        seed: of the sampler; trial n trains with seed + n, or with the next `seeds_per_trial`
            ones from seed + n · `seeds_per_trial`.
        sampler: any Optuna sampler, or "tpe" (the default), "random", "qmc".
        pruner: any Optuna pruner, or "median" (the default), "hyperband", "halving", "none".
        storage: a path to a journal file, an Optuna URL or an Optuna storage; by default the
            journal file `studies/NAME.journal`.
        name: of the study; made from task, optimizer and time by default.
        space: changes to the search space by field name: an Optuna distribution, a (low, high)
            pair, or a value that fixes the field. `{"schedule": ["constant", "cosine"],
            "warmup": (0.0, 0.2)}` also searches a schedule of the learning rate; see `SearchSpace`.
        objective: what to improve: a name from the logs of an epoch, or a pair of it and
            "minimize" or "maximize". Its value after the last epoch counts.
        population: how many models train side by side as rows of one compiled program; "auto"
            chooses by their size, the free memory and the trials left. A trial's result does not
            depend on it, but which trials a sampler proposes does.
        seeds_per_trial: runs of each trial, which is judged by their mean; the attributes
            `values` and `spread` keep the rest.
        confirm: how many of the best trials to train again with three fresh seeds each; the best
            mean is then the result. With 0, the best single trial is.
        callbacks: called as `callback(study, trial)` after every trial, as in Optuna.

    Returns:
        A `TuningResult`.

    Raises:
        ValueError, TypeError: an argument is wrong, or the named study exists with another space,
            task or objective. Nothing has been trained or stored by then.
        OSError: the storage cannot be opened.
        MemoryError: the data, or a population of the given width, do not fit.
    """
    trials = whole_number("trials", trials)
    engine = PopulationEngine(population)
    confirm = whole_number("confirm", confirm, least=0)
    check_callbacks(callbacks)
    result = TuningResult.create(
        task,
        optimizer,
        seed=seed,
        sampler=sampler,
        pruner=pruner,
        storage=storage,
        name=name,
        space=space,
        objective=objective,
        seeds_per_trial=seeds_per_trial,
    )
    result.run(trials, engine, callbacks)
    if confirm:
        with ended_by(result.kept):
            evaluation.confirm(result, confirm, engine=engine)
    return result
