"""What lets a race be played: a frame for every step that is shown, buttons and a slider."""

from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go

from keras_optim_lab.landscapes.view import INK, View
from keras_optim_lab.reports.study_figures import styled

SIZE = 16  # points, to be read on a projector
Moving = Callable[[View, int, int], list[Any]]  # of a view, the number of a runner and a step

# A contour vanishes from an animation that does not draw it again in every frame.
_REDRAWN = {"frame": {"duration": 60, "redraw": True}, "transition": {"duration": 0}}


def animated(figure: go.Figure, view: View, moving: Moving, below: float = 0.19) -> go.Figure:
    """The figure with a frame for each step that is shown, buttons and a slider.

    Args:
        figure: what stands still.
        moving: a runner's traces at a step.
        below: how far under the figure these stand, in heights of it.
    """
    runners = range(len(view.race.runners))
    fixed = len(figure.data)

    def at(step: int) -> list:
        return [trace for i in runners for trace in moving(view, i, step)]

    figure.add_traces(at(view.frames[-1]))
    moves = list(range(fixed, len(figure.data)))
    figure.frames = [go.Frame(data=at(step), traces=moves, name=str(step)) for step in view.frames]
    styled(figure)
    figure.update_layout(
        font_size=SIZE,
        legend={"y": 1.03, "font_size": SIZE},
        margin={"l": 70, "r": 20, "t": 40 + 26 * ((len(runners) + 1) // 2), "b": 110},
        updatemenus=[_buttons(below)],
        sliders=[_slider(view, below)],
    )
    return figure


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
        "font": {"color": INK, "size": SIZE},
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
            "font": {"size": SIZE, "color": INK},
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
