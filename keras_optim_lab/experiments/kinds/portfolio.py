"""Experiments that find out which settings of an optimizer to try first on any task."""

import time
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_optim_lab import tasks
from keras_optim_lab.experiments import cover, quasi_random, schema
from keras_optim_lab.experiments.curve_table import CurveTable, locked
from keras_optim_lab.experiments.experiment import Experiment
from keras_optim_lab.experiments.file import Common
from keras_optim_lab.experiments.names import catalogue_name, declaration_of, task_name
from keras_optim_lab.experiments.outputs import Output
from keras_optim_lab.experiments.parts import OnProgress, Part
from keras_optim_lab.experiments.portfolio_file import MARK, Portfolio, inline, written
from keras_optim_lab.experiments.schema import Keys, Table, key
from keras_optim_lab.files import write_whole
from keras_optim_lab.optimizers import names as catalogue
from keras_optim_lab.reports.html import Page
from keras_optim_lab.tuning.repetitions import Curves, Training, train
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.versions import in_a_line

_DEFAULTS = (0,)  # where they stand among the settings: a study tries them in any case


def _portfolio(value: Any) -> str:
    """Where the lists are to lie, seen from the experiment's file."""
    if not schema.text(value).endswith(".toml"):
        raise ValueError(
            f'must be a TOML file, such as "results/portfolios.toml". Received: {value!r}'
        )
    return value


@dataclass(frozen=True, kw_only=True)
class Group(Keys):
    """Optimizers that are trained alike."""

    optimizers: list[str] = key(schema.all_or_list_of(catalogue_name, catalogue))
    settings: int = key(schema.whole(8, 4096))
    seeds: int = key(schema.whole(1, 100), 1)
    tasks: list[str] = key(schema.list_of(task_name))

    def check(self, table: Table) -> None:
        if len(self.tasks) < 2:
            raise table.error("one task is left out at a time: name two or more.", "tasks")


@dataclass(frozen=True, kw_only=True)
class PortfolioKeys(Common):
    groups: list[Group] = key(schema.tables, each=Group)
    length: int = key(schema.whole(1, 1000), 24)
    seed: int = key(schema.whole(0, 2**31 - 1), 0)
    portfolio: str = key(_portfolio, "results/portfolios.toml")

    def check(self, table: Table) -> None:
        seen: set[str] = set()
        for group, own in zip(self.groups, table.tables("groups"), strict=True):
            for name in group.optimizers:
                if name in seen:
                    raise own.error(f"{name} is in an earlier group already.", "optimizers")
                seen.add(name)


class Portfolios(Experiment[PortfolioKeys]):
    """The same quasi-random settings on every task, and the list that covers all of them best."""

    reads = PortfolioKeys

    def prepare(self) -> None:
        self._groups = {n: group for group in self.keys.groups for n in group.optimizers}
        self._settings = {
            name: quasi_random.settings(name, group.settings, self.keys.seed)
            for name, group in self._groups.items()
        }

    @property
    def _folder(self) -> Path:
        return self.page.with_suffix("")

    @property
    def _list(self) -> Path:
        """Another backend than the file's leaves the file's list as it is."""
        if self.backend != self.file.common.backend:
            return self.page.with_suffix(".toml")
        return (self.file.folder / self.keys.portfolio).resolve()

    def documents(self) -> list[Output]:
        beside = self.file.folder.resolve().parent
        tables = [Output(self._path(name), self.file.folder) for name in self._groups]
        return [*tables, Output(self._list, beside, MARK, key="portfolio")]

    def parts(self) -> list[Part]:
        return [
            Part(f"{name} on {task}", *self._count(self._table(name), name, task))
            for name, task in self._pairs
        ]

    def train(self, on_progress: OnProgress) -> None:
        for name, task in self._pairs:
            with locked(self._path(name)):
                self._complete(name, task, on_progress)

    @property
    def _pairs(self) -> list[tuple[str, str]]:
        """Optimizers and tasks: first what is trained first, so that every one has a list soon."""
        longest = max(len(group.tasks) for group in self.keys.groups)
        return [
            (name, group.tasks[i])
            for i in range(longest)
            for name, group in self._groups.items()
            if i < len(group.tasks)
        ]

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.npz"

    def _table(self, name: str) -> CurveTable:
        def read() -> CurveTable:
            return CurveTable(self._path(name), self._settings[name])

        return self.file.table.check(None, read)

    def _curves(self, table: CurveTable, name: str, task: str, which: str = "val_loss") -> NDArray:
        epochs = declaration_of(task).epochs
        return table.curves(task, which, self._groups[name].seeds, epochs)

    def _count(self, table: CurveTable, name: str, task: str) -> tuple[int, int]:
        last = self._curves(table, name, task)[..., -1]
        return last.size, int(last.size - np.isnan(last).sum())

    def _complete(self, name: str, task: str, on_progress: OnProgress) -> None:
        """Trains what a table lacks of a task; what ends is kept, whatever ends the rest."""
        table, what = self._table(name), f"{name} on {task}"
        every, there = self._count(table, name, task)
        on_progress(what, there, every)
        missing = np.argwhere(np.isnan(self._curves(table, name, task)[..., -1])).tolist()

        def keep(trained: Training, curves: Curves) -> None:
            table.keep(task, int(trained.method), trained.seed - self.keys.seed, curves)

        if missing:
            begun = time.perf_counter()
            try:
                train(
                    tasks.get(task),
                    [self._training(name, row, run) for row, run in missing],
                    on_done=keep,
                    on_progress=lambda done, _: on_progress(what, there + done, every),
                )
            finally:
                table.spend(task, time.perf_counter() - begun)
                table.save()
        result = {"date": date.today().isoformat(), "seconds": round(table.seconds(task), 4)}
        self.records.add(self._trained(name, task), result, **self.stamp)  # unless it is there

    def _training(self, name: str, row: int, run: int) -> Training:
        # The defaults are those of the constructor, not their digits in a file.
        chosen = self._settings[name][row] if row else {}
        return Training(str(row), Configuration(name, chosen), self.keys.seed + run)

    def _trained(self, name: str, task: str) -> dict[str, Any]:
        """All that a part of a table depends on."""
        declared, group = declaration_of(task), self._groups[name]
        return {
            "experiment": self.name,
            "optimizer": name,
            "task": task,
            "epochs": declared.epochs,
            "batch_size": declared.batch_size,
            "settings": group.settings,
            "seeds": group.seeds,
            "seed": self.keys.seed,
            "backend": self.backend,
        }

    # What was found.

    @cached_property
    def _found(self) -> dict[str, Portfolio]:
        return {name: self._portfolio(name) for name in self._groups}

    def _portfolio(self, name: str) -> Portfolio:
        table, group, settings = self._table(name), self._groups[name], self._settings[name]
        # The mean over seeds: what diverges with one of them is no better than what always does.
        losses = [self._curves(table, name, task).mean(axis=1) for task in group.tasks]
        regret = np.array([cover.of_task(each) for each in losses])
        chosen = cover.greedy(np.concatenate(regret), self.keys.length, _DEFAULTS)
        return Portfolio(
            f"{group.settings} settings × {group.seeds} seed(s) on {', '.join(group.tasks)}",
            [settings[i] for i in chosen],
            cover.left_out(regret, _DEFAULTS),
            regret[:, -1, 0],
        )

    def verdict(self) -> str:
        every = [*self._found.values()]
        k = 1  # of cover.FIRST
        left = {w: np.mean([p.mean(w)[k] for p in every]) for w in ("list", "random")}
        default = np.mean([p.defaults.mean() for p in every])
        ahead = sum(bool(p.mean("list")[k] < p.mean("random")[k]) for p in every)
        return (
            f"On a task that it was not made from, the first {cover.FIRST[k]} settings of a list "
            f"leave {left['list']:.3f} of what there is to gain, as many random ones "
            f"{left['random']:.3f}, the defaults alone {default:.3f} "
            f"(means over tasks and optimizers); the list is ahead for {ahead} of {len(every)}."
        )

    def write(self, page: Page) -> None:
        page.heading("What the lists are worth")
        page.paragraph(
            "Regret after the defaults and so many settings more: (loss − best) / (median − best) "
            "of the last validation loss, cut at 1, in the mean over tasks. A list is made of all "
            "tasks but the one that it is judged on.",
            "note",
        )
        columns = [f"{which} {k}" for k in cover.FIRST for which in ("list", "random")]
        rows = [
            [name, *_cells(p.defaults.mean(), p.mean("list"), p.mean("random"))]
            for name, p in self._found.items()
        ]
        page.table(["optimizer", "defaults", *columns], rows)
        for name, p in self._found.items():
            page.heading(name)
            page.paragraph(p.trained, "note")
            by_task = zip(p.defaults, p.worth["list"], p.worth["random"], strict=True)
            names = self._groups[name].tasks
            rows = [[task, *_cells(*each)] for task, each in zip(names, by_task, strict=True)]
            page.table(["task", "defaults", *columns], rows)
            page.code("\n".join(map(inline, p.settings)))
        write_whole(self._list, written(self.file.path, self._made, self._found))

    @property
    def _made(self) -> dict[str, Any]:
        records = [self.records.find(self._trained(*pair)) or {} for pair in self._pairs]
        return {
            "command": self.command,
            "date": max(record["date"] for record in records),
            "versions": in_a_line(self.stamp["versions"]),
            "seed": self.keys.seed,
            "trained": [asdict(group) for group in self.keys.groups],
        }

    def facts(self) -> list[tuple[str, str]]:
        keys = self.keys
        drawn = f"the defaults and a Sobol sequence over the search space, seed {keys.seed}"
        return [
            ("settings", drawn),
            ("judged by", "the last validation loss, in the mean over seeds; diverged is worst"),
            ("curves", f"results/{self._folder.name}/OPTIMIZER.npz"),
        ]


def _cells(defaults: float, ours: NDArray, random: NDArray) -> list[str]:
    pairs = [value for pair in zip(ours, random, strict=True) for value in pair]
    return [f"{value:.3f}" for value in (defaults, *pairs)]


KIND = Portfolios
