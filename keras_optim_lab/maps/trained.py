"""The runs of a map."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from keras_optim_lab.maps.findings import Cell, Point
from keras_optim_lab.maps.plane import Plane
from keras_optim_lab.tuning.paired import diverged
from keras_optim_lab.tuning.racing import Course, Entrant, Values
from keras_optim_lab.tuning.repetitions import OnProgress

_AGAIN = 8  # best cells that are trained again,
_FRESH = 8  # with so many other seeds, or with two in each fold of another partition


class Trained:
    """All runs of a map: every cell, and then the best ones and the marks over fresh seeds.

    Attributes:
        runs, again, marked: as in `Findings`.
    """

    def __init__(self, course: Course, plane: Plane, seeds: int, on_progress: OnProgress):
        self._course = course
        cells = [*product(range(plane.y.cells), range(plane.x.cells))]
        marks = plane.marks
        every = [Entrant(str(cell), plane.cell(*cell), plane.params) for cell in cells]
        folds = course.folds or 1
        runs, fresh_runs = range(seeds * folds), self._fresh(seeds)
        first, again = len(cells) * len(runs), min(_AGAIN, len(cells)) + len(marks)
        total = first + again * len(fresh_runs)

        values = course.values(every, runs, lambda done, _: on_progress(done, total))
        self.runs = np.array([values[str(cell)] for cell in cells]).T.reshape(
            len(runs), plane.y.cells, plane.x.cells
        )
        best = self._best(cells, values)
        entrants = [each for each in every if each.name in {str(cell) for cell in best}]
        entrants += [Entrant(name, each, plane.params) for name, each in marks]
        fresh = course.values(
            entrants,
            fresh_runs,
            lambda done, _: on_progress(first + done, total),
        )
        self.again = {cell: fresh[str(cell)] for cell in best}
        self.marked = tuple(Point(name, each, fresh[name]) for name, each in marks)

    def _fresh(self, seeds: int) -> range:
        if self._course.folds is None:
            return range(seeds, seeds + _FRESH)
        partition = 2 * self._course.folds  # as `fold_of` counts
        begin = -(-seeds // 2) * partition
        return range(begin, begin + partition)

    def _best(self, cells: Sequence[Cell], values: Values) -> list[Cell]:
        """Those that are trained again, the best first."""
        rank = self._course.objective.rank
        finite = [cell for cell in cells if not diverged(values[str(cell)])]
        return sorted(finite, key=lambda cell: rank(values[str(cell)]))[:_AGAIN]
