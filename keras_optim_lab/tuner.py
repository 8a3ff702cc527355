"""Tuning in one call: `tune`, and the result that it returns."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage

from keras_optim_lab import terminal
from keras_optim_lab.arguments import whole_number
from keras_optim_lab.files import file_name
from keras_optim_lab.reports.report import write_report
from keras_optim_lab.shown import Row, Shown, html
from keras_optim_lab.tasks import Task
from keras_optim_lab.tasks.catalogue import task_of
from keras_optim_lab.tuning import TuningStudy, confirmation, evaluation
from keras_optim_lab.tuning.budget import KEPT_BACK, Budget
from keras_optim_lab.tuning.checks import Callback, check_callbacks
from keras_optim_lab.tuning.executors import Executor
from keras_optim_lab.tuning.executors.choosing import engine_of
from keras_optim_lab.tuning.folds import Folds
from keras_optim_lab.tuning.interruption import ended_by
from keras_optim_lab.tuning.spaces.space import Searched


class TuningResult(TuningStudy, Shown):
    """A study's result: `verdict`, `best_optimizer()`, `best_params`, `report(path)`, `study`."""

    @property
    def headline(self) -> str:
        if not self.is_complete:
            return f"Study {self.study.study_name}: no trial has been trained to the end yet"
        best, name = self.best_trial, self.objective.name
        found = self.verdict or f"best {name} {best.value:.5g} in trial {best.number}"
        return f"Study {self.study.study_name}: {found}"

    def records(self) -> list[Row]:
        """A row for each finished trial: number, state, objective and parameters."""
        return [
            {
                "trial": trial.number,
                "state": trial.state.name.lower(),
                self.objective.name: trial.value,
                **trial.params,
            }
            for trial in self.finished_trials
        ]

    def _repr_html_(self) -> str:
        if not self.is_complete:
            return html(self.headline, [])
        best, numbers = [trial.number for trial in self.ranked_trials[:5]], self.records()
        rows = {row["trial"]: row for row in numbers}
        said = f"{self.headline} — {self.best_optimizer()!r}"
        return html(said, [rows[number] for number in best], len(numbers) - len(best))

    def _draw(self, axes: Any) -> None:
        complete = [trial for trial in self.finished_trials if trial.value is not None]
        numbers = [trial.number for trial in complete]
        values = np.array([trial.value for trial in complete], float)
        up = self.objective.direction == "maximize"
        best = (np.fmax if up else np.fmin).accumulate(values)
        axes.scatter(numbers, values, s=8, alpha=0.6, label="trials")
        axes.step(numbers, best, where="post", color="#D55E00", label="best so far")
        axes.set(xlabel="trial", ylabel=self.objective.name)
        axes.legend()

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
    folds: Folds = "auto",
    start: Any = "portfolio",
    minutes: float | None = None,
    confirm: int = confirmation.CONFIRM,
    callbacks: Sequence[Callback] = (),
    workers: int | Literal["auto"] | None = None,
    executor: Executor | None = None,
) -> TuningResult:
    """Searches the settings of an optimizer that suit a task.

        result = kol.tune("digits-mlp", optimizer="adam", trials=64)
        model.compile(optimizer=result.best_optimizer(), loss="mse")

    Ctrl-C ends the study at the end of an epoch; the same call with its `name` continues it.

    Args:
        task: a `Task`, or the name of a built-in one.
        optimizer: a name from the catalogue, an optimizer, or several of these; see `SearchSpace`.
        trials: how many finished trials the study is to have, earlier ones included.
        seed: of the sampler; the runs of the first trials are trained with seed, seed + 1, …
        sampler: any Optuna sampler, or "tpe" (the default), "gp" (needs PyTorch), "cmaes" (its
            extra), "random", "qmc", or "grid": five values of every number.
        pruner: any Optuna pruner, or "none" (the default), "median", "hyperband", "halving"; or
            "freeze-thaw", which lets trials wait while others are likelier to end best.
        storage: a journal's path, an Optuna URL or storage; `studies/NAME.journal` by default.
        name: of the study; made from task, optimizer and time by default.
        space: changes to the search space, such as {"beta_1": (0.8, 0.99)}; see `SearchSpace`.
        objective: a name in the logs, or a pair of it and "minimize" or "maximize".
        population: models that train side by side in one program, which changes no trial's result.
        seeds_per_trial: runs of each trial, which is judged by their mean.
        folds: that each of these runs is a cross-validation over: the trial is trained once on all
            but each fold of the training and validation samples. Every run has another partition,
            each training another seed, and `test` has no part in it. By default 5 where the
            validation split is too small to tell settings apart, below 500 samples; None for
            no folds.
        start: what is tried before the sampler chooses: the defaults, or the optimizer as it was
            given, and then, by "portfolio" (the default), settings that did well on other tasks
            where these are known, or a list of your own, such as [{"learning_rate": 3e-3}], or the
            best settings of an earlier result. "defaults" begins with them alone, and "none" with
            the sampler.
        minutes: that all of it may take, beside `trials`: what is over first ends the study. A
            fifth is kept back for the race at the end.
        confirm: how many of the best trials are raced against the defaults at the end, over common
            fresh seeds, for the `verdict`; 0 for no race, and the best value that was seen.
        callbacks: called as `callback(study, trial)` after every trial, as in Optuna; such as those
            of `kol.logging`. One with a method `ended` is called as `callback.ended(result)`, too,
            when all is done.
        workers: processes that train, each with an accelerator or its share of the cores; "auto"
            for one on each accelerator. None to train in this process.
        executor: what trains in place of these, such as `kol.executors.Ray(actors=8)`. It stays
            open, so that it serves other studies, until its `close`, or as long as it is kept.

    Returns:
        The study's result, with `verdict`, `best_optimizer()`, `best_params`, `report(path)` and
        `study`. Where no settings are better than the defaults for sure, these are the best.

    Raises:
        ValueError, TypeError: an argument is wrong, or the named study exists with another space,
            task or objective. Nothing has been trained or stored by then.
        OSError, MemoryError: the storage cannot be opened; so many models do not fit.
    """
    task = task_of(task)
    engine_in = engine_of(population, workers, executor, task)
    trials, confirm = whole_number("trials", trials), whole_number("confirm", confirm, least=0)
    budget = Budget(minutes, KEPT_BACK if confirm else 0.0)
    check_callbacks(callbacks)
    result = TuningResult.create(
        task,
        optimizer,
        *(seed, sampler, pruner, storage, name, space, objective, seeds_per_trial, folds, start),
    )
    with engine_in as engine:
        with terminal.notebook_step("trials") as step:
            count = itertools.count(len(result.finished_trials) + 1)

            def told(*_: Any) -> None:
                step(next(count), trials)

            result.run(trials, engine, [*callbacks, told], budget)
        if confirm and result.is_complete:
            with ended_by(result.kept), terminal.notebook_step("racing the best") as step:
                confirmation.confirm(result, confirm, engine, step, budget)
    for callback in callbacks:
        if callable(ended := getattr(callback, "ended", None)):
            ended(result)
    return result
