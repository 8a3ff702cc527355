"""What pictures of a race show, however they are drawn: heights, paths, what is written on them."""

from dataclasses import dataclass

import numpy as np
from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.landscapes.standings import Runner, Standings

# Okabe & Ito's colours, which people of all kinds of colour vision can tell apart.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B8A800")
# From low to high; pale, so that paths stand out.
SHADES = ("#9fb3d1", "#dbe3ef", "#f6f8fb")
STAR = "#c8102e"
INK = "#1d2433"
EDGE = "#8795ad"  # of contours and axes

_FRAMES = 80
_GRID = 121


@dataclass(frozen=True)
class Touching:
    """A curve that touches the function's graph where a method stands: what the method sees.

    Attributes:
        x, y: the curve.
        kind: "tangent" or "parabola".
    """

    x: np.ndarray
    y: np.ndarray
    kind: str


class View:
    """A race, ready to be drawn.

    Attributes:
        race: as it was run.
        frames: the steps at which it is shown.
        axes: the coordinates at which heights are known, one array for each dimension.
        values: the function there; in two dimensions (y, x).
        colors: one for each runner.
    """

    def __init__(self, race: Standings):
        if race.surface.dimension > 2:
            raise ValueError(
                "A race is drawn in one or two dimensions. "
                f"Received: {race.surface.name} in {race.surface.dimension}"
            )
        self.race = race
        self.frames = _frames(race)
        self.axes = [np.linspace(*bounds, _GRID) for bounds in _bounds(race)]
        points = np.stack(np.meshgrid(*self.axes), axis=-1)
        self.values = self._at(points)
        self.colors = [COLORS[i % len(COLORS)] for i in range(len(race.runners))]
        known = race.surface.minimum
        self.least = float(np.nanmin(self.values)) if known is None else known

    @property
    def flat(self) -> bool:
        """Whether the function has one variable, so that its graph is a curve."""
        return len(self.axes) == 1

    @property
    def heights(self) -> np.ndarray:
        """The values as heights: logarithmic above a known minimum, else as they are."""
        return self.height(self.values)

    def height(self, values: np.ndarray) -> np.ndarray:
        if not self.above_least:
            return values
        above = np.maximum(values - self.least, 0.0)
        ground = 1e-3 * float(np.nanmedian(self.values - self.least)) or 1.0
        return np.log10(above + ground)

    def trail(self, runner: Runner, step: int) -> np.ndarray:
        """Its points up to a step, as far as they can be drawn: (n, points)."""
        points = runner.points[: min(step, runner.last) + 1]
        # Lines end at the frame by themselves, but no number may be beyond what can be drawn.
        low, high = np.array([(axis[0], axis[-1]) for axis in self.axes]).T
        room = 10.0 * (high - low)
        return np.clip(points, low - room, high + room).T

    def losses(self, runner: Runner) -> np.ndarray:
        """The function above its least value at every step, where it is finite."""
        losses = runner.values[: runner.last + 1].astype("float64")
        return np.maximum(losses - self.least, 1e-12) if self.above_least else losses

    @property
    def graph_span(self) -> tuple[float, float]:
        """From the lowest to the highest of the values, with some room."""
        low, high = float(np.nanmin(self.values)), float(np.nanmax(self.values))
        room = 0.08 * (high - low)
        return low - room, high + room

    def loss_span(self, losses: np.ndarray) -> tuple[float, float]:
        """From the lowest to the highest of losses, as far as the surface that is shown reaches."""
        if self.above_least:
            return losses.min() / 2, 2 * min(losses.max(), 1e4 * self.values.max())
        low = max(float(losses.min()), float(np.nanmin(self.values)))
        high = min(float(losses.max()), float(np.nanmax(self.values)))
        room = 0.05 * (high - low) or 1.0
        return low - room, high + room

    @property
    def above_least(self) -> bool:
        """Whether losses are shown above a known least value, on a logarithmic scale."""
        return self.race.surface.minimum is not None

    def label(self, runner: Runner) -> str:
        """`Adam, η = 0.1: step 57`."""
        outcome = self.race.outcome(runner)
        gone = self._gone(runner)
        if gone is not None and not outcome.startswith("left"):
            outcome = f"leaves the picture at step {gone}"
        return f"{runner.name}, {runner.settings}" + (f": {outcome}" if outcome != "–" else "")

    def touching(self, runner: Runner, step: int) -> Touching:
        """In one dimension: the tangent at the method's place, or the parabola of Newton's."""
        x = float(self.trail(runner, step)[0, -1])
        width = self.axes[0][-1] - self.axes[0][0]
        with backend.derivatives().precision("float64"):
            h = 1e-4 * width
            below, here, above = self._at(np.array([[x - h], [x], [x + h]]))
        slope, curvature = (above - below) / (2 * h), (above - 2 * here + below) / h**2
        parabola = runner.draws_parabola
        reach = np.linspace(-1.0, 1.0, 61) * (0.5 if parabola else 0.12) * width
        y = here + slope * reach + (0.5 * curvature * reach**2 if parabola else 0.0)
        return Touching(x + reach, y, "parabola" if parabola else "tangent")

    def _at(self, points: np.ndarray) -> np.ndarray:
        return np.asarray(ops.convert_to_numpy(self.race.surface(ops.convert_to_tensor(points))))

    def _gone(self, runner: Runner) -> int | None:
        outside = [
            (runner.points[:, i] < axis[0]) | (runner.points[:, i] > axis[-1])
            for i, axis in enumerate(self.axes)
        ]
        ever = np.any(outside, axis=0)
        return int(ever.argmax()) if ever.any() and ever[-1] else None


def _bounds(race: Standings) -> list[tuple[float, float]]:
    """The surface's bounds, and the start if it lies outside."""
    margin = 0.05
    return [
        (min(low, start - margin * (high - low)), max(high, start + margin * (high - low)))
        if not low <= start <= high
        else (low, high)
        for (low, high), start in zip(race.surface.bounds, race.surface.start, strict=True)
    ]


def _frames(race: Standings) -> list[int]:
    """Steps to show: all of a short race; of a long one more of the beginning than of the end."""
    last = max(runner.last for runner in race.runners)
    arrived = [runner.arrived for runner in race.runners]
    if all(step is not None for step in arrived):
        last = min(last, int(1.15 * max(step or 0 for step in arrived)) + 2)
    if last <= _FRAMES:
        return list(range(last + 1))
    share = np.linspace(0.0, 1.0, _FRAMES + 1)
    return sorted({int(step) for step in np.round(last * share**1.5)})
