"""When a method has arrived: in a minimum, or away from a saddle."""

import numpy as np

from keras_optim_lab.landscapes.paths import Paths
from keras_optim_lab.landscapes.surfaces import Surface

# How near to a minimum counts as being there.
NEAR = 0.02
# A saddle stands at 0; below this value a method has left it.
LEFT = -1.0


def arrivals(surface: Surface, paths: Paths) -> np.ndarray:
    """The step at which each path has arrived, or NaN.

    In a minimum: the first step from which on the path stays within `NEAR` of it, for the last
    tenth of the steps at least. On a surface without a least value: the first step whose
    value is below `LEFT`. Never, where no minimum is known.

    Args:
        surface: with its minima.
        paths: (…, steps + 1, n) and (…, steps + 1).

    Returns:
        Steps of shape (…).
    """
    if surface.minima is None:
        return np.full(paths.values.shape[:-1], np.nan)
    if surface.minima:
        inside = distances(surface, paths.points) <= NEAR
        # Counted from the end: how many last points are all inside.
        stayed = np.cumprod(inside[..., ::-1], axis=-1).sum(axis=-1)
        steps = inside.shape[-1] - 1
        return np.where(stayed > steps // 10, steps + 1 - stayed, np.nan)
    away = paths.values[..., 1:] < LEFT  # a random start may lie there already
    return np.where(away.any(axis=-1), 1 + away.argmax(axis=-1), np.nan)


def distances(surface: Surface, points: np.ndarray) -> np.ndarray:
    """How far each point (…, n) is from the nearest of the known minima, of shape (…)."""
    minima = np.asarray(surface.minima)
    with np.errstate(over="ignore", invalid="ignore"):
        every = np.linalg.norm(points[..., None, :] - minima, axis=-1)
    return np.nan_to_num(every.min(axis=-1), nan=np.inf)
