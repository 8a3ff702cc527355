"""Experiments that train the same on several backends and say how far their weights part."""

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from keras_optim_lab.backend.selection import BACKENDS
from keras_optim_lab.comparison.comparison import compare_backends
from keras_optim_lab.comparison.differences import PER_STEP
from keras_optim_lab.comparison.findings import Findings
from keras_optim_lab.comparison.plan import MOST_STEPS
from keras_optim_lab.comparison.processes import TITLES
from keras_optim_lab.experiments import experiment_figures as figures
from keras_optim_lab.experiments import schema
from keras_optim_lab.experiments.experiment import Experiment
from keras_optim_lab.experiments.file import Common
from keras_optim_lab.experiments.names import declaration_of, optimizer_name, task_name
from keras_optim_lab.experiments.parts import OnProgress, Part
from keras_optim_lab.experiments.schema import Table, key
from keras_optim_lab.optimizers import names as catalogue
from keras_optim_lab.reports.html import Page


@dataclass(frozen=True, kw_only=True)
class BackendsKeys(Common):
    task: str = key(task_name)
    optimizers: list[str] = key(schema.all_or_list_of(optimizer_name, catalogue))
    backends: list[str] = key(
        schema.list_of(schema.one_of(BACKENDS)), ["tensorflow", "jax", "torch"]
    )
    steps: list[int] = key(schema.list_of(schema.whole(1, most=MOST_STEPS)), [1, 10, 100])
    seeds: int = key(schema.whole(1, 1000), 1)
    seed: int = key(schema.whole(0, 2**31 - 1), 0)

    def check(self, table: Table) -> None:
        if len(self.backends) < 2:
            raise table.error("a comparison takes two backends or three.", "backends")


@dataclass(frozen=True)
class Compared:
    """One optimizer on all backends with one seed, as it stands in the records.

    Attributes:
        label: what results call it: "adam", or "keras Adam".
        differences: the largest relative one after each step asked for, by the step as text; None
            for what is not finite, as everywhere here.
        by_step: the same as [step, difference] after every step.
        first_beyond: the step after which it first was beyond the tolerance, if it was.
        step_ms: by backend, milliseconds of a steady step.
    """

    label: str
    ours: bool
    differences: dict[str, float | None]
    by_step: figures.Curve
    first_beyond: int | None
    verdict: str
    step_ms: dict[str, float | None]


class Backends(Experiment[BackendsKeys]):
    """Optimizers, and the Keras built-ins beside them; a record for each optimizer and seed."""

    reads = BackendsKeys

    def parts(self) -> list[Part]:
        return [
            Part(
                f"{name} on {len(self.keys.backends)} backends",
                self.keys.seeds,
                sum(self.records.find(s) is not None for s in self._settings(name)),
            )
            for name in self.keys.optimizers
        ]

    def train(self, on_progress: OnProgress) -> None:
        for name in self.keys.optimizers:
            for done, settings in enumerate(self._settings(name)):
                on_progress(name, done, self.keys.seeds)
                if self.records.find(settings) is None:
                    found = compare_backends(
                        settings["task"],
                        [name],
                        backends=settings["backends"],
                        steps=settings["steps"],
                        seed=settings["seed"],
                    )
                    self.records.add(settings, _record(found), **self.stamp)
            on_progress(name, self.keys.seeds, self.keys.seeds)

    @cached_property
    def _found(self) -> dict[str, list[tuple[int, Compared]]]:
        """By optimizer, its runs and the built-in's beside them, each with its seed."""
        return {
            name: [
                (settings["seed"], Compared(**run))
                for settings in self._settings(name)
                for run in (self.records.find(settings) or {"runs": []})["runs"]
            ]
            for name in self.keys.optimizers
        }

    @property
    def _every(self) -> list[tuple[int, Compared]]:
        return [run for runs in self._found.values() for run in runs]

    def verdict(self) -> str:
        every = [run for _, run in self._every]
        apart = {run.label for run in every if run.first_beyond is not None}
        said = []
        for ours, what in ((True, "optimizers"), (False, "Keras built-ins")):
            labels = {run.label for run in every if run.ours == ours}
            said.append(f"{len(labels - apart)} of {len(labels)} {what}")
        titles = ", ".join(TITLES[backend] for backend in self.keys.backends)
        return (
            f"On {titles}, {' and '.join(said)} stay within {PER_STEP:.0e} per step of each other "
            f"over {max(self.keys.steps)} steps of {self.keys.task}, with every seed."
        )

    def write(self, page: Page) -> None:
        page.heading("Largest relative difference between backends")
        steps, backends = sorted(self.keys.steps), self.keys.backends
        rows = [
            [
                run.label,
                str(seed),
                *(_shown(run.differences[str(step)]) for step in steps),
                "–" if run.first_beyond is None else f"step {run.first_beyond}",
            ]
            for seed, run in self._every
        ]
        page.table(["optimizer", "seed", *(f"step {step}" for step in steps), "first beyond"], rows)
        page.paragraph(
            f"The weights agree while the difference stays within {PER_STEP:.0e} per step.", "note"
        )
        page.figures(
            [
                figures.differences([(run.label, run.by_step) for _, run in runs])
                for runs in self._found.values()
            ]
        )
        page.heading("Milliseconds of a steady step")
        page.table(
            ["optimizer", "seed", *(TITLES[backend] for backend in backends)],
            [
                [run.label, str(seed), *(_ms(run.step_ms.get(backend)) for backend in backends)]
                for seed, run in self._every
            ],
        )
        apart = [
            (f"{run.label}, seed {seed}", run.verdict)
            for seed, run in self._every
            if run.first_beyond is not None
        ]
        if apart:
            page.heading("Why runs part")
            page.facts(apart)

    def facts(self) -> list[tuple[str, str]]:
        batch_size = declaration_of(self.keys.task).batch_size
        return [("task", self.keys.task), ("batch size", str(batch_size))]

    def _settings(self, optimizer: str) -> list[dict[str, Any]]:
        """What each comparison of an optimizer depends on, by seed."""
        keys = self.keys
        return [
            {
                "experiment": self.name,
                "task": keys.task,
                "batch_size": declaration_of(keys.task).batch_size,
                "optimizer": optimizer,
                "backends": keys.backends,
                "steps": sorted(keys.steps),
                "seed": keys.seed + i,
                "backend": self.backend,
            }
            for i in range(keys.seeds)
        ]


def _record(found: Findings) -> dict[str, Any]:
    if found.missing:
        raise ModuleNotFoundError(
            f"Not installed: {', '.join(found.missing)}. Install it, or leave it out of backends."
        )
    runs = [
        Compared(
            label=label,
            ours=run.method.ours,
            differences={str(s): _finite(run.after(s).relative) for s in found.steps},
            by_step=[(each.step, _finite(each.relative)) for each in run.by_step],
            first_beyond=run.first_beyond.step if run.first_beyond else None,
            verdict=run.verdict(found.steps),
            step_ms={b: _finite(1000 * times.step) for b, times in run.times.items()},
        )
        for label, run in found.runs.items()
    ]
    return {"runs": [asdict(run) for run in runs], "versions": found.versions}


def _finite(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _shown(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.1e}"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


KIND = Backends
