"""The runs of a map."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from keras_optim_lab.maps.findings import Cell, Point
from keras_optim_lab.maps.plane import Plane
from keras_optim_lab.tuning.paired import diverged
from keras_optim_lab.tuning.racing import Course, Entrant, Values
from keras_optim_lab.tuning.repetitions import OnProgress
from keras_optim_lab.tuning.spaces.configuration import Configuration

_AGAIN = 8  # best cells that are trained again,
_FRESH = 8  # with so many other seeds


class Trained:
    """All runs of a map: every cell, and then the best ones and the marks over fresh seeds.

    Attributes:
        runs, again, marked: as in `Findings`.
    """

    def __init__(self, course: Course, plane: Plane, seeds: int, on_progress: OnProgress):
        self._course = course
        cells = [*product(range(plane.y.cells), range(plane.x.cells))]
        marks: list[tuple[str, Configuration]] = [("the defaults", plane.defaults)]
        if plane.choice is not None:
            marks.append((f"the choice of {plane.study}", plane.choice))
        every = [Entrant(str(cell), plane.cell(*cell), plane.params) for cell in cells]
        first, again = len(cells) * seeds, min(_AGAIN, len(cells)) + len(marks)
        total = first + again * _FRESH

        values = course.values(every, range(seeds), lambda done, _: on_progress(done, total))
        self.runs = np.array([values[str(cell)] for cell in cells]).T.reshape(
            seeds, plane.y.cells, plane.x.cells
        )
        best = self._best(cells, values)
        entrants = [each for each in every if each.name in {str(cell) for cell in best}]
        entrants += [Entrant(name, each, plane.params) for name, each in marks]
        fresh = course.values(
            entrants,
            range(seeds, seeds + _FRESH),
            lambda done, _: on_progress(first + done, total),
        )
        self.again = {cell: fresh[str(cell)] for cell in best}
        self.marked = tuple(Point(name, each, fresh[name]) for name, each in marks)

    def _best(self, cells: Sequence[Cell], values: Values) -> list[Cell]:
        """Those that are trained again, the best first."""
        rank = self._course.objective.rank
        finite = [cell for cell in cells if not diverged(values[str(cell)])]
        return sorted(finite, key=lambda cell: rank(values[str(cell)]))[:_AGAIN]
