"""What models begin with, for one seed after the other."""

import copy
import logging
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.keras_private import drawn_seeds, make_default_seed
from keras_optim_lab.tasks import Task

Values = list[np.ndarray]

_log = logging.getLogger("keras_optim_lab")

_LEARNED_FROM = 1  # any seed but that of the model by which it is checked


class FirstValues:
    """The weights and the other variables of a task's model, as building it from a seed gives them.

    All that Keras's layers draw from a seed are seeds, of initializers and generators, one after
    the other. Which of them a variable begins with is learned from a second model, and holds if
    it gives the values of the first. Then values are drawn without a model; where it does not
    hold, as for a builder that itself draws from the seed, a model is built for every seed.

    Args:
        task: whose model it is.
        model: that was built from seed 0.
    """

    def __init__(self, task: Task, model: keras.Model):
        self._task = task
        self._model = model
        self._shapes = [tuple(variable.shape) for variable in _variables(model)]
        self._trained = len(model.trainable_variables)
        self._learned = False
        self._beginning: _Beginning | None = None

    def __call__(self, seed: int) -> tuple[Values, Values]:
        values = self._values(seed)
        return values[: self._trained], values[self._trained :]

    def _values(self, seed: int) -> Values:
        if seed == 0:
            return _values(self._model)
        with backend.rows().seeding():
            if not self._learned:
                self._learned = True
                self._beginning = self._checked()
            return self._built(seed) if self._beginning is None else self._beginning(seed)

    def _built(self, seed: int) -> Values:
        values = _values(self._task.build_model(seed))
        if [value.shape for value in values] != self._shapes:
            raise ValueError(
                f"model() of task {self._task.name!r} returned weights of other shapes than before."
                " If they depend on the trial, let it take the trial: def build(trial): ..."
            )
        return values

    def _checked(self) -> "_Beginning | None":
        """What was learned, if it gives the values of the first model to the last bit."""
        try:
            beginning = _learned(self._task, _LEARNED_FROM)
            if beginning is None or not _equal(beginning(0), _values(self._model)):
                return None
        except Exception as error:
            name = self._task.name
            _log.debug("task %r: a model is built for every seed", name, exc_info=error)
            return None
        return beginning


class _Beginning(NamedTuple):
    """How variables begin: so many seeds are drawn, and each begins by those."""

    drawn: int
    starts: Sequence[Callable[[Sequence[int]], Any]]

    def __call__(self, seed: int) -> Values:
        backend.set_random_seed(seed)
        seeds = [make_default_seed() for _ in range(self.drawn)]
        return [np.array(ops.convert_to_numpy(start(seeds))) for start in self.starts]


def _learned(task: Task, seed: int) -> _Beginning | None:
    """How the variables of a model that is built from this seed begin."""
    # Within the scope variables are given no values yet, and keep their initializers.
    with keras.StatelessScope() as scope:
        with drawn_seeds() as seeds:
            model = task.build_model(seed)
        after = _streams()
        variables = _variables(model)
        initializers = [variable._initializer for variable in variables]
        if scope.state_mapping or None in initializers:
            return None
    backend.set_random_seed(seed)
    if [make_default_seed() for _ in seeds] != seeds or not _equal(_streams(), after):
        return None  # the builder has drawn something else
    places = {number: place for place, number in enumerate(seeds)}
    starts = [*map(_start, variables, initializers, [places] * len(variables))]
    return _Beginning(len(seeds), starts)


def _streams() -> list[Any]:
    """Where the random numbers of Python and NumPy are."""
    of_numpy: Any = np.random.get_state()
    return [random.getstate()[1], *of_numpy[1:3]]


def _start(
    variable: keras.Variable, initializer: Any, places: dict[int, int]
) -> Callable[[Sequence[int]], Any]:
    """From the seeds that are drawn to the first value of a variable."""
    seed = getattr(initializer, "seed", None)
    if isinstance(seed, int) and seed in places:
        place = places[seed]
        own = copy.copy(initializer)

        def drawn(seeds: Sequence[int]) -> Any:
            own.seed = seeds[place]
            return own(variable.shape, dtype=variable.dtype)

        return drawn
    value = np.array(ops.convert_to_numpy(variable))
    generator = places.get(int(value[0])) if value.shape == (2,) else None
    if generator is not None and value[1] == 0:
        return lambda seeds: np.array([seeds[generator], 0], value.dtype)
    return lambda seeds: value


def _variables(model: keras.Model) -> list[keras.Variable]:
    return [*model.trainable_variables, *model.non_trainable_variables]


def _values(model: keras.Model) -> Values:
    return [np.array(ops.convert_to_numpy(variable)) for variable in _variables(model)]


def _equal(some: Sequence[Any], others: Sequence[Any]) -> bool:
    return len(some) == len(others) and all(
        (one.shape, one.dtype, one.tobytes()) == (other.shape, other.dtype, other.tobytes())
        for one, other in zip(map(np.asarray, some), map(np.asarray, others), strict=True)
    )
