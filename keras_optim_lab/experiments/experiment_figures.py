"""The figures of experiments."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from keras_optim_lab.comparison.comparison_figures import drawn, over_steps
from keras_optim_lab.reports.study_figures import (
    DEFAULT_COLOR,
    TUNED_COLOR,
    log_axis,
    log_if_wide,
    styled,
)
from keras_optim_lab.reports.writing import or_none
from keras_optim_lab.tuning.evaluation import Evaluation, Runs

PUBLISHED_COLOR = "#2b6cb0"
Curve = Sequence[tuple[int, float | None]]  # a value after every step


def curves(named: Mapping[str, Runs], metric: str, title: str = "") -> go.Figure:
    """Mean over the seeds after every epoch, in a band of one standard deviation."""
    figure = go.Figure()
    colors = [DEFAULT_COLOR, TUNED_COLOR] if len(named) > 1 else [TUNED_COLOR]
    for (label, runs), color in zip(named.items(), colors, strict=True):
        _add_curve(figure, label, runs, color)
    _name_axes(figure, metric, [value for runs in named.values() for value in _values(runs)])
    if title:
        figure.add_annotation(
            text=title, xref="paper", yref="paper", x=1, y=1, showarrow=False, xanchor="right"
        )
    return styled(figure)


def beside_published(
    label: str, runs: Runs, published: Mapping[int, tuple[float, float]], metric: str
) -> go.Figure:
    """The curve of a method with the published numbers as points."""
    figure = go.Figure()
    _add_curve(figure, label, runs, TUNED_COLOR)
    figure.add_scatter(
        x=list(published),
        y=[mean for mean, _ in published.values()],
        error_y={"array": [or_none(spread) or 0 for _, spread in published.values()]},
        mode="markers",
        name="published",
        marker={"color": PUBLISHED_COLOR, "size": 9, "symbol": "diamond"},
    )
    _name_axes(figure, metric, [*_values(runs), *(mean for mean, _ in published.values())])
    figure.update_xaxes(type="log", dtick=1)
    return styled(figure)


def default_and_tuned(pairs: Mapping[str, Evaluation], metric: str) -> go.Figure:
    """A line for each method: mean and standard deviation by default and tuned."""
    figure = go.Figure()
    names = list(pairs)[::-1]
    ends: list[float] = []
    for label, color, runs in (
        ("default", DEFAULT_COLOR, [pairs[name].default for name in names]),
        ("tuned", TUNED_COLOR, [pairs[name].tuned for name in names]),
    ):
        means = [or_none(each.mean(metric)) for each in runs]
        ends += [mean for mean in means if mean is not None]
        figure.add_scatter(
            x=means,
            y=names,
            error_x={"array": [or_none(each.spread(metric)) or 0 for each in runs]},
            mode="markers",
            name=label,
            marker={"color": color, "size": 9},
        )
    figure.update_xaxes(title=f"test {metric}")
    if ends and min(ends) > 0 and max(ends) > 10 * min(ends):
        figure.update_xaxes(log_axis(ends))
    return styled(figure)


def differences(runs: Sequence[tuple[str, Curve]]) -> go.Figure:
    """The largest relative difference between backends after every step; ours in red."""
    steps = [step for step, _ in runs[0][1]]
    figure = over_steps(steps)
    for label, by_step in runs:
        color = PUBLISHED_COLOR if label.startswith("keras ") else TUNED_COLOR
        figure.add_scatter(
            x=steps,
            y=[drawn(value) for _, value in by_step],
            mode="lines",
            name=label,
            line={"color": color, "width": 2},
        )
    return styled(figure)


def _add_curve(figure: go.Figure, label: str, runs: Runs, color: str) -> None:
    columns = [
        [value for value in after if math.isfinite(value)]
        for after in zip(*_padded(runs.curves), strict=True)
    ]
    epochs = [epoch for epoch, column in enumerate(columns, 1) if column]
    means = np.array([np.mean(column) for column in columns if column])
    spreads = np.array([np.std(c, ddof=1) if len(c) > 1 else 0.0 for c in columns if c])
    # A logarithmic axis has no place for 0: a band that reaches it ends at a tenth of the mean.
    lower = np.where((means > 0) & (spreads >= means), means / 10, means - spreads)
    if np.any(spreads):
        figure.add_scatter(
            x=[*epochs, *epochs[::-1]],
            y=_short([*(means + spreads), *lower[::-1]]),
            fill="toself",
            line={"width": 0},
            fillcolor=color,
            opacity=0.25,
            showlegend=False,
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=epochs, y=_short(means), mode="lines", name=label, line={"color": color, "width": 2.5}
    )


def _padded(lists: Sequence[list[float]]) -> list[list[float]]:
    longest = max(map(len, lists))
    return [[*each, *[math.nan] * (longest - len(each))] for each in lists]


def _name_axes(figure: go.Figure, metric: str, values: Sequence[float]) -> None:
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(title=f"test {metric}")
    log_if_wide(figure, values)


def _values(runs: Runs) -> list[float]:
    return [value for curve in runs.curves for value in curve]


def _short(values: Any) -> list[float]:
    """Few digits, since pages are kept under version control."""
    return [float(f"{value:.5g}") for value in values]
