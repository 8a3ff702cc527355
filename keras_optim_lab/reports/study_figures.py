"""The figures of a study's report."""

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import optuna
import plotly.graph_objects as go
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState
from plotly.colors import sample_colorscale

from keras_optim_lab.arguments import is_number
from keras_optim_lab.tuning.evaluation import Evaluation
from keras_optim_lab.tuning.study import TuningStudy

DEFAULT_COLOR = "#8a8f98"
TUNED_COLOR = "#d1495b"
_SHADES = ["#dfe3ea", "#2b3a55"]
_TEXT = "#1d2433"
_GRID = "#e7e9ee"
# Of the trees of fANOVA. Deeper ones give the same shares, in a time that grows with the square of
# the number of trials: of 1000, most of what a report took.
_DEPTH = 7
# Trials that are drawn: of more an eye sees no more, and the page grows by a megabyte a thousand.
MOST = 1000


def curves(tuning: TuningStudy, evaluation: Evaluation) -> go.Figure:
    """The tuned metric after every epoch: every run thin, their mean thick."""
    figure = go.Figure()
    for label, runs, color in (
        ("default", evaluation.default, DEFAULT_COLOR),
        ("tuned", evaluation.tuned, TUNED_COLOR),
    ):
        epochs = list(range(1, 1 + max(map(len, runs.curves))))
        for curve in runs.curves:
            figure.add_scatter(
                x=epochs[: len(curve)],
                y=curve,
                mode="lines",
                line={"color": color, "width": 1},
                opacity=0.35,
                showlegend=False,
                hoverinfo="skip",
            )
        # Up to the epoch where the first run ends.
        means = [float(np.mean(values)) for values in zip(*runs.curves, strict=False)]
        figure.add_scatter(
            x=epochs[: len(means)],
            y=means,
            mode="lines",
            line={"color": color, "width": 3},
            name=label,
        )
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(title=f"{evaluation.split} {tuning.metric}")
    both = evaluation.default.curves + evaluation.tuned.curves
    log_if_wide(figure, [value for curve in both for value in curve])
    return styled(figure)


def history(tuning: TuningStudy) -> go.Figure:
    """Every trial's objective, and the best so far."""
    figure = go.Figure()
    complete, records = _complete(tuning.study), _records(tuning)
    drawn = shown(tuning, complete)
    figure.add_scatter(
        x=[trial.number for trial in drawn],
        y=[trial.value for trial in drawn],
        mode="markers",
        marker={"color": DEFAULT_COLOR},
        name=tuning.objective.name,
    )
    figure.add_scatter(
        x=[*(trial.number for trial in records), complete[-1].number],
        y=[*(trial.value for trial in records), records[-1].value],
        mode="lines",
        line={"color": TUNED_COLOR, "width": 3, "shape": "hv"},
        name="best so far",
    )
    figure.update_xaxes(title="trial")
    figure.update_yaxes(title=tuning.objective.name)
    log_if_wide(figure, [trial.value for trial in complete])
    return styled(figure)


def shown(tuning: TuningStudy, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Those that are drawn, by number: all, or of many the best, the records, and others evenly."""
    if len(trials) <= MOST:
        return list(trials)
    ranked = sorted(trials, key=lambda trial: tuning.objective.rank([cast(float, trial.value)]))
    chosen = [tuning.best_trial, *_records(tuning), *ranked[: MOST // 4]]
    found = {trial.number: trial for trial in trials}
    kept = {trial.number for trial in chosen if trial.number in found}
    others = [trial for trial in trials if trial.number not in kept]
    kept |= {trial.number for trial in _evenly(others, MOST - len(kept))}
    return [trial for trial in trials if trial.number in kept]


def _evenly(trials: Sequence[FrozenTrial], count: int) -> list[FrozenTrial]:
    count = min(count, len(trials))
    return [trials[i] for i in np.linspace(0, len(trials) - 1, count, dtype=int)]


def _records(tuning: TuningStudy) -> list[FrozenTrial]:
    """The trials that were the best so far when they ended."""
    records: list[FrozenTrial] = []
    best = math.inf
    for trial in _complete(tuning.study):
        if (rank := tuning.objective.rank([cast(float, trial.value)])) < best:
            records.append(trial)
            best = rank
    return records


def by_optimizer(tuning: TuningStudy) -> go.Figure:
    """The objective of every complete trial, by the optimizer it chose."""
    figure = go.Figure()
    complete = _complete(tuning.study)
    for name in tuning.space.optimizers:
        values = [t.value for t in complete if t.params.get("optimizer") == name]
        color = TUNED_COLOR if name == tuning.found_configuration.name else DEFAULT_COLOR
        points = "all" if len(complete) <= MOST else "outliers"
        figure.add_box(y=values, name=name, boxpoints=points, marker={"color": color})
    figure.update_yaxes(title=tuning.objective.name)
    figure.update_layout(showlegend=False)
    log_if_wide(figure, [trial.value for trial in complete])
    return styled(figure)


def importances(tuning: TuningStudy) -> go.Figure:
    """How much of the objective's variance each hyperparameter explains (fANOVA)."""
    trials = _evenly(_of_best_optimizer(tuning), MOST)
    study = _study_of(tuning, trials)
    evaluator = optuna.importance.FanovaImportanceEvaluator(max_depth=_DEPTH, seed=0)
    figure = optuna.visualization.plot_param_importances(
        study, evaluator=evaluator, params=_searched(trials), target_name=tuning.objective.name
    )
    figure.update_traces(marker={"color": TUNED_COLOR})
    figure.update_xaxes(title="share of the variance", rangemode="tozero")
    figure.update_yaxes(title=None)
    figure.update_layout(showlegend=False)
    return styled(figure)


def slices(tuning: TuningStudy) -> list[go.Figure]:
    """The objective over each hyperparameter by itself, the best trial ringed."""
    trials = shown(tuning, _of_best_optimizer(tuning))
    best = tuning.best_trial
    figures = []
    for name in _searched(trials):
        figure = go.Figure()
        words = isinstance(best.params[name], str)
        hover = f"%{{text}}<br>%{{x{'' if words else ':.4g'}}}<br>%{{y:.4g}}<extra></extra>"
        figure.add_scatter(
            x=[trial.params[name] for trial in trials],
            y=[trial.value for trial in trials],
            mode="markers",
            text=[f"trial {trial.number}" for trial in trials],
            hovertemplate=hover,
            marker={
                "color": [trial.number for trial in trials],
                "colorscale": _SHADES,
                "size": 8,
            },
        )
        figure.add_scatter(
            x=[best.params[name]],
            y=[best.value],
            mode="markers",
            text=["the best trial"],
            hovertemplate=hover,
            marker={"color": TUNED_COLOR, "size": 14, "symbol": "circle-open", "line_width": 3},
        )
        figure.update_xaxes(title=name)
        figure.update_yaxes(title=tuning.objective.name)
        if getattr(best.distributions[name], "log", False):
            figure.update_xaxes(log_axis([trial.params[name] for trial in trials]))
        if words:  # in the order of the space, not in that of their first trials
            order = getattr(best.distributions[name], "choices", ())
            figure.update_xaxes(type="category", categoryorder="array", categoryarray=order)
        log_if_wide(figure, [trial.value for trial in trials])
        figure.update_layout(showlegend=False)
        figures.append(styled(figure))
    return figures


def parallel_coordinates(tuning: TuningStudy) -> go.Figure:
    """Every complete trial as a line through its hyperparameters, shaded by rank."""
    drawn = shown(tuning, _of_best_optimizer(tuning))
    searched = _searched(drawn)
    figure = optuna.visualization.plot_parallel_coordinate(
        _study_of(tuning, drawn), params=searched, target_name=tuning.objective.name
    )
    trials = _as_drawn(drawn)
    values = [cast(float, trial.value) for trial in trials]
    if _is_wide(values):
        _first_axis_by_logarithm(figure, values)
    maximize = tuning.objective.direction == "maximize"
    ascending = np.argsort(values)
    lines = [figure.data[i] for i in (ascending if maximize else ascending[::-1])]
    for line, shade in zip(lines, sample_colorscale(_SHADES, len(lines)), strict=True):
        line.update(line_color=shade, opacity=0.8)
    best = figure.data[[trial.params for trial in trials].index(tuning.best_trial.params)]
    best.update(line={"color": TUNED_COLOR, "width": 3}, opacity=1)
    figure.data = [line for line in lines if line is not best] + [best]
    # Room at both sides, and long names in two lines: none is cut.
    names = [tuning.objective.name, *sorted(searched)]
    names = [name.replace(".", ".<br>") for name in names]
    figure.update_xaxes(ticktext=names, range=(-0.4, len(names) - 0.6))
    # Clear, so that the shade of an edge behind it shows where the figure goes on.
    clear = "rgba(0, 0, 0, 0)"
    return styled(figure).update_layout(paper_bgcolor=clear, plot_bgcolor=clear)


def _as_drawn(trials: Sequence[FrozenTrial]) -> Sequence[FrozenTrial]:
    """In the order of Optuna's lines, which it sorts by choices among numbers."""
    names = sorted(_searched(trials))
    chosen = [n for n in names if isinstance(trials[0].distributions[n], CategoricalDistribution)]
    numbers = [n for n in chosen if all(is_number(trial.params[n]) for trial in trials)]
    return sorted(trials, key=lambda trial: [trial.params[name] for name in numbers])


def _first_axis_by_logarithm(figure: go.Figure, values: Sequence[float]) -> None:
    """Redraws the first of parallel axes, which Optuna draws linear; lines in order of `values`."""
    heights = np.log10(values)
    low, high = heights.min(), heights.max()
    for line, height in zip(figure.data, heights, strict=False):
        line.y = [(height - low) / (high - low), *line.y[1:]]
    first, *_ = (each for each in figure.layout.annotations if each.x == 0)
    others = [each for each in figure.layout.annotations if each.x != 0]
    powers = range(math.floor(low), math.ceil(high) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    shown = [tick for tick in ticks if low <= math.log10(tick) <= high]
    steps = {(math.log10(tick) - low) / (high - low): f"{tick:g}" for tick in shown}
    drawn = [go.layout.Annotation(first, y=y, text=text) for y, text in steps.items()]
    figure.layout.annotations = [*drawn, *others]


def enough_for_importances(tuning: TuningStudy) -> bool:
    """Whether the best optimizer's complete trials can say what matters."""
    trials = _of_best_optimizer(tuning)
    return len({trial.value for trial in trials}) > 1 and bool(_searched(trials))


def _of_best_optimizer(tuning: TuningStudy) -> Sequence[FrozenTrial]:
    """The complete trials that share the best one's hyperparameters."""
    complete = _complete(tuning.study)
    if len(tuning.space.optimizers) == 1:
        return complete
    best = tuning.best_trial.params["optimizer"]
    return [trial for trial in complete if trial.params["optimizer"] == best]


def _study_of(tuning: TuningStudy, trials: Sequence[FrozenTrial]) -> optuna.Study:
    """These trials as a study of their own, for Optuna's figures."""
    loud = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would tell of a new study
    study = optuna.create_study(direction=tuning.objective.direction)
    optuna.logging.set_verbosity(loud)
    study.add_trials(trials)
    return study


def _searched(trials: Sequence[FrozenTrial]) -> list[str]:
    """The hyperparameters of one optimizer that took more than one value."""
    return [name for name in trials[0].params if len({t.params[name] for t in trials}) > 1]


def _complete(study: optuna.Study) -> Sequence[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])


def log_if_wide(figure: go.Figure, values: Sequence[float | None]) -> None:
    """Makes the y axis logarithmic where losses span more than a decade."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if _is_wide(finite):
        figure.update_yaxes(log_axis(finite))


def _is_wide(values: Sequence[float]) -> bool:
    return bool(values) and min(values) > 0 and max(values) > 10 * min(values)


def log_axis(values: Sequence[float]) -> dict[str, Any]:
    """A logarithmic axis: ticks at powers of ten, or at 1, 2, 5 of each where those are too few."""
    low, high = math.log10(min(values)), math.log10(max(values))
    if high - low >= 2:
        return {
            "type": "log",
            "dtick": math.ceil((high - low) / 5),
            "exponentformat": "power",
        }
    ticks = [
        digit * 10.0**power
        for power in range(math.floor(low) - 1, math.ceil(high) + 1)
        for digit in (1, 2, 5)
    ]
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def styled(figure: go.Figure) -> go.Figure:
    """The figure in the manner of all figures here."""
    figure.update_layout(
        template="plotly_white",
        title=None,
        font={"family": "system-ui, sans-serif", "size": 13, "color": _TEXT},
        margin={"l": 60, "r": 20, "t": 30, "b": 55},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    figure.update_xaxes(gridcolor=_GRID, zeroline=False, automargin=True)
    figure.update_yaxes(gridcolor=_GRID, zeroline=False, automargin=True)
    return figure
