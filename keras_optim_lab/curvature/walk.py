"""The path of a minimization, and what it comes to."""

import numpy as np

from keras_optim_lab.curvature.convergence import (
    MESSAGES,
    SUCCESS,
    Convergence,
    Seen,
    Tolerances,
)
from keras_optim_lab.curvature.layout import Layout
from keras_optim_lab.curvature.result import MinimizeResult, Path

_LEVEL = 1e-8  # of what the function has fallen by: a difference that is none


class Walk:
    """The path so far, and whether it is at its end."""

    def __init__(self, start: Seen, tolerances: Tolerances, own_model: bool):
        self._convergence = Convergence(tolerances, start, own_model)
        self._points = [start.x]
        self._values = [start.value]
        self._counts = np.array([1, 1, 0])
        self._last = self._best = start
        self.status = self._convergence.at_start(start)

    @property
    def nit(self) -> int:
        return len(self._points) - 1

    def note(self, point: Seen, whole: np.ndarray, counts: np.ndarray) -> None:
        self._counts += counts[:3]
        self._points.append(point.x)
        self._values.append(point.value)
        self.status = self._convergence.after(self._last, point, whole, int(counts[3]))
        self._last = point
        if point.finite and point.value <= self._best.value:
            self._best = point

    def look_again(self, whole: np.ndarray) -> None:
        """Judges a point that the method could not leave by the whole step of Newton's method."""
        self._counts[2] += whole.size
        self.status = self._convergence.where_it_is(self._last, whole)

    def result(self, layout: Layout) -> MinimizeResult:
        status, best = self.status or "steps", self._best
        if status in SUCCESS and best is not self._last:
            # Lower by rounding, or where else the path has been?
            fell = max(abs(best.value), self._values[0] - best.value)
            level = self._last.value - best.value <= _LEVEL * fell
            status, best = (status, self._last) if level else ("higher", best)
        nfev, njev, nhev = self._counts.tolist()
        return MinimizeResult(
            x=layout.split_path(best.x),
            fun=best.value,
            jac=layout.split_path(best.gradient),
            nit=self.nit,
            nfev=nfev,
            njev=njev,
            nhev=nhev,
            status=status,
            success=status in SUCCESS,
            message=MESSAGES[status].format(nit=self.nit, fun=best.value),
            path=Path(layout.split_path(np.stack(self._points)), np.array(self._values)),
        )
