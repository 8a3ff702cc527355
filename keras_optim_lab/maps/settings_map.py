"""The objective over two hyperparameters: `map`, and what it returns.

Within this module `map` is that function, and not Python's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import plotly.graph_objects as go

from keras_optim_lab.arguments import whole_number
from keras_optim_lab.files import file_name
from keras_optim_lab.maps.findings import Findings, Point, shown
from keras_optim_lab.maps.map_figure import draw, figure
from keras_optim_lab.maps.plane import Plane, plane
from keras_optim_lab.maps.trained import Trained
from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.reports.html import Page
from keras_optim_lab.reports.tables import markdown
from keras_optim_lab.reports.writing import command, listed, number, plus_minus
from keras_optim_lab.shown import Row, Shown, html
from keras_optim_lab.tasks import Task
from keras_optim_lab.tasks.catalogue import is_built_in, task_of
from keras_optim_lab.tuning.checks import check_batch_sizes, check_model
from keras_optim_lab.tuning.criterion import Criterion
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from keras_optim_lab.tuning.folds import Folds, folds_for
from keras_optim_lab.tuning.paired import diverged
from keras_optim_lab.tuning.racing import Course
from keras_optim_lab.tuning.repetitions import OnProgress, silent
from keras_optim_lab.tuning.spaces.recipe import Recipe
from keras_optim_lab.tuning.spaces.template import expression
from keras_optim_lab.tuning.study_result import StudyResult
from keras_optim_lab.versions import in_a_line, versions_of_study

SETTINGS = 256
SEEDS = 2
_MOST = 1 << 16


@dataclass(frozen=True, eq=False, repr=False)
class SettingsMap(Findings, Shown):
    """A map, its figure and its page; `sentence` says what it shows.

    Attributes:
        command: what repeats it.
    """

    command: str

    def __repr__(self) -> str:
        rows, columns = self.values.shape
        return f"SettingsMap({columns} × {rows}: {self.sentence})"

    @property
    def headline(self) -> str:
        return self.sentence

    def records(self) -> list[Row]:
        axes, name = (self.plane.x, self.plane.y), self.objective.name
        return [
            {
                **{axis.name: axis.value(cell) for axis in axes},
                name: float(self.values[row, column]),
                "as_good": bool(self.good[row, column]),
            }
            for row, column in np.ndindex(self.values.shape)
            for cell in [self.plane.cell(row, column)]
        ]

    def _repr_html_(self) -> str:
        return html(self.headline, [dict(zip(self.header, row, strict=True)) for row in self.rows])

    def _draw(self, axes: Any) -> None:
        draw(self, axes)

    @property
    def figure(self) -> go.Figure:
        """The objective in colour; framed is what is as good as the best, within the spread."""
        return figure(self)

    @property
    def header(self) -> list[str]:
        """Of the table."""
        x, y = self.plane.x.name, self.plane.y.name
        return ["settings", x, y, f"{self.objective.name} ± deviation", "as good"]

    @property
    def rows(self) -> list[list[str]]:
        """Of the table: the best cell, the defaults, and what the study chose or found."""
        axes = self.plane.x, self.plane.y
        return [
            [
                point.name,
                *(number(axis.value(point.configuration)) for axis in axes),
                _mean(point),
                "yes" if self.is_good(point) else "no",
            ]
            for point in self.points
        ]

    @property
    def table(self) -> str:
        """Markdown: what is marked, over fresh seeds."""
        return markdown(self.header, self.rows)

    def report(self, path: str | Path | None = None) -> Path:
        """Writes one self-contained HTML page and returns its path.

        Args:
            path: of the page; by default `reports/map-TASK-X-Y.html`.
        """
        plane, task = self.plane, self.task.name
        name = file_name(f"map-{task}-{plane.x.name}-{plane.y.name}")
        template = plane.space.templates[plane.optimizer]
        page = Page(f"{plane.x.name} and {plane.y.name} of {template.title} on {task}")
        page.paragraph(self.sentence, "result")
        page.figure(self.figure, height=640, narrow=_NARROW)
        page.paragraph(self._explained, "note")
        page.table(self.header, self.rows)
        page.heading("How this was made")
        page.facts(self._facts)
        page.code(self.command)
        return page.write(Path(path or Path("reports") / f"{name}.html"))

    @property
    def _explained(self) -> str:
        runs, fresh = len(self.runs), len(self.marked[0].values)
        trained = "once" if runs == 1 else f"with the same {runs} seeds"
        over = f" over {self.folds} folds of training and validation samples" * bool(self.folds)
        return (
            f"Each cell was trained {trained}{over}; its colour is the mean at the end, and one "
            "colour for the worst tenth. The "
            f"{len(self.again)} best cells and what else is in the table were trained with "
            f"{fresh} fresh seeds. Of these cells the one with the best mean is the best, and the "
            f"median of their deviations {'within folds ' * bool(self.folds)}"
            f"is the spread of the seeds, {self.spread:.2g}: "
            "what is no worse than the best cell by more than that is as good, and is framed."
        )

    @property
    def _facts(self) -> list[tuple[str, str]]:
        plane = self.plane
        rows, columns = self.values.shape
        whose = f"those of the choice of {plane.study}" if plane.study else "as by default"
        others = listed([f"{name} = {number(value)}" for name, value in plane.others.items()])
        ranges = [
            f"{axis.name} {' … '.join(shown(axis, end) for end in axis.ends)}"
            for axis in (plane.x, plane.y)
        ]
        return [
            ("grid", f"{columns} × {rows}: {', '.join(ranges)}"),
            ("all other settings", f"{whose}{', ' * bool(others)}{others}"),
            ("diverged", f"{np.isnan(self.values).sum()} of {rows * columns} cells"),
            ("versions", in_a_line(versions_of_study(keras.backend.backend()))),
        ]


# Of the layout on a telephone.
_NARROW = {
    "height": 560,
    "margin.r": 10,
    "margin.l": 40,
    "legend.y": -0.2,
    "legend.yanchor": "top",
    "margin.t": 45,
}


def map(
    task: Task | str,
    optimizer: str | Optimizer | None = None,
    x: str = "learning_rate",
    y: str = "beta_1",
    *,
    settings: int = SETTINGS,
    seeds: int | None = None,
    objective: Any = None,
    folds: Folds = "auto",
    seed: int = 0,
    space: Mapping[str, Any] | None = None,
    population: int | Literal["auto"] = "auto",
    result: StudyResult | None = None,
    on_progress: OnProgress = silent,
) -> SettingsMap:
    """Trains a grid of settings over two hyperparameters, to see which of them matter.

        found = kol.map("digits-mlp", "adam", x="learning_rate", y="beta_1")
        print(found.sentence)

    Each goes over its search range in even steps of its scale, that of a decay rate β being 1 − β.
    All other settings are as by default, or those of an earlier result's choice.

    Args:
        task: a `Task`, or the name of a built-in one.
        optimizer: a name from the catalogue or an optimizer; by default "adam", or that of
            `result`.
        x, y: two of its hyperparameters; also "warmup", if `space` gives it a range.
        settings: of the grid at most, from 4; as many in x as in y, or a few more.
        seeds: runs of each, the same seeds for all; 2 by default. With folds, cross-validations; 1.
        objective: a name in the logs, or a pair of it and "minimize" or "maximize"; by default that
            of the result, or "val_loss".
        folds: of a cross-validation, as in `tune`; "auto" is as in `result` where that is given.
        seed: of the first run; those of others count up from it.
        space: other ranges, such as {"beta_1": (0.5, 0.99)}, and numbers that fix other settings;
            see `SearchSpace`.
        population: models that train side by side in one program, which changes no run.
        result: a study, such as `tune` returns, whose choice the map goes through and shows.
        on_progress: called as `on_progress(done, total)` after every epoch of each run.

    Returns:
        The map, with `sentence`, `values`, `best`, `figure`, `table`, `command` and `report(path)`.

    Raises:
        TypeError, ValueError: an argument is wrong. Nothing has been trained by then.
    """
    engine = PopulationEngine(population)
    settings = whole_number("settings", settings, least=4, most=_MOST)
    seeds = None if seeds is None else whole_number("seeds", seeds)
    seed = whole_number("seed", seed, least=0)
    task = task_of(task)
    shown_plane = plane(optimizer, x, y, settings, space, result, Recipe.of(task))
    _check(task, shown_plane, result)
    check_batch_sizes(task, shown_plane.space.structures)
    if objective is None:
        objective = "val_loss" if result is None else result.objective
    wanted = Criterion.of(objective, task)
    check_model(task, shown_plane.space, wanted)
    folds = result.folds if result and folds == "auto" else folds_for(task, wanted, folds)
    seeds = seeds or (1 if folds else SEEDS)
    course = Course(task, wanted, seed, folds, engine)
    given = {"x": x, "y": y, "settings": settings, "seeds": seeds, "seed": seed, "folds": folds}
    given |= {"objective": wanted.given}
    repeated = _command(task, optimizer, shown_plane, given, space, result)
    trained = Trained(course, shown_plane, seeds, on_progress)
    return SettingsMap(
        task, wanted, shown_plane, trained.runs, folds, trained.again, trained.marked, repeated
    )


def _check(task: Task, shown_plane: Plane, result: StudyResult | None) -> None:
    """Refuses a task that the study did not train, or that lacks what the settings need."""
    if result is not None and result.task.name != task.name:
        raise ValueError(
            f"`task` must be that of the study, {result.task.name!r}: task=result.task. "
            f"Received: {task.name!r}"
        )
    if task.depends_on_trial and result is None:
        raise ValueError(
            f"The model of task {task.name!r} is built from a trial: pass a study as `result`, of "
            "whose choice the model is built."
        )
    if shown_plane.space.scheduled and task.training_steps is None:
        raise ValueError(
            f"space: {listed([*shown_plane.space.scheduled])} cannot be set, because the task "
            f"{task.name!r} does not tell how many steps an epoch has."
        )


def _mean(point: Point) -> str:
    finite = [value for value in point.values if np.isfinite(value)]
    if not finite:
        return "diverged"
    spread = float(np.std(finite, ddof=1)) if len(finite) > 1 else float("nan")
    lost = diverged(point.values)
    said = f" ({lost} of {len(point.values)} diverged)" if lost else ""
    return plus_minus(point.mean, spread) + said


def _command(
    task: Task,
    optimizer: str | Optimizer | None,
    plane: Plane,
    given: Mapping[str, Any],
    space: Mapping[str, Any] | None,
    result: StudyResult | None,
) -> str:
    """What repeats a map: on the command line where that has words for it, else in Python."""
    space, known = dict(space or {}), is_built_in(task)
    stored = {} if result is None else result.named_storage
    numbers = all(isinstance(each, int | float | tuple) for each in space.values())
    words = isinstance(optimizer, str | None) and isinstance(given["objective"], str)
    if known and numbers and words and stored is not None:
        whose = {"study": plane.study} if plane.study else {"optimizer": plane.optimizer}
        options = {"task": task.name, **whose, **stored, **given}
        ranges = [
            f"--space={name}=" + (f"{each[0]}:{each[1]}" if isinstance(each, tuple) else f"{each}")
            for name, each in space.items()
        ]
        return command("map", {**options, "backend": keras.backend.backend()}, *ranges)
    if isinstance(optimizer, Optimizer):
        optimizer = expression(optimizer)
    elif optimizer is not None:
        optimizer = repr(optimizer)
    said = [repr(task.name) if known else "task"]
    said += [f"optimizer={optimizer}"] if optimizer else []
    arguments = {**given, **({"space": space} if space else {})}
    said += [f"{name}={value!r}" for name, value in arguments.items()]
    return f"kol.map({', '.join(said)}{', result=result' * bool(plane.study)})"
