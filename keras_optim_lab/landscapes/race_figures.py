"""A race as Plotly figures that can be played, paused and turned."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from keras_optim_lab.landscapes.animation import animated
from keras_optim_lab.landscapes.standings import Runner
from keras_optim_lab.landscapes.view import EDGE, SHADES, STAR, View

_SCALE = [[i / (len(SHADES) - 1), shade] for i, shade in enumerate(SHADES)]
_HEAD = 15


def contours(view: View) -> go.Figure:
    """Paths on the contour lines, and the loss at every step beside them."""
    figure = _beside_losses()
    x, y = view.axes
    line = {"width": 0.8, "color": EDGE}
    figure.add_contour(**_ground(view), ncontours=24, line=line, row=1, col=1)
    if minima := view.race.surface.minima:
        figure.add_scatter(
            x=[point[0] for point in minima],
            y=[point[1] for point in minima],
            mode="markers",
            marker={"symbol": "star", "size": 26, "color": STAR, "line_color": "white"},
            marker_line_width=1.5,
            name="minimum",
            row=1,
            col=1,
        )
    figure.update_xaxes(title="x", range=[x[0], x[-1]], row=1, col=1)
    figure.update_yaxes(title="y", range=[y[0], y[-1]], row=1, col=1)
    _losses(figure, view)
    return animated(figure, view, _on_contours)


def graph(view: View) -> go.Figure:
    """In one dimension: balls on the function's graph, and what each method sees of it."""
    figure = _beside_losses()
    (x,) = view.axes
    figure.add_scatter(
        x=x,
        y=view.values,
        mode="lines",
        line={"color": "#5b6880", "width": 3},
        name=view.race.surface.formula,
        showlegend=False,
        row=1,
        col=1,
    )
    figure.update_xaxes(title="x", range=[x[0], x[-1]], row=1, col=1)
    figure.update_yaxes(title="f(x)", range=[*view.graph_span], row=1, col=1)
    _losses(figure, view)
    return animated(figure, view, _on_graph)


def relief(view: View) -> go.Figure:
    """The surface in three dimensions."""
    figure = go.Figure()
    x, y = view.axes
    figure.add_surface(
        **_ground(view),
        lighting={"ambient": 0.75, "diffuse": 0.4, "specular": 0.05},
        contours={"z": {"show": True, "color": EDGE, "width": 1}},
    )
    figure.update_layout(
        scene={
            "xaxis_title": "x",
            "yaxis_title": "y",
            "zaxis_title": "log f" if view.above_least else "f",
            "xaxis_range": [x[0], x[-1]],
            "yaxis_range": [y[0], y[-1]],
            "camera_eye": {"x": -0.96, "y": -1.33, "z": 1.55},
            "camera_center": {"x": 0, "y": 0, "z": -0.24},
            "aspectratio": {"x": 1.2, "y": 1.2, "z": 0.7},
            "xaxis_tickfont_size": 12,
            "yaxis_tickfont_size": 12,
            "zaxis_showticklabels": False,
        },
        legend_itemsizing="constant",
    )
    animated(figure, view, _on_relief, below=0.04)
    return figure.update_layout(margin={"l": 0, "r": 0, "t": 60, "b": 90})


# What stands still.


def _beside_losses() -> go.Figure:
    return make_subplots(1, 2, column_widths=[0.58, 0.42], horizontal_spacing=0.13)


def _ground(view: View) -> dict[str, Any]:
    """The surface itself, of two dimensions, however it is drawn."""
    x, y = view.axes
    return {
        "x": x,
        "y": y,
        "z": _small(view.heights),
        "customdata": _small(view.values),
        "hovertemplate": "x %{x:.3g}<br>y %{y:.3g}<br>f %{customdata:.4g}<extra></extra>",
        "colorscale": _SCALE,
        "showscale": False,
    }


def _losses(figure: go.Figure, view: View) -> None:
    """Every method's loss, on axes of its own."""
    last = view.frames[-1]
    every = [view.losses(runner)[: last + 1] for runner in view.race.runners]
    for runner, color, losses in zip(view.race.runners, view.colors, every, strict=True):
        figure.add_scatter(
            x=list(range(len(losses))),
            y=_small(losses),
            mode="lines",
            line={"color": color, "width": 3},
            **_with_ball(runner),
            row=1,
            col=2,
        )
    figure.update_xaxes(title="step", range=[0, last], row=1, col=2)
    span = view.loss_span(np.concatenate(every))
    axis: dict[str, Any] = {"title": "f", "range": [*span]}
    if view.above_least:
        low, high = np.log10(span)
        axis = {
            "title": "f − min f",
            "type": "log",
            "exponentformat": "power",
            "dtick": max(1, round((high - low - 0.6) / 6)),
            "range": [low, high],
        }
    figure.update_yaxes(**axis, row=1, col=2)


# What moves: for every runner its traces at a step.


def _on_contours(view: View, i: int, step: int) -> list[go.Scatter]:
    runner = view.race.runners[i]
    x, y = _small(view.trail(runner, step))
    line = {"color": view.colors[i], "width": 3}
    return [
        go.Scatter(x=x, y=y, mode="lines", line=line, **_with_ball(runner)),
        _ball(view, i, x[-1:], y[-1:]),
        _loss(view, i, step),
    ]


def _on_graph(view: View, i: int, step: int) -> list[go.Scatter]:
    runner, color = view.race.runners[i], view.colors[i]
    (x,) = _small(view.trail(runner, step))
    y = _small(runner.values[: len(x)])
    seen = view.touching(runner, step)
    return [
        go.Scatter(
            x=_small(seen.x),
            y=_small(seen.y),
            mode="lines",
            line={"color": color, "width": 2.5, "dash": "dash"},
            **{**_with_ball(runner), "name": f"{runner.name}: {seen.kind}"},
        ),
        go.Scatter(
            x=x,
            y=y,
            mode="markers",
            marker={"size": 6, "color": color, "opacity": 0.45},
            **_with_ball(runner),
        ),
        _ball(view, i, x[-1:], y[-1:], size=20),
        _loss(view, i, step),
    ]


def _on_relief(view: View, i: int, step: int) -> list[go.Scatter3d]:
    runner, color = view.race.runners[i], view.colors[i]
    points = view.trail(runner, step)
    inside = np.ones(points.shape[1], bool)
    for axis, along in zip(view.axes, points, strict=True):
        inside &= (axis[0] <= along) & (along <= axis[-1])
    # A little above the surface, which would hide it; a path that leaves the picture ends there.
    z = view.height(runner.values[: len(inside)]) + 0.02 * float(np.ptp(view.heights))
    x, y, z = (_small(np.where(inside, each, np.nan)) for each in (*points, z))
    line = {"color": color, "width": 7}
    head = {"size": 7, "color": color, "line": {"color": "white", "width": 1}}
    return [
        go.Scatter3d(x=x, y=y, z=z, mode="lines", line=line, name=runner.name, showlegend=False),
        go.Scatter3d(
            x=x[-1:], y=y[-1:], z=z[-1:], mode="markers", marker=head, name=view.label(runner)
        ),
    ]


def _ball(view: View, i: int, x: Any, y: Any, size: int = _HEAD, **options: Any) -> go.Scatter:
    """Where a method stands; it is what the legend shows of the method."""
    runner = view.race.runners[i]
    marker = {"size": size, "color": view.colors[i], "line": {"color": "white", "width": 2}}
    named = {"name": view.label(runner), "legendgroup": runner.name, **options}
    return go.Scatter(x=x, y=y, mode="markers", marker=marker, **named)


def _loss(view: View, i: int, step: int) -> go.Scatter:
    runner = view.race.runners[i]
    losses = view.losses(runner)
    at = min(step, len(losses) - 1)
    options = {**_with_ball(runner), "cliponaxis": False}  # the last step stands on the edge
    y = _small(losses[at : at + 1])
    return _ball(view, i, [at], y, xaxis="x2", yaxis="y2", **options)


def _with_ball(runner: Runner) -> dict[str, Any]:
    """Options of what comes and goes with a method's ball when the legend is clicked."""
    return {"name": runner.name, "legendgroup": runner.name, "showlegend": False}


def _small(numbers: np.ndarray) -> np.ndarray:
    """In half as many bytes: a page holds every frame."""
    return numbers.astype("float32")
