"""A map as a Plotly figure."""

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go

from keras_optim_lab.maps.axes import Axis
from keras_optim_lab.maps.findings import Findings, Point, shown
from keras_optim_lab.reports.study_figures import TUNED_COLOR, log_axis, styled

_BEST_TO_WORST = ["#16244a", "#2f5d8c", "#6f9fc0", "#b9d0de", "#eef1ee"]
_INK = "#1d2433"
_DIVERGED = "#a9afba"
# Of the cells: beyond, few values that are far worse would make all others one colour.
_COLORED = 0.9
_FACTOR = 3  # between values whose colours go by their logarithm
_SIZE = 15


def figure(found: Findings) -> go.Figure:
    """The objective of every cell in colour, what is as good as the best framed, and marks."""
    drawn = go.Figure()
    x, y = found.plane.x, found.plane.y
    drawn.add_heatmap(
        x=x.params,
        y=y.params,
        customdata=_settings(found),
        hovertemplate=f"%{{customdata[0]}}<br>{found.objective.name} %{{customdata[1]}}"
        "<extra></extra>",
        xgap=1,
        ygap=1,
        **_colors(found),
    )
    rows, columns = np.nonzero(~np.isfinite(found.values))
    if len(rows):
        _mark(
            drawn,
            "diverged",
            x.params[columns],
            y.params[rows],
            {"symbol": "x-thin", "size": 6, "line": {"color": _DIVERGED, "width": 1.5}},
        )
    edge_x, edge_y = _outline(found)
    drawn.add_scatter(
        x=edge_x,
        y=edge_y,
        mode="lines",
        line={"color": TUNED_COLOR, "width": 3},
        name="as good as the best",
        hoverinfo="skip",
    )
    for point in found.points:
        _mark_point(drawn, found, point, _symbol(found, point))
    styled(drawn)
    drawn.update_xaxes(**_axis(x), showgrid=False, ticks="outside")
    drawn.update_yaxes(**_axis(y), showgrid=False, ticks="outside")
    return drawn.update_layout(margin_t=60, legend_traceorder="normal")


def draw(found: Findings, axes: Any) -> None:
    """The same on axes of Matplotlib, for papers."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize

    x, y = found.plane.x, found.plane.y
    finite = found.values[np.isfinite(found.values)]
    low, high = finite.min(), np.quantile(finite, _COLORED)
    norm = LogNorm if low > 0 and high > _FACTOR * low else Normalize
    colors = LinearSegmentedColormap.from_list("best to worst", _BEST_TO_WORST)
    mesh = axes.pcolormesh(x.edges, y.edges, found.values, cmap=colors, norm=norm(low, high))
    axes.figure.colorbar(mesh, ax=axes, label=found.objective.name, extend="max")
    edge_x, edge_y = _outline(found)
    outline = np.array([edge_x, edge_y], float)  # None, where a line ends, becomes NaN
    axes.plot(*outline, color=TUNED_COLOR, lw=1.5, label="as good as the best")
    for point in found.points:
        at = [axis.place(point.configuration) for axis in (x, y)]
        if None not in at:
            marker = {"square": "s", "circle": "o", "star": "*"}[_symbol(found, point)]
            axes.plot(*at, marker, mfc="white", mec=_INK, ms=5, label=point.name)
    axes.set(xlabel=x.key, ylabel=y.key)
    axes.set(**{f"{n}scale": "log" if axis.log else "linear" for n, axis in (("x", x), ("y", y))})
    axes.figure.legend(loc="outside upper center", ncols=2)


def _symbol(found: Findings, point: Point) -> str:
    if point is found.best:
        return "square"
    return "circle" if point is found.marked[0] else "star"


def _mark_point(drawn: go.Figure, found: Findings, point: Point, symbol: str) -> None:
    x, y = (axis.place(point.configuration) for axis in (found.plane.x, found.plane.y))
    if x is None or y is None:
        return
    _mark(
        drawn,
        point.name,
        np.array([x]),
        np.array([y]),
        {
            "symbol": symbol,
            "size": _SIZE + 4 * (symbol == "star"),
            "color": "white",
            "line": {"color": _INK, "width": 2.5},
        },
    )


def _mark(
    drawn: go.Figure, name: str, x: np.ndarray, y: np.ndarray, marker: dict[str, Any]
) -> None:
    drawn.add_scatter(x=x, y=y, mode="markers", marker=marker, name=name, hoverinfo="name")


def _settings(found: Findings) -> np.ndarray:
    """Of each cell its settings and its value, in words."""
    plane, values = found.plane, found.values
    x, y = plane.x, plane.y
    cells = [
        [
            (
                f"{x.name} {shown(x, one)}, {y.name} {shown(y, other)}",
                f"{value:.4g}" if math.isfinite(value) else "diverged",
            )
            for one, value in zip(x.params, row, strict=True)
        ]
        for other, row in zip(y.params, values, strict=True)
    ]
    return np.array(cells)


def _colors(found: Findings) -> dict[str, Any]:
    """The colours of a heatmap, by logarithm where values differ by a factor."""
    values, maximize = found.values, found.objective.direction == "maximize"
    finite = values[np.isfinite(values)]
    scale = _BEST_TO_WORST[::-1] if maximize else _BEST_TO_WORST
    bar = {"title": {"text": found.objective.name, "side": "right"}, "thickness": 14}
    if not len(finite):
        return {"z": values, "showscale": False}
    low, high = (
        (float(np.quantile(finite, 1 - _COLORED)), float(finite.max()))
        if maximize
        else (float(finite.min()), float(np.quantile(finite, _COLORED)))
    )
    if low > 0 and high > _FACTOR * low:
        ticks = [
            digit * 10.0**power
            for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            for digit in ((1, 2, 5) if high < 1e3 * low else (1,))
            if low <= digit * 10.0**power <= high
        ]
        bar |= {"tickvals": np.log10(ticks), "ticktext": [f"{tick:g}" for tick in ticks]}
        values, low, high = np.log10(values), math.log10(low), math.log10(high)
    return {"z": values, "zmin": low, "zmax": high, "colorscale": scale, "colorbar": bar}


def _outline(found: Findings) -> tuple[list[float | None], list[float | None]]:
    """The edges between cells of the good region and others, as lines with gaps."""
    good = np.pad(found.good, 1)
    x, y = found.plane.x.edges, found.plane.y.edges
    lines = [
        ((x[i], x[i]), (y[j], y[j + 1])) for j, i in np.argwhere(good[1:-1, 1:] != good[1:-1, :-1])
    ] + [
        ((x[i], x[i + 1]), (y[j], y[j])) for j, i in np.argwhere(good[1:, 1:-1] != good[:-1, 1:-1])
    ]
    across: list[float | None] = []
    up: list[float | None] = []
    for (x_0, x_1), (y_0, y_1) in lines:
        across += [float(x_0), float(x_1), None]
        up += [float(y_0), float(y_1), None]
    return across, up


def _axis(axis: Axis) -> dict[str, Any]:
    """Ticks that can be read: of a decay rate β, which is drawn by 1 − β, that of β."""
    ends = axis.edges[[0, -1]]
    if not axis.log:
        return {"title": axis.name}
    if not axis.complementary:
        return {"title": axis.name, **log_axis([*axis.params])}
    few = math.log10(ends[1] / ends[0]) >= 2
    ticks = [
        digit * 10.0**power
        for power in range(math.floor(math.log10(ends[0])), 1)
        for digit in ((1, 5) if few else (1, 2, 3, 5, 7))
        if ends[0] <= digit * 10.0**power <= min(1.0, ends[1])
    ]
    return {
        "title": axis.name,
        "type": "log",
        "range": [float(end) for end in np.log10(ends[::-1])],
        "tickvals": ticks,
        "ticktext": [f"{1.0 - tick:.10g}" for tick in ticks],
    }
