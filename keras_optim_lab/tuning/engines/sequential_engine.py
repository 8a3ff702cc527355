"""The sequential engine: one compiled model for all trials that it can serve."""

import functools
import logging
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import keras

from keras_optim_lab.keras_private import inner_layers, read_instead_of_building
from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.optimizers.shell.field_kinds import KerasNumber
from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning.engines.engine import Candidate, leave_to
from keras_optim_lab.tuning.engines.fit_engine import FitEngine
from keras_optim_lab.tuning.spaces.configuration import Configuration

# How many compiled models are kept. A study of schedules needs a new one for every trial, and
# memory holds only so many.
_KEPT = 4


class SequentialEngine(FitEngine):
    """Trains one candidate after the other with `model.fit`, and traces a training step once.

    For every run a new model is built from its seed, and the kept one, whose step is compiled,
    takes over the values of all its variables: weights, averages, random states, slots and
    hyperparameters. The results are those of `FitEngine`, as long as a builder puts into variables
    whatever it draws from the seed. A pipeline that shuffles by the framework's own random numbers
    may come in other orders.

    Models that are built from the trial are left to `FitEngine`, and the reason is logged.
    """

    name = "sequential"

    def run(self, task: Task, candidates: Iterable[Candidate]) -> None:
        if task.depends_on_trial:
            reason = "its model is built from the trial"
            instead = ", so every trial gets a model of its own"
            self.summary = leave_to(FitEngine(), task, candidates, reason, instead, logging.INFO)
            return
        # Kept for this run only: what an error has left half trained serves no other trial.
        self._kept = _KeptModels(task)
        super().run(task, candidates)
        self.summary["traces"] = self._kept.traces

    def model(self, task: Task, candidate: Candidate, seed: int) -> keras.Model:
        return self._kept.model(candidate, seed)


class _KeptModels:
    """The compiled models that were used last, each for one structure of an optimizer.

    Attributes:
        traces: how often a training step has been traced.
    """

    def __init__(self, task: Task):
        self.traces = 0
        self._task = task
        self._models: dict[Hashable, keras.Model] = {}  # the one used last comes last

    def model(self, candidate: Candidate, seed: int) -> keras.Model:
        """A model with the first values of this run, compiled already where one is kept."""
        optimizer = candidate.optimizer()
        fresh = self._task.build(optimizer, seed)
        if not fresh.optimizer.built:
            fresh.optimizer.build(fresh.trainable_variables)
        key = _compiled_in(candidate.configuration)
        kept = self._models.pop(key, None)
        if kept is not None and _can_take_over(kept, fresh):
            _take_over(kept, fresh)
            fresh = kept
            read_instead_of_building(fresh, _read_first_batch)
        elif _holds_all_state(fresh):
            self._count_traces(fresh)
        else:
            return fresh
        self._models[key] = fresh
        if len(self._models) > _KEPT:
            self._models.pop(next(iter(self._models)))
        return fresh

    def _count_traces(self, model: keras.Model) -> None:
        """Counts the calls of the training step, which a compiled program calls when traced."""
        if keras.backend.backend() == "torch":
            return  # it calls the step itself at every step

        step: Callable[..., Any] = model.train_step

        @functools.wraps(step)
        def counted(*arguments):
            self.traces += 1
            return step(*arguments)

        model.train_step = counted


def _compiled_in(configuration: Configuration) -> Hashable:
    """What the compiled step is made for: a schedule is part of it, and Keras's own numbers."""
    fields, chosen = configuration.template.fields, configuration.hyperparameters
    around = tuple((n, v) for n, v in chosen.items() if isinstance(fields[n], KerasNumber))
    if not configuration.scheduled:
        return configuration.structure, around
    peaks = tuple(configuration.peaks.items())
    return configuration.structure, around, configuration.recipe, peaks


def _take_over(kept: keras.Model, fresh: keras.Model) -> None:
    for variable, value in zip(_state(kept), _state(fresh), strict=True):
        variable.assign(value)
    for layer in inner_layers(kept):
        if getattr(layer, "stateful", False):
            layer.reset_state()  # it is none of its variables
    optimizer, other = _own(kept.optimizer), _own(fresh.optimizer)
    for field in optimizer.numeric.values():
        if isinstance(field.given(optimizer), keras.Variable):
            # Its variable has it already, but the optimizer also remembers the number that was
            # given, which its variable rounds.
            field.give(optimizer, field.number(other))


def _read_first_batch(iterator: Iterable[Any]) -> None:
    """Stands for what Keras does once in a model's first `fit`: it reads a batch to build metrics.

    PyTorch draws a random number whenever it begins to read data. Without this one, the unseeded
    dropout that follows would differ from that of a fresh model.
    """
    for _, _, data in iterator:
        if not isinstance(data, list | tuple):
            next(data)
        break


def _own(optimizer: keras.optimizers.Optimizer) -> Optimizer:
    """Our optimizer inside the one that Keras puts around it to scale the loss of float16."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer.inner_optimizer
    return optimizer


def _state(model: keras.Model) -> list[keras.Variable]:
    # Metrics are left out: `fit` resets them.
    return [*model.variables, *model.optimizer.variables]


def _can_take_over(kept: keras.Model, fresh: keras.Model) -> bool:
    """Whether the models have the same variables, which they have unless the builder varies."""
    shapes, others = (
        [(tuple(variable.shape), variable.dtype) for variable in _state(model)]
        for model in (kept, fresh)
    )
    return shapes == others


def _holds_all_state(model: keras.Model) -> bool:
    """Whether there is no second optimizer, whose slots would go on from one trial to the next."""
    return not any(
        isinstance(value, keras.optimizers.Optimizer) and value is not model.optimizer
        for value in vars(model).values()
    )
