"""Experiments that train the same on several backends and say how far their weights part."""

import math
from typing import Any, ClassVar

from keras_optim_lab.backend.selection import BACKENDS
from keras_optim_lab.comparison.comparison import BackendComparison, compare_backends
from keras_optim_lab.comparison.differences import PER_STEP
from keras_optim_lab.comparison.plan import MOST_STEPS
from keras_optim_lab.comparison.processes import TITLES
from keras_optim_lab.experiments import experiment_figures as figures
from keras_optim_lab.experiments import schema
from keras_optim_lab.experiments.experiment import Experiment, OnProgress, Part
from keras_optim_lab.experiments.names import declaration_of, optimizer_name, task_name
from keras_optim_lab.experiments.schema import Key
from keras_optim_lab.optimizers import names as catalogue
from keras_optim_lab.reports.html import Page


class Backends(Experiment):
    """Optimizers, and the Keras built-ins beside them; a record for each optimizer and seed."""

    keys: ClassVar[dict[str, Key]] = {
        "task": Key(task_name),
        "optimizers": Key(
            lambda value: catalogue() if value == "all" else schema.list_of(optimizer_name)(value)
        ),
        "backends": Key(schema.list_of(schema.one_of(BACKENDS)), ["tensorflow", "jax", "torch"]),
        "steps": Key(schema.list_of(schema.whole(1, most=MOST_STEPS)), [1, 10, 100]),
        "seeds": Key(schema.whole(1, 1000), 1),
        "seed": Key(schema.whole(0, 2**31 - 1), 0),
    }

    def check(self) -> None:
        if len(self.read["backends"]) < 2:
            raise self.file.table.error("a comparison takes two backends or three.", "backends")

    def parts(self) -> list[Part]:
        return [
            Part(
                f"{name} on {len(self.read['backends'])} backends",
                self.read["seeds"],
                sum(self.records.find(s) is not None for s in self._settings(name)),
            )
            for name in self.read["optimizers"]
        ]

    def train(self, on_progress: OnProgress) -> None:
        for name in self.read["optimizers"]:
            for done, settings in enumerate(self._settings(name)):
                on_progress(name, done, self.read["seeds"])
                if self.records.find(settings) is None:
                    found = compare_backends(
                        settings["task"],
                        [name],
                        backends=settings["backends"],
                        steps=settings["steps"],
                        seed=settings["seed"],
                    )
                    self.records.add(settings, _result(found), **self.stamp)
            on_progress(name, self.read["seeds"], self.read["seeds"])

    def verdict(self) -> str:
        every = self._found()
        titles = ", ".join(TITLES[backend] for backend in self.read["backends"])
        said = [
            f"{_agreeing(every, ours)} of {len({r['label'] for r in every if r['ours'] == ours})} "
            f"{what}"
            for ours, what in ((True, "optimizers"), (False, "Keras built-ins"))
        ]
        return (
            f"On {titles}, {' and '.join(said)} stay within {PER_STEP:.0e} per step of each other "
            f"over {max(self.read['steps'])} steps of {self.read['task']}, with every seed."
        )

    def write(self, page: Page) -> None:
        page.heading("Largest relative difference between backends")
        steps = sorted(self.read["steps"])
        rows = []
        for run in self._found():
            differences = [_shown(run["differences"][str(step)]) for step in steps]
            first = run["first_beyond"]
            beyond = "–" if first is None else f"step {first}"
            rows.append([run["label"], str(run["seed"]), *differences, beyond])
        page.table(["optimizer", "seed", *(f"step {step}" for step in steps), "first beyond"], rows)
        page.paragraph(
            f"The weights agree while the difference stays within {PER_STEP:.0e} per step.", "note"
        )
        page.figures(
            [
                figures.differences([(r["label"], r["by_step"]) for r in self._of(name)])
                for name in self.read["optimizers"]
            ]
        )
        page.heading("Milliseconds of a steady step")
        backends = self.read["backends"]
        page.table(
            ["optimizer", "seed", *(TITLES[backend] for backend in backends)],
            [
                [run["label"], str(run["seed"]), *(_ms(run["step_ms"].get(b)) for b in backends)]
                for run in self._found()
            ],
        )
        apart = [run for run in self._found() if run["first_beyond"] is not None]
        if apart:
            page.heading("Why runs part")
            page.facts([(f"{r['label']}, seed {r['seed']}", r["verdict"]) for r in apart])

    def facts(self) -> list[tuple[str, str]]:
        return [("task", self.read["task"]), ("batch size", str(self._recipe.batch_size))]

    @property
    def _recipe(self):
        return declaration_of(self.read["task"])

    def _settings(self, optimizer: str) -> list[dict[str, Any]]:
        """What each comparison of an optimizer depends on, by seed."""
        return [
            {
                "experiment": self.name,
                "task": self.read["task"],
                "batch_size": self._recipe.batch_size,
                "optimizer": optimizer,
                "backends": self.read["backends"],
                "steps": sorted(self.read["steps"]),
                "seed": self.read["seed"] + i,
                "backend": self.backend,
            }
            for i in range(self.read["seeds"])
        ]

    def _found(self) -> list[dict[str, Any]]:
        """All runs, ours and the built-ins', each with its seed."""
        return [run for name in self.read["optimizers"] for run in self._of(name)]

    def _of(self, optimizer: str) -> list[dict[str, Any]]:
        return [
            {**run, "seed": settings["seed"]}
            for settings in self._settings(optimizer)
            for run in (self.records.find(settings) or {"runs": []})["runs"]
        ]


def _result(found: BackendComparison) -> dict[str, Any]:
    if found.missing:
        raise ModuleNotFoundError(
            f"Not installed: {', '.join(found.missing)}. Install it, or leave it out of backends."
        )
    return {
        "runs": [
            {
                "label": label,
                "ours": run.method.ours,
                "differences": {str(s): _finite(run.after(s).relative) for s in found.steps},
                "by_step": [[each.step, _finite(each.relative)] for each in run.by_step],
                "first_beyond": run.first_beyond and run.first_beyond.step,
                "verdict": run.verdict(found.steps),
                "step_ms": {b: _finite(1000 * times.step) for b, times in run.times.items()},
            }
            for label, run in found.runs.items()
        ],
        "versions": found.versions,
    }


def _agreeing(every: list[dict[str, Any]], ours: bool) -> int:
    labels = {run["label"] for run in every if run["ours"] == ours}
    apart = {run["label"] for run in every if run["first_beyond"] is not None}
    return len(labels - apart)


def _finite(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _shown(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.1e}"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


KIND = Backends
