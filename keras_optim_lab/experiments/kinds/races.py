"""Experiments that let every optimizer run on test surfaces: the comparison table, measured."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from keras_optim_lab import curvature  # noqa: F401, puts its methods in the catalogue
from keras_optim_lab.experiments import document, schema
from keras_optim_lab.experiments.experiment import Experiment, OnProgress, Part
from keras_optim_lab.experiments.names import catalogue_name
from keras_optim_lab.experiments.outputs import Output
from keras_optim_lab.experiments.schema import Key
from keras_optim_lab.landscapes import race_figures as figures
from keras_optim_lab.landscapes import surfaces
from keras_optim_lab.landscapes.animation import narrow, still
from keras_optim_lab.landscapes.arrival import LEFT, NEAR
from keras_optim_lab.landscapes.many_starts import measure
from keras_optim_lab.landscapes.paths import MOST_STEPS
from keras_optim_lab.landscapes.race import Race
from keras_optim_lab.landscapes.rates import rate_range
from keras_optim_lab.landscapes.standings import run
from keras_optim_lab.landscapes.view import View
from keras_optim_lab.optimizers import Optimizer, entry
from keras_optim_lab.optimizers import names as catalogue
from keras_optim_lab.reports.html import Page

_Table = tuple[list[str], list[list[str]]]


def _surface_name(value: Any) -> str:
    return surfaces.get(schema.text(value)).name


def _every_optimizer() -> list[str]:
    """All that run on a surface, which gives one value and no residuals."""
    every = catalogue() + catalogue(needs_objective=True)
    return [name for name in every if not getattr(entry(name).cls, "least_squares", False)]


def _optimizer(name: str, rate: float | None = None) -> Optimizer:
    """With its defaults, but without weight decay, which would pull to minima at the origin."""
    cls = entry(name).cls
    settings = {} if cls.fields["weight_decay"].default is None else {"weight_decay": 0.0}
    return cls(**settings, **({} if rate is None else {"learning_rate": rate}))


class Races(Experiment):
    """Optimizers on surfaces of two dimensions; a record for each optimizer."""

    keys: ClassVar[dict[str, Key]] = {
        "surfaces": Key(
            lambda value: (
                surfaces.names() if value == "all" else schema.list_of(_surface_name)(value)
            )
        ),
        "optimizers": Key(
            lambda value: (
                _every_optimizer() if value == "all" else schema.list_of(catalogue_name)(value)
            )
        ),
        "steps": Key(schema.whole(10, most=MOST_STEPS), 2000),
        "curvature_steps": Key(schema.whole(10, most=MOST_STEPS), 200),
        "starts": Key(schema.whole(1, 1000), 50),
        "rounds": Key(schema.whole(1, 100), 2),
        "seed": Key(schema.whole(0, 2**31 - 1), 0),
        "pictures": Key(schema.list_of(_surface_name), []),
        "pictured": Key(schema.list_of(catalogue_name), []),
        "document": Key(document.name, ""),
    }

    def check(self) -> None:
        for name in self.read["optimizers"]:
            if getattr(entry(name).cls, "least_squares", False):
                raise self.file.table.error(
                    f"{name} minimizes squares of residuals, and a surface gives one value. "
                    "Leave it out.",
                    "optimizers",
                )
        for key, known in (("pictures", "surfaces"), ("pictured", "optimizers")):
            for name in self.read[key]:
                if name not in self.read[known]:
                    raise self.file.table.error(f"{name!r} is not among the {known}.", key)

    def parts(self) -> list[Part]:
        found = self.records.find
        return [
            Part(f"{name} on surfaces", 1, int(found(self._settings(name)) is not None))
            for name in self.read["optimizers"]
        ]

    def documents(self) -> list[Output]:
        return document.outputs(self, [f"{name}.png" for name in self.read["pictures"]])

    def train(self, on_progress: OnProgress) -> None:
        for name in self.read["optimizers"]:
            on_progress(name, 0, 1)
            settings = self._settings(name)
            if self.records.find(settings) is None:
                result = measure(
                    _optimizer(name),
                    [surfaces.get(each) for each in settings["surfaces"]],
                    **{key: settings[key] for key in ("steps", "starts", "rounds", "seed")},
                )
                self.records.add(settings, result, **self.stamp)
            on_progress(name, 1, 1)

    def verdict(self) -> str:
        minima = self._with_minima
        reached = {name: len(self._reached(name)) for name in self.read["optimizers"]}
        most = max(reached.values())
        best = [entry(name).cls.__name__ for name, count in reached.items() if count == most]
        return (
            f"Most surfaces are solved from their usual start by {', '.join(best)}: {most} of "
            f"{len(minima)}, within {self.read['steps']} steps ({self.read['curvature_steps']} of "
            "a method that uses curvature)."
        )

    def write(self, page: Page) -> None:
        for title, (header, rows), note in self._tables():
            page.heading(title)
            page.table(header, rows)
            page.paragraph(note, "note")
        races = [self._race(name) for name in self.read["pictures"]]
        for race in races:
            page.heading(f"On {race.surface.name}")
            picture = still(figures.contours(View(race)))
            page.figure(picture, 620, narrow=narrow(picture))
        if path := document.path_of(self):
            document.write(self, path, "Optimizers compared", self._document(path, races))

    def facts(self) -> list[tuple[str, str]]:
        read = self.read
        tried = read["rounds"] * (read["starts"] + 1)
        untuned = [
            entry(name).cls.__name__
            for name in read["optimizers"]
            if rate_range(entry(name).cls) is None
        ]
        return [
            ("learning rates", f"best of {tried} trials on each surface, from its usual start"),
            ("learning rates left at their defaults", ", ".join(untuned) or "none"),
            ("weight decay", "none: it would pull to the origin, where some minima are"),
            ("arrived", f"within {NEAR} of a minimum from that step to the last one"),
            ("random starts", f"{read['starts']}, uniform within the bounds, seed {read['seed']}"),
        ]

    def _settings(self, optimizer: str) -> dict[str, Any]:
        """What the measurement of an optimizer depends on."""
        curved = entry(optimizer).needs_objective
        names = self.read["surfaces"]
        return {
            "experiment": self.name,
            "optimizer": optimizer,
            # A method that asks for curvature takes the function for exact.
            "surfaces": [n for n in names if not (curved and surfaces.get(n).noise)],
            "steps": self.read["curvature_steps" if curved else "steps"],
            "starts": self.read["starts"],
            "rounds": self.read["rounds"] if rate_range(entry(optimizer).cls) else 1,
            "seed": self.read["seed"],
            "backend": self.backend,
        }

    # What was found.

    @property
    def _with_minima(self) -> list[str]:
        return [name for name in self.read["surfaces"] if surfaces.get(name).minima]

    def _found(self, optimizer: str) -> dict[str, Any]:
        found = self.records.find(self._settings(optimizer))
        assert found is not None, "written when all is trained"
        return found

    def _on(self, optimizer: str, surface: str) -> dict[str, Any]:
        return self._found(optimizer)["surfaces"].get(surface, {})

    def _reached(self, optimizer: str) -> list[str]:
        return [s for s in self._with_minima if self._on(optimizer, s).get("arrived") is not None]

    def _tables(self) -> list[tuple[str, _Table, str]]:
        minima, endless = (
            self._with_minima,
            [name for name in self.read["surfaces"] if not surfaces.get(name).minima],
        )
        return [
            (
                "In short",
                self._summary(endless),
                f"Solved: surfaces whose minimum is reached from the usual start. From random "
                f"starts: share of {self.read['starts']} starts on each surface that end in a "
                f"lowest minimum. {', '.join(endless) or 'Saddles'}: the step at which the value "
                f"falls below {LEFT:g}, which is away from the saddle.",
            ),
            (
                "Steps to the minimum",
                self._by_surface(minima, self._steps),
                "From the usual start, with the learning rate tuned to the surface; – is never.",
            ),
            (
                "Milliseconds to the minimum",
                self._by_surface(minima, self._milliseconds),
                "The same steps, each as long as a step of one run takes: of a rule of gradients "
                "inside one compiled program, of a curvature method as a call of one.",
            ),
            (
                "Random starts that arrive",
                self._by_surface(minima, self._success),
                "In percent, with the learning rate that was tuned from the usual start.",
            ),
        ]

    def _summary(self, endless: list[str]) -> _Table:
        header = ["optimizer", "year", "bytes per weight", "solved", "random starts", *endless]
        rows = []
        for name in self.read["optimizers"]:
            shares = [self._on(name, s)["success"] for s in self._with_minima if self._on(name, s)]
            on = [s for s in self._with_minima if self._on(name, s)]
            rows.append(
                [
                    entry(name).cls.__name__,
                    str(entry(name).year),
                    f"{self._found(name)['bytes']:g}",
                    f"{len(self._reached(name))} of {len(on)}",
                    f"{100 * np.mean(shares):.0f} %",
                    *(self._left(name, surface) for surface in endless),
                ]
            )
        return header, rows

    def _by_surface(self, columns: list[str], cell: Callable[[str, str], str]) -> _Table:
        rows = [
            [entry(name).cls.__name__, *(cell(name, surface) for surface in columns)]
            for name in self.read["optimizers"]
        ]
        return ["optimizer", *columns], rows

    def _left(self, optimizer: str, surface: str) -> str:
        step = self._on(optimizer, surface)["arrived"]
        return "stays" if step is None else f"step {step}"

    def _steps(self, optimizer: str, surface: str) -> str:
        step = self._on(optimizer, surface).get("arrived")
        return "–" if step is None else str(step)

    def _milliseconds(self, optimizer: str, surface: str) -> str:
        step = self._on(optimizer, surface).get("arrived")
        if step is None:
            return "–"
        return f"{1e3 * step * self._found(optimizer)['step_seconds']:.3g}"

    def _success(self, optimizer: str, surface: str) -> str:
        found = self._on(optimizer, surface)
        return f"{100 * found['success']:.0f}" if found else "–"

    # Pictures and the document.

    def _race(self, surface: str) -> Race:
        where = surfaces.get(surface)
        chosen = self.read["pictured"] or self.read["optimizers"]
        runners = [
            run(
                entry(name).cls.__name__,
                _optimizer(name, self._on(name, surface).get("rate")),
                where,
                self._longest(surface),
            )
            for name in chosen
        ]
        return Race(where, tuple(runners), tuned=True)

    def _longest(self, surface: str) -> int:
        """Steps that show how all that arrive do so."""
        chosen = self.read["pictured"] or self.read["optimizers"]
        arrived = [self._on(name, surface).get("arrived") or 0 for name in chosen]
        return min(self.read["steps"], max(50, int(1.3 * max(arrived))))

    def _document(self, path: Path, races: list[Race]) -> list[tuple[str, list[str]]]:
        """Its sections; pictures are drawn into a folder beside it."""
        sections = [
            (title, [document.table(*table), note]) for title, table, note in self._tables()
        ]
        for race in races:
            surface = race.surface
            picture = race.picture(path.parent / document.PICTURES / f"{surface.name}.png")
            about = f"`{surface.formula}`: {surface.note}."
            shown = f"![The paths on {surface.name}{document.shown(picture.name)}"
            sections.append((f"On {surface.name}", [about, shown]))
        return sections


KIND = Races
