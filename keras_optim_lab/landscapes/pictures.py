"""A race as a GIF or PNG, drawn by Matplotlib."""

import io
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from keras_optim_lab.files import write_whole
from keras_optim_lab.landscapes.standings import Standings
from keras_optim_lab.landscapes.view import EDGE, INK, SHADES, STAR, View
from keras_optim_lab.shown import extra

_MILLISECONDS = 70  # that a frame of a GIF is shown
_REST = 2000  # and the last one
_RC: Any = {"font.size": 13, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": EDGE}


def library() -> ModuleType:
    """Matplotlib, or a ModuleNotFoundError that says how it is installed."""
    need = "The page with the animated race needs nothing more, but pictures need Matplotlib"
    return extra("matplotlib", "pictures", need)


def paths(race: Standings, axes: Any) -> None:
    """Draws the whole paths on axes of Matplotlib, as lines in which nothing moves."""
    view = View(race)
    (_graph if view.flat else _contours)(view, axes, star=9)
    for runner, color in zip(race.runners, view.colors, strict=True):
        points = view.trail(runner, view.frames[-1])
        x, y = (points[0], runner.values[: points.shape[1]]) if view.flat else points
        axes.plot(x, y, color=color, label=view.label(runner))
        axes.plot(x[-1:], y[-1:], marker="o", ms=4, color=color, mec="white", mew=0.6, zorder=5)
    axes.figure.legend(loc="outside upper center", ncols=min(2, len(race.runners)))


def write(race: Standings, path: Path) -> Path:
    """Draws the race into a .gif, step by step, or its whole paths into a .png."""
    if path.suffix not in (".gif", ".png"):
        raise ValueError(f"A picture is a .gif or a .png. Received: {path.name!r}")
    matplotlib = library()
    view, drawn = View(race), io.BytesIO()
    with matplotlib.rc_context(_RC):
        if path.suffix == ".png":
            _Drawing(view, dpi=100).at(view.frames[-1]).save(drawn, "png", optimize=True)
        else:
            drawing = _Drawing(view, dpi=72)
            first, *rest = [drawing.at(step) for step in view.frames]
            pause = [_MILLISECONDS] * len(rest) + [_REST]
            first.save(drawn, "gif", save_all=True, append_images=rest, duration=pause, loop=0)
    return write_whole(path, drawn.getvalue())


class _Drawing:
    """All that stands still, drawn once, and what moves on top of it."""

    def __init__(self, view: View, dpi: int):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(11, 5.2), dpi=dpi, layout="constrained")
        self.view = view
        self._canvas = FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)
        (_graph if view.flat else _contours)(view, left)
        self._losses(right)
        self._moving: list[tuple[Any, ...]] = []
        for runner, color in zip(view.race.runners, view.colors, strict=True):
            losses = view.losses(runner)
            right.plot(losses, color=color, lw=2.4, label=view.label(runner))
            style = {"ls": "", "marker": "o", "ms": 4, "alpha": 0.5} if view.flat else {"lw": 2.4}
            head = {"marker": "o", "ms": 12, "mec": "white", "mew": 1.8, "zorder": 5}
            common = {"color": color, "animated": True}
            self._moving.append(
                (
                    *left.plot([], [], "--", lw=2, **common),
                    *left.plot([], [], **style, **common),
                    *left.plot([], [], **head, **common),
                    # The last step stands on the edge.
                    *right.plot([], [], **head, **common, clip_on=False, in_layout=False),
                )
            )
        figure.legend(loc="outside upper center", ncols=min(2, len(self._moving)), frameon=False)
        self._palette = _palette(view.colors)
        self._step = figure.text(0.99, 0.98, "", ha="right", va="top", animated=True)
        self._canvas.draw()
        self._still = self._canvas.copy_from_bbox(figure.bbox)

    def at(self, step: int) -> Any:
        """The picture at a step, a Pillow image."""
        from PIL import Image

        self._canvas.restore_region(self._still)
        for runner, lines in zip(self.view.race.runners, self._moving, strict=True):
            self._move(runner, lines, step)
        self._step.set_text(f"step {step}")
        for artist in (*(line for lines in self._moving for line in lines), self._step):
            artist.figure.draw_artist(artist)
        picture = Image.fromarray(np.asarray(self._canvas.buffer_rgba())).convert("RGB")
        return picture.quantize(palette=self._palette, dither=Image.Dither.NONE)

    def _move(self, runner: Any, lines: tuple[Any, ...], step: int) -> None:
        seen, trail, head, loss = lines
        points = self.view.trail(runner, step)
        x, y = (points[0], runner.values[: points.shape[1]]) if self.view.flat else points
        trail.set_data(x, y)
        head.set_data(x[-1:], y[-1:])
        if self.view.flat:
            touching = self.view.touching(runner, step)
            seen.set_data(touching.x, touching.y)
        losses = self.view.losses(runner)
        at = min(step, len(losses) - 1)
        loss.set_data([at], losses[at : at + 1])

    def _losses(self, axes: Any) -> None:
        view = self.view
        every = np.concatenate([view.losses(runner) for runner in view.race.runners])
        axes.set(xlabel="step", xlim=(0, view.frames[-1]))
        label, scale = ("f − min f", "log") if view.above_least else ("f", "linear")
        axes.set(ylabel=label, yscale=scale, ylim=view.loss_span(every))


def _contours(view: View, axes: Any, star: float = 24) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    x, y = view.axes
    heights = view.heights
    levels = np.linspace(heights.min(), heights.max(), 25)
    shades = LinearSegmentedColormap.from_list("pale", SHADES)
    axes.contourf(x, y, heights, levels, cmap=shades)
    axes.contour(x, y, heights, levels, colors=EDGE, linewidths=0.6)
    for minimum in view.race.surface.minima or ():
        axes.plot(*minimum, "*", color=STAR, ms=star, mec="white", mew=star / 20, zorder=4)
    axes.set(xlabel="x", ylabel="y", xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))


def _graph(view: View, axes: Any, star: float = 24) -> None:
    (x,) = view.axes
    axes.plot(x, view.values, color="#5b6880", lw=star / 10)
    axes.set(xlabel="x", ylabel="f(x)", xlim=(x[0], x[-1]), ylim=view.graph_span)


def _palette(colors: Sequence[str]) -> Any:
    """What a picture is painted in: few colours are a quarter of the bytes.

    Those of the methods are among them: of all that a picture shows, thin lines are so little that
    a choice by frequency would paint several in one grey.
    """
    from matplotlib.colors import LinearSegmentedColormap, to_rgb
    from PIL import Image

    lines = np.array([to_rgb(color) for color in (*colors, STAR, INK, EDGE)])
    onto_white = [share * lines + 1 - share for share in (1.0, 0.8, 0.6, 0.4, 0.2)]
    ground = LinearSegmentedColormap.from_list("ground", SHADES)(np.linspace(0, 1, 16))[:, :3]
    chosen = np.vstack([*onto_white, ground, np.ones((1, 3))])
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.rint(255 * chosen).astype("uint8").tobytes())
    return palette
