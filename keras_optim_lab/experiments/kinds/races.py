"""Experiments that let every optimizer run on test surfaces: the comparison table, measured."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from keras_optim_lab import curvature  # noqa: F401, puts its methods in the catalogue
from keras_optim_lab.experiments import document, schema
from keras_optim_lab.experiments.document import DocumentKeys
from keras_optim_lab.experiments.experiment import Experiment
from keras_optim_lab.experiments.names import catalogue_name
from keras_optim_lab.experiments.outputs import Output
from keras_optim_lab.experiments.parts import OnProgress, Part
from keras_optim_lab.experiments.schema import Table, key
from keras_optim_lab.landscapes import race_figures as figures
from keras_optim_lab.landscapes import surfaces
from keras_optim_lab.landscapes.animation import narrow, still
from keras_optim_lab.landscapes.arrival import LEFT, NEAR
from keras_optim_lab.landscapes.many_starts import Measured, OnSurface, measure
from keras_optim_lab.landscapes.paths import MOST_STEPS
from keras_optim_lab.landscapes.race import Race
from keras_optim_lab.landscapes.rates import rate_range
from keras_optim_lab.landscapes.standings import run
from keras_optim_lab.landscapes.view import View
from keras_optim_lab.optimizers import Optimizer, entry
from keras_optim_lab.optimizers import names as catalogue
from keras_optim_lab.reports.html import Page
from keras_optim_lab.reports.tables import markdown

_Table = tuple[list[str], list[list[str]]]


def _surface_name(value: Any) -> str:
    return surfaces.get(schema.text(value)).name


def _every_optimizer() -> list[str]:
    """All that run on a surface, which gives one value and no residuals."""
    every = catalogue() + catalogue(needs_objective=True)
    return [name for name in every if not _takes_residuals(name)]


def _takes_residuals(optimizer: str) -> bool:
    return getattr(entry(optimizer).cls, "least_squares", False)


def _optimizer(name: str, rate: float | None = None) -> Optimizer:
    """With its defaults, but without weight decay, which would pull to minima at the origin."""
    cls = entry(name).cls
    settings = {} if cls.fields["weight_decay"].default is None else {"weight_decay": 0.0}
    return cls(**settings, **({} if rate is None else {"learning_rate": rate}))


@dataclass(frozen=True, kw_only=True)
class RacesKeys(DocumentKeys):
    surfaces: list[str] = key(schema.all_or_list_of(_surface_name, surfaces.names))
    optimizers: list[str] = key(schema.all_or_list_of(catalogue_name, _every_optimizer))
    steps: int = key(schema.whole(10, most=MOST_STEPS), 2000)
    curvature_steps: int = key(schema.whole(10, most=MOST_STEPS), 200)
    starts: int = key(schema.whole(1, 1000), 50)
    rounds: int = key(schema.whole(1, 100), 2)
    seed: int = key(schema.whole(0, 2**31 - 1), 0)
    pictures: list[str] = key(schema.list_of(_surface_name), [])
    pictured: list[str] = key(schema.list_of(catalogue_name), [])

    def check(self, table: Table) -> None:
        for name in self.optimizers:
            if _takes_residuals(name):
                raise table.error(
                    f"{name} minimizes squares of residuals, and a surface gives one value. "
                    "Leave it out.",
                    "optimizers",
                )
        for what, known, names in (
            ("pictures", "surfaces", set(self.pictures) - set(self.surfaces)),
            ("pictured", "optimizers", set(self.pictured) - set(self.optimizers)),
        ):
            for name in sorted(names):
                raise table.error(f"{name!r} is not among the {known}.", what)


class Races(Experiment[RacesKeys]):
    """Optimizers on surfaces of two dimensions; a record for each optimizer."""

    reads = RacesKeys

    def parts(self) -> list[Part]:
        found = self.records.find
        return [
            Part(f"{name} on surfaces", 1, int(found(self._settings(name)) is not None))
            for name in self.keys.optimizers
        ]

    def documents(self) -> list[Output]:
        return document.outputs(self, [f"{name}.png" for name in self.keys.pictures])

    def train(self, on_progress: OnProgress) -> None:
        for name in self.keys.optimizers:
            on_progress(name, 0, 1)
            settings = self._settings(name)
            if self.records.find(settings) is None:
                result = measure(
                    _optimizer(name),
                    [surfaces.get(each) for each in settings["surfaces"]],
                    **{key: settings[key] for key in ("steps", "starts", "rounds", "seed")},
                )
                self.records.add(settings, asdict(result), **self.stamp)
            on_progress(name, 1, 1)

    @cached_property
    def _found(self) -> dict[str, Measured]:
        """By optimizer, what was measured of it."""
        records = {name: self.records.find(self._settings(name)) for name in self.keys.optimizers}
        return {name: Measured.of(record) for name, record in records.items() if record}

    def verdict(self) -> str:
        reached = {name: self._reached(name) for name in self._found}
        most = max(reached.values())
        best = [entry(name).cls.__name__ for name, count in reached.items() if count == most]
        return (
            f"Most surfaces are solved from their usual start by {', '.join(best)}: {most} of "
            f"{len(self._minima)}, within {self.keys.steps} steps ({self.keys.curvature_steps} of "
            "a method that uses curvature)."
        )

    def write(self, page: Page) -> None:
        tables = self._tables()
        for title, table, note in tables:
            page.heading(title)
            page.table(*table)
            page.paragraph(note, "note")
        races = [self._race(name) for name in self.keys.pictures]
        for race in races:
            page.heading(f"On {race.surface.name}")
            picture = still(figures.contours(View(race)))
            page.figure(picture, 620, narrow=narrow(picture))
        if path := document.path_of(self):
            sections = [(title, [markdown(*table), note]) for title, table, note in tables]
            sections += [self._pictured(race, path.parent) for race in races]
            document.write(self, path, "Optimizers compared", sections)

    def facts(self) -> list[tuple[str, str]]:
        keys = self.keys
        tried = keys.rounds * (keys.starts + 1)
        classes = [entry(name).cls for name in keys.optimizers]
        untuned = [cls.__name__ for cls in classes if rate_range(cls) is None]
        return [
            ("learning rates", f"best of {tried} trials on each surface, from its usual start"),
            ("learning rates left at their defaults", ", ".join(untuned) or "none"),
            ("weight decay", "none: it would pull to the origin, where some minima are"),
            ("arrived", f"within {NEAR} of a minimum from that step to the last one"),
            ("random starts", f"{keys.starts}, uniform within the bounds, seed {keys.seed}"),
        ]

    def _settings(self, optimizer: str) -> dict[str, Any]:
        """What the measurement of an optimizer depends on."""
        keys, curved = self.keys, entry(optimizer).needs_objective
        return {
            "experiment": self.name,
            "optimizer": optimizer,
            # A method that asks for curvature takes the function for exact.
            "surfaces": [n for n in keys.surfaces if not (curved and surfaces.get(n).noise)],
            "steps": keys.curvature_steps if curved else keys.steps,
            "starts": keys.starts,
            "rounds": keys.rounds if rate_range(entry(optimizer).cls) else 1,
            "seed": keys.seed,
            "backend": self.backend,
        }

    # What was found.

    @property
    def _minima(self) -> list[str]:
        """The surfaces that have a least value."""
        return [name for name in self.keys.surfaces if surfaces.get(name).minima]

    def _on(self, optimizer: str, names: list[str]) -> list[OnSurface]:
        """What an optimizer did on those of the surfaces on which it ran."""
        found = self._found[optimizer].surfaces
        return [found[name] for name in names if name in found]

    def _reached(self, optimizer: str) -> int:
        return sum(on.arrived is not None for on in self._on(optimizer, self._minima))

    def _tables(self) -> list[tuple[str, _Table, str]]:
        """Title, table and note of each."""
        endless = [name for name in self.keys.surfaces if not surfaces.get(name).minima]
        return [
            (
                "In short",
                self._summary(endless),
                f"Solved: surfaces whose minimum is reached from the usual start. From random "
                f"starts: share of {self.keys.starts} starts on each surface that end in a "
                f"lowest minimum. {', '.join(endless) or 'Saddles'}: the step at which the value "
                f"falls below {LEFT:g}, which is away from the saddle.",
            ),
            (
                "Steps to the minimum",
                self._by_surface(lambda on, _: _arrived(on, "{:d}")),
                "From the usual start, with the learning rate tuned to the surface; – is never.",
            ),
            (
                "Milliseconds to the minimum",
                self._by_surface(lambda on, seconds: _arrived(on, "{:.3g}", 1e3 * seconds)),
                "The same steps, each as long as a step of one run takes: of a rule of gradients "
                "inside one compiled program, of a curvature method as a call of one.",
            ),
            (
                "Random starts that arrive",
                self._by_surface(lambda on, _: f"{100 * on.success:.0f}"),
                "In percent, with the learning rate that was tuned from the usual start.",
            ),
        ]

    def _summary(self, endless: list[str]) -> _Table:
        rows = []
        for name, found in self._found.items():
            on = self._on(name, self._minima)
            left = [each.arrived for each in self._on(name, endless)]
            rows.append(
                [
                    entry(name).cls.__name__,
                    str(entry(name).year),
                    f"{found.bytes:g}",
                    f"{self._reached(name)} of {len(on)}",
                    f"{100 * np.mean([each.success for each in on]):.0f} %",
                    *("stays" if step is None else f"step {step}" for step in left),
                ]
            )
        return ["optimizer", "year", "bytes per weight", "solved", "random starts", *endless], rows

    def _by_surface(self, cell: Callable[[OnSurface, float], str]) -> _Table:
        """A row for each optimizer; `cell` is given what it did there and the seconds of a step."""
        rows = []
        for name, found in self._found.items():
            every = [found.surfaces.get(surface) for surface in self._minima]
            cells = [cell(on, found.step_seconds) if on else "–" for on in every]
            rows.append([entry(name).cls.__name__, *cells])
        return ["optimizer", *self._minima], rows

    # Pictures and the document.

    def _race(self, surface: str) -> Race:
        where = surfaces.get(surface)
        chosen = self.keys.pictured or self.keys.optimizers
        on = {name: self._found[name].surfaces.get(surface) for name in chosen}
        # Steps that show how all that arrive do so.
        arrived = max(each.arrived or 0 if each else 0 for each in on.values())
        steps = min(self.keys.steps, max(50, int(1.3 * arrived)))
        ready = [_optimizer(name, each.rate if each else None) for name, each in on.items()]
        runners = [run(type(each).__name__, each, where, steps) for each in ready]
        return Race(where, tuple(runners), tuned=True)

    def _pictured(self, race: Race, folder: Path) -> tuple[str, list[str]]:
        """The section of a race, whose picture is drawn into a folder beside the document."""
        surface = race.surface
        picture = race.picture(folder / document.PICTURES / f"{surface.name}.png")
        shown = f"![The paths on {surface.name}{document.shown(picture.name)}"
        return f"On {surface.name}", [f"`{surface.formula}`: {surface.note}.", shown]


def _arrived(on: OnSurface, form: str, each: float = 1) -> str:
    """After how many steps, or what these take where one takes `each`; – is never."""
    return "–" if on.arrived is None else form.format(on.arrived * each)


KIND = Races
