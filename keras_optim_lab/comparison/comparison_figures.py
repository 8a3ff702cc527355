"""The figures of a comparison's page."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from keras_optim_lab.comparison.differences import tolerance
from keras_optim_lab.comparison.findings import Findings, Run
from keras_optim_lab.comparison.processes import TITLES
from keras_optim_lab.reports.study_figures import DEFAULT_COLOR, TUNED_COLOR, styled

# A wide light line below narrow dark ones, so that curves that lie on one another are all seen.
_LINES = {
    "tensorflow": {"color": "#f2b84b", "width": 7},
    "jax": {"color": "#2b6cb0", "width": 3.5},
    "torch": {"color": "#1d2433", "width": 1.3},
}
_LEAST = 1e-9  # where a logarithmic axis ends for differences of 0


def grow(comparison: Findings) -> list[go.Figure]:
    """For each optimizer, its difference after every step, and the built-in's beside it."""
    return [_grow(pair) for pair in _pairs(comparison) if pair[0].by_step]


def losses(comparison: Findings) -> list[go.Figure]:
    """For each of our optimizers, the loss of every batch on all backends."""
    return [_losses(ours) for ours, *_ in _pairs(comparison)]


def over_steps(steps: Sequence[int]) -> go.Figure:
    """The axes for relative differences after these steps, and the line of what is tolerated."""
    figure = go.Figure()
    figure.add_scatter(
        x=list(steps),
        y=[tolerance(step) for step in steps],
        mode="lines",
        name="1e-6 per step",
        line={"color": DEFAULT_COLOR, "width": 1, "dash": "dash"},
        hoverinfo="skip",
    )
    figure.update_xaxes(type="log", title="step", dtick=1)
    decades = {"type": "log", "dtick": 2, "exponentformat": "power", "range": [-8, 0]}
    figure.update_yaxes(decades, title="relative difference")
    return figure


def drawn(difference: float | None) -> float | None:
    """A difference where a logarithmic axis has a place for it."""
    if difference is None or not math.isfinite(difference):
        return None
    return max(difference, _LEAST)


def _pairs(comparison: Findings) -> list[list[Run]]:
    pairs: dict[str, list[Run]] = {}
    for run in comparison.runs.values():
        pairs.setdefault(run.method.optimizer, []).append(run)
    return list(pairs.values())


def _grow(pair: Sequence[Run]) -> go.Figure:
    steps = [difference.step for difference in pair[0].by_step]
    figure = over_steps(steps)
    for run in reversed(pair):
        color = TUNED_COLOR if run.method.ours else DEFAULT_COLOR
        figure.add_scatter(
            x=steps,
            y=[drawn(difference.relative) for difference in run.by_step],
            mode="lines+markers",
            name=run.method.label,
            line={"color": color, "width": 2},
            marker={"size": 4},
            text=[f"{d.tensor}{list(d.index)}" for d in run.by_step],
            hovertemplate="step %{x}: %{y:.1e}<br>%{text}<extra></extra>",
        )
    return _small(figure)


def _losses(run: Run) -> go.Figure:
    figure = go.Figure()
    for backend, values in run.losses.items():
        figure.add_scatter(
            x=list(range(1, len(values) + 1)),
            y=values,
            mode="lines",
            name=TITLES[backend],
            line=_LINES[backend],
        )
    figure.update_xaxes(title="step")
    figure.update_yaxes(title=f"loss, {run.method.label}", rangemode="tozero")
    return _small(figure)


def _small(figure: go.Figure) -> go.Figure:
    figure = styled(figure)
    figure.update_layout(font_size=11, legend_font_size=10, margin={"l": 50, "t": 45})
    return figure
