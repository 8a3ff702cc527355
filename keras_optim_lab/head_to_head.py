"""Settings of one's own against each other: `compare`, and what it returns."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import plotly.graph_objects as go

from keras_optim_lab.arguments import is_number, whole_number
from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.reports.html import Page
from keras_optim_lab.reports.study_figures import DEFAULT_COLOR, TUNED_COLOR, styled
from keras_optim_lab.reports.tables import markdown
from keras_optim_lab.reports.writing import command, listed, number, plus_minus
from keras_optim_lab.shown import Row, Shown, html
from keras_optim_lab.tasks import Task
from keras_optim_lab.tasks.catalogue import is_built_in, task_of
from keras_optim_lab.tuning.checks import check_batch_sizes
from keras_optim_lab.tuning.criterion import Criterion
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from keras_optim_lab.tuning.folds import Folds, folds_for
from keras_optim_lab.tuning.paired import CONFIDENCE, diverged, gain
from keras_optim_lab.tuning.racing import Course, Entrant, Values, separate
from keras_optim_lab.tuning.repetitions import OnProgress, silent
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.spaces.recipe import Recipe
from keras_optim_lab.tuning.spaces.space import SearchSpace
from keras_optim_lab.tuning.spaces.template import Template, expression
from keras_optim_lab.tuning.study_result import StudyResult

# A candidate: an optimizer, its name with settings, or a study whose result it is.
Candidate = str | Optimizer | Mapping[str, Any] | StudyResult

RUNS = 64
DELTA = 0.02


@dataclass(frozen=True)
class HeadToHead(Shown):
    """Candidates that were trained with common seeds.

    Attributes:
        course: what they were trained on.
        values: the objective of every run, by candidate; those that left early have fewer.
        configurations: of the candidates.
        delta: the difference that does not matter, as a share of the best mean.
        limit: runs of each candidate that were allowed.
        certain: the p-value below which a candidate is behind.
    """

    course: Course
    values: Values
    configurations: Mapping[str, Configuration]
    delta: float
    limit: int
    certain: float

    @property
    def best(self) -> str:
        """The candidate with the best mean among those that stayed to the end."""
        most = max(map(len, self.values.values()))
        stayed = [name for name, values in self.values.items() if len(values) == most]
        return min(stayed, key=lambda name: self.course.objective.order(self.values[name]))

    @property
    def verdict(self) -> str:
        """What is certain, in a sentence."""
        first, said = self.best, []
        found = {
            name: self.course.told_apart(self.values[first], values, self.delta, self.certain)
            for name, values in self.values.items()
            if name != first
        }
        for result, words in (
            ("behind", f"{first} is better than {{}}"),
            ("as good", f"{first} is better than {{}} by no more than {100 * self.delta:g} %"),
            (None, f"{first} and {{}} are not told apart"),
        ):
            names = [name for name, each in found.items() if each == result]
            if names:
                said.append(words.format(listed(names)))
        where = f"{self.course.objective.name} on {self.course.task.name}"
        return f"{'; '.join(said)} ({where}, {len(self.values[first])} runs)."

    @property
    def headline(self) -> str:
        return self.verdict

    def records(self) -> list[Row]:
        name = self.course.objective.name
        return [
            {"candidate": candidate, "run": number, name: value}
            for candidate in self._ranked
            for number, value in enumerate(self.values[candidate])
        ]

    def _repr_html_(self) -> str:
        rows = [dict(zip(self.header, row, strict=True)) for row in self.rows]
        return html(self.headline, rows)

    def _draw(self, axes: Any) -> None:
        names = self._ranked
        finite = [[value for value in self.values[n] if np.isfinite(value)] for n in names]
        axes.boxplot(finite, orientation="horizontal", showmeans=True, tick_labels=names)
        axes.invert_yaxis()
        axes.set(xlabel=self.course.objective.name)

    @property
    def table(self) -> str:
        """Markdown: mean and spread of each, and what the best one gains over it."""
        return markdown(self.header, self.rows)

    @property
    def figure(self) -> go.Figure:
        """Every run of each candidate, and its mean."""
        figure = go.Figure()
        for name in self._ranked:
            figure.add_box(
                x=self.values[name],
                name=name,
                boxpoints="all",
                boxmean=True,
                line_color=TUNED_COLOR if name == self.best else DEFAULT_COLOR,
                showlegend=False,
            )
        figure.update_xaxes(title=self.course.objective.name)
        figure.update_yaxes(autorange="reversed")
        return styled(figure)

    @property
    def command(self) -> str:
        """What repeats it: on the command line where that can say it, in Python elsewhere."""
        course, known = self.course, is_built_in(self.course.task)
        options = {
            "metric": course.objective.given,
            "folds": course.folds,
            "runs": self.limit,
            "delta": self.delta,
            "seed": course.seed,
        }
        texts = [_as_text(each) for each in self.configurations.values()]
        given = [text for text in texts if text is not None]
        if known and len({*given}) == len(texts) and isinstance(options["metric"], str):
            where = {"backend": keras.backend.backend()}
            return command("compare", {"task": course.task.name, **options, **where}, *given)
        every = ", ".join(f"{n!r}: {_as_python(c)}" for n, c in self.configurations.items())
        said = ", ".join(f"{key}={value!r}" for key, value in options.items())
        return f"kol.compare({repr(course.task.name) if known else 'task'}, {{{every}}}, {said})"

    def report(self, path: str | Path = Path("reports") / "compare.html") -> Path:
        """Writes one self-contained HTML page and returns its path."""
        page = Page(f"{listed(list(self.values))} on {self.course.task.name}")
        page.paragraph(self.verdict, "result")
        page.table(self.header, self.rows)
        page.figure(self.figure, height=120 + 60 * len(self.values))
        page.heading("How this was made")
        page.code(self.command)
        for name, each in self.configurations.items():
            page.facts([(name, repr(each.optimizer(each.on(self.course.task).training_steps)))])
        return page.write(Path(path))

    @property
    def _ranked(self) -> list[str]:
        rank = self.course.objective.order
        return sorted(self.values, key=lambda name: (name != self.best, rank(self.values[name])))

    @property
    def header(self) -> list[str]:
        """Of the table."""
        name = self.course.objective.name
        return [
            "candidate",
            f"{name}, mean ± deviation",
            "runs",
            "gained by the best",
            f"{100 * CONFIDENCE:.0f} % interval",
        ]

    @property
    def rows(self) -> list[list[str]]:
        """Of the table, the best candidate first."""
        return [[name, *self._row(name)] for name in self._ranked]

    def _row(self, name: str) -> list[str]:
        values = [value for value in self.values[name] if np.isfinite(value)]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
        mean = plus_minus(float(np.mean(values)), spread) if values else "diverged"
        lost = diverged(self.values[name])
        shown = f"{mean} ({lost} diverged)" if lost and values else mean
        if name == self.best:
            return [shown, str(len(self.values[name])), "", ""]
        common = self.values[self.best][: len(self.values[name])]
        lead = gain(self.values[name], common, self.course.objective.direction, self.course.folds)
        interval = f"{number(lead.low)} … {number(lead.high)}"
        return [shown, str(len(self.values[name])), number(lead.mean), interval]


def compare(
    task: Task | str,
    candidates: Mapping[str, Candidate],
    *,
    metric: Any = "val_loss",
    runs: int = RUNS,
    delta: float = DELTA,
    folds: Folds = "auto",
    seed: int = 0,
    population: int | Literal["auto"] = "auto",
    on_progress: OnProgress = silent,
) -> HeadToHead:
    """Trains candidates with common seeds until a paired test has told them apart.

        found = kol.compare("digits-mlp", {"mine": {"optimizer": "adam", "learning_rate": 3e-3},
                                           "default": "adam"})
        print(found.verdict)

    After every round those leave that are behind for certain (one-sided paired t-tests, p < 0.01
    for all candidates and rounds together), or that the best beats by less than `delta`.

    Args:
        task: a `Task`, or the name of a built-in one.
        candidates: by what they are called: an optimizer, its name, a dict of its name as
            "optimizer" and of its settings, or an earlier result, of which its best settings run.
        metric: what is compared, from the logs of `fit`, as `objective` in `tune`.
        runs: of each candidate at most.
        delta: a difference that does not matter, as a share of the best mean.
        folds: of a cross-validation, as in `tune`.
        seed: of the first run; those of later ones count up from it.
        population: models that train side by side in one program.
        on_progress: called as `on_progress(done, total)` in every round.

    Returns:
        All runs, with `verdict`, `best`, `table`, `figure`, `command` and `report(path)`.

    Raises:
        TypeError, ValueError: an argument is wrong. Nothing has been trained by then.
    """
    engine = PopulationEngine(population)
    task = task_of(task)
    configurations = _configurations(candidates, Recipe.of(task))
    check_batch_sizes(task, configurations.values())
    runs, seed = whole_number("runs", runs, least=2), whole_number("seed", seed, least=0)
    if not is_number(delta) or not delta >= 0:
        raise ValueError(f"`delta` must be a number ≥ 0. Received: delta={delta!r}")
    share = float(delta)
    if task.depends_on_trial:
        raise ValueError(
            f"The model of task {task.name!r} is built from the trial, and candidates are compared "
            "on one model: pass a function of no arguments that builds the one you have chosen."
        )
    objective = Criterion.of(metric, task)
    course = Course(task, objective, seed, folds_for(task, objective, folds), engine)
    entrants = [Entrant(name, each) for name, each in configurations.items()]
    values, certain = separate(course, entrants, share, runs, on_progress)
    return HeadToHead(course, values, configurations, share, runs, certain)


def _configurations(candidates: Any, own: Recipe) -> dict[str, Configuration]:
    """Those of the candidates by name, no two of which would train the same."""
    named = isinstance(candidates, Mapping) and all(isinstance(name, str) for name in candidates)
    if not named or len(candidates) < 2:
        raise ValueError(
            "`candidates` must be a dict of at least two, by names. "
            f"Received: candidates={candidates!r}"
        )
    configurations = {name: _configuration(name, each, own) for name, each in candidates.items()}
    seen: list[tuple[str, Any]] = []
    for name, each in configurations.items():
        made = Template(each.name, each.template.make(each.hyperparameters)).config
        found = made, each.recipe.completed(own)
        same = next((other for other, former in seen if former == found), None)
        if same is not None:
            raise ValueError(
                f"candidates: {same!r} and {name!r} are the same settings, "
                "and would end alike: leave one of them out. (A study whose verdict is to keep the "
                "defaults stands for these.)"
            )
        seen.append((name, found))
    return configurations


def _as_text(configuration: Configuration) -> str | None:
    """A candidate of the command line; None where it is more than a name and settings."""
    name, settings = configuration.name, configuration.settings
    if " " in name or None in settings.values() or not _is_named(configuration.template):
        return None
    return " ".join([name, *(f"{key}={value}" for key, value in settings.items())])


def _is_named(template: Template) -> bool:
    """Whether the name says all of it: what was given, as by its name."""
    if template.given is None:
        return True
    try:
        return Template.of(template.name).config == template.config
    except ValueError:
        return False


def _as_python(configuration: Configuration) -> str:
    if configuration.template.given is None:
        return repr({"optimizer": configuration.name, **configuration.settings})
    chosen, settings = configuration.hyperparameters, configuration.settings
    made = expression(configuration.template.make(chosen))
    scheduled = [f"{name!r}: {settings[name]!r}" for name in settings if name not in chosen]
    return f"{{'optimizer': {made}, {', '.join(scheduled)}}}" if scheduled else made


def _configuration(name: str, candidate: Candidate, own: Recipe) -> Configuration:
    if isinstance(candidate, StudyResult):
        return candidate.best_configuration
    settings = dict(candidate) if isinstance(candidate, Mapping) else {"optimizer": candidate}
    if "optimizer" not in settings:
        raise ValueError(
            f"candidates: {name!r} does not say which optimizer its settings are of: add "
            f'"optimizer": "adam" or another. Received: {candidate!r}'
        )
    space = SearchSpace(settings.pop("optimizer"), settings, own)
    if len(space.optimizers) > 1:
        raise ValueError(f"candidates: {name!r} must name one optimizer. Received: {candidate!r}")
    (optimizer,) = space.optimizers
    searched = [key for key in settings if key in space.distributions]
    if searched:
        raise ValueError(f"candidates: {name!r} must be settings, not ranges: {searched}.")
    return Configuration(
        optimizer,
        space.fixed[optimizer],
        Recipe(**space.recipe),
        given=space.templates[optimizer],
    )
