"""A race as Plotly figures that can be played, paused and turned."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from keras_optim_lab.landscapes.view import EDGE, INK, SHADES, STAR, View
from keras_optim_lab.reports.study_figures import styled

_SCALE = [[i / (len(SHADES) - 1), shade] for i, shade in enumerate(SHADES)]
_SIZE = 16  # points, to be read on a projector
_HEAD = 15


def contours(view: View) -> go.Figure:
    """Paths on the contour lines, and the loss at every step beside them."""
    figure = make_subplots(1, 2, column_widths=[0.58, 0.42], horizontal_spacing=0.13)
    x, y = view.axes
    figure.add_contour(
        **_ground(view),
        ncontours=24,
        line={"width": 0.8, "color": EDGE},
        row=1,
        col=1,
    )
    _stars(figure, view)
    figure.update_xaxes(title="x", range=[x[0], x[-1]], row=1, col=1)
    figure.update_yaxes(title="y", range=[y[0], y[-1]], row=1, col=1)
    return _animated(figure, view, _on_contours)


def still(figure: go.Figure) -> go.Figure:
    """The end of an animation alone, in a tenth of the bytes."""
    figure.frames = figure.layout.updatemenus = figure.layout.sliders = ()
    return figure.update_layout(margin_b=60)


def narrow(figure: go.Figure) -> dict[str, Any]:
    """The layout on a telephone: one part below the other, and then the controls."""
    two = "yaxis2" in figure.layout
    named = sum(trace.showlegend is not False and trace.name is not None for trace in figure.data)
    top, inside = 30 + 20 * named, 620 if two else 340
    bottom = (60 if two else 20) + 115 * bool(figure.frames)
    changes = {
        "height": top + inside + bottom,
        "margin": {"l": 58 * two, "r": 12, "t": top, "b": bottom},
        "font.size": 12,
        "legend.font.size": 12,
    }
    if two:
        changes |= {
            "xaxis.domain": [0, 1],
            "yaxis.domain": [0.53, 1],
            "xaxis2.domain": [0, 1],
            "yaxis2.domain": [0, 0.4],
        }
    else:
        changes["scene.camera.eye"] = {"x": -1.13, "y": -1.57, "z": 1.83}  # its labels have no room
    if figure.frames:
        below = (65 if two else 5) / inside
        changes |= {
            "updatemenus[0].y": -below,
            "sliders[0].x": 0,
            "sliders[0].len": 1,
            "sliders[0].y": -below - 56 / inside,
        }
    return changes


def graph(view: View) -> go.Figure:
    """In one dimension: balls on the function's graph, and what each method sees of it."""
    figure = make_subplots(1, 2, column_widths=[0.58, 0.42], horizontal_spacing=0.13)
    (x,) = view.axes
    low, high = float(np.nanmin(view.values)), float(np.nanmax(view.values))
    room = 0.08 * (high - low)
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
    figure.update_yaxes(title="f(x)", range=[low - room, high + room], row=1, col=1)
    return _animated(figure, view, _on_graph)


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
    _animated(figure, view, _on_relief, below=0.04)
    return figure.update_layout(margin={"l": 0, "r": 0, "t": 60, "b": 90})


def _ground(view: View) -> dict:
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


def _stars(figure: go.Figure, view: View) -> None:
    minima = view.race.surface.minima
    if minima:
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


# What moves: for every runner its traces at a step.


def _on_contours(view: View, i: int, step: int) -> list[go.Scatter]:
    runner, color = view.race.runners[i], view.colors[i]
    x, y = _small(view.trail(runner, step))
    return [
        go.Scatter(
            x=x,
            y=y,
            mode="lines",
            line={"color": color, "width": 3},
            name=runner.name,
            showlegend=False,
            legendgroup=runner.name,
        ),
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
            name=f"{runner.name}: {seen.kind}",
            legendgroup=runner.name,
            showlegend=False,
        ),
        go.Scatter(
            x=x,
            y=y,
            mode="markers",
            marker={"size": 6, "color": color, "opacity": 0.45},
            name=runner.name,
            legendgroup=runner.name,
            showlegend=False,
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
    head = {"size": 7, "color": color, "line": {"color": "white", "width": 1}}
    return [
        go.Scatter3d(
            x=x,
            y=y,
            z=z,
            mode="lines",
            line={"color": color, "width": 7},
            name=runner.name,
            showlegend=False,
        ),
        go.Scatter3d(
            x=x[-1:], y=y[-1:], z=z[-1:], mode="markers", marker=head, name=view.label(runner)
        ),
    ]


def _ball(view: View, i: int, x, y, size: int = _HEAD) -> go.Scatter:
    runner = view.race.runners[i]
    return go.Scatter(
        x=x,
        y=y,
        mode="markers",
        marker={"size": size, "color": view.colors[i], "line": {"color": "white", "width": 2}},
        name=view.label(runner),
        legendgroup=runner.name,
    )


def _loss(view: View, i: int, step: int) -> go.Scatter:
    runner = view.race.runners[i]
    losses = view.losses(runner)
    at = min(step, len(losses) - 1)
    return go.Scatter(
        x=[at],
        y=_small(losses[at : at + 1]),
        mode="markers",
        marker={"size": _HEAD, "color": view.colors[i], "line": {"color": "white", "width": 2}},
        name=runner.name,
        legendgroup=runner.name,
        showlegend=False,
        cliponaxis=False,  # the last step stands on the edge
        xaxis="x2",
        yaxis="y2",
    )


def _small(numbers: np.ndarray) -> np.ndarray:
    """In half as many bytes: a page holds every frame."""
    return numbers.astype("float32")


def _losses(figure: go.Figure, view: View) -> None:
    for runner, color in zip(view.race.runners, view.colors, strict=True):
        losses = view.losses(runner)[: view.frames[-1] + 1]
        figure.add_scatter(
            x=list(range(len(losses))),
            y=_small(losses),
            mode="lines",
            line={"color": color, "width": 3},
            name=runner.name,
            legendgroup=runner.name,
            showlegend=False,
            row=1,
            col=2,
        )


def _animated(figure: go.Figure, view: View, moving, below: float = 0.19) -> go.Figure:
    """The figure with a frame for each step that is shown, buttons and a slider.

    Args:
        below: how far under the figure these stand, in heights of it.
    """
    runners = range(len(view.race.runners))
    if "yaxis2" in figure.layout:
        _losses(figure, view)
        _loss_axes(figure, view)
    fixed = len(figure.data)

    def at(step: int) -> list:
        return [trace for i in runners for trace in moving(view, i, step)]

    figure.add_traces(at(view.frames[-1]))
    moves = list(range(fixed, len(figure.data)))
    figure.frames = [go.Frame(data=at(step), traces=moves, name=str(step)) for step in view.frames]
    styled(figure)
    figure.update_layout(
        font_size=_SIZE,
        legend={"y": 1.03, "font_size": _SIZE},
        margin={"l": 70, "r": 20, "t": 40 + 26 * ((len(runners) + 1) // 2), "b": 110},
        updatemenus=[_buttons(below)],
        sliders=[_slider(view, below)],
    )
    return figure


def _loss_axes(figure: go.Figure, view: View) -> None:
    figure.update_xaxes(title="step", range=[0, view.frames[-1]], row=1, col=2)
    every = np.concatenate([view.losses(r)[: view.frames[-1] + 1] for r in view.race.runners])
    if view.above_least:
        low, high = np.log10(every.min()), np.log10(min(every.max(), 1e4 * view.values.max()))
        figure.update_yaxes(
            title="f − min f",
            type="log",
            exponentformat="power",
            dtick=max(1, round((high - low) / 6)),
            range=[low - 0.3, high + 0.3],
            row=1,
            col=2,
        )
    else:
        figure.update_yaxes(title="f", range=list(view.span(every)), row=1, col=2)


# A contour vanishes from an animation that does not draw it again in every frame.
_REDRAWN = {"frame": {"duration": 60, "redraw": True}, "transition": {"duration": 0}}


def _buttons(below: float) -> dict:
    stop = {"frame": {"duration": 0, "redraw": True}, "mode": "immediate"}
    return {
        "type": "buttons",
        "direction": "left",
        "x": 0.0,
        "y": -below,
        "xanchor": "left",
        "yanchor": "top",
        "pad": {"t": 8},
        "bgcolor": "white",
        "bordercolor": "#c9cfda",
        "font": {"color": INK, "size": _SIZE},
        "showactive": False,
        "buttons": [
            {
                "label": "▶ play",
                "method": "animate",
                "args": [None, {**_REDRAWN, "fromcurrent": True, "mode": "immediate"}],
            },
            {"label": "❚❚ pause", "method": "animate", "args": [[None], stop]},
        ],
    }


def _slider(view: View, below: float) -> dict:
    return {
        "active": len(view.frames) - 1,
        "x": 0.24,
        "len": 0.76,
        "y": -below + 0.02,
        "currentvalue": {
            "prefix": "step ",
            "font": {"size": _SIZE, "color": INK},
            "xanchor": "right",
            "offset": 4,
        },
        "ticklen": 0,
        "minorticklen": 0,
        "font": {"color": "rgba(0,0,0,0)"},
        "steps": [
            {
                "label": str(step),
                "method": "animate",
                "args": [[str(step)], {**_REDRAWN, "mode": "immediate"}],
            }
            for step in view.frames
        ],
    }
