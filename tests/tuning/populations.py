"""Rows of a compiled epoch and studies of the population engine, as the tests drive them."""

from collections.abc import Sequence
from contextlib import nullcontext

import keras
import numpy as np
import optuna

from keras_optim_lab import backend
from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.tasks import Task
from keras_optim_lab.tuner import TuningResult
from keras_optim_lab.tuning.engines.batches import on_device
from keras_optim_lab.tuning.engines.epoch import Epoch
from keras_optim_lab.tuning.engines.fit_engine import FitEngine
from keras_optim_lab.tuning.engines.inputs import RowEpoch
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from keras_optim_lab.tuning.engines.pure_model import PureModel
from keras_optim_lab.tuning.spaces.configuration import Configuration
from tests.fit_without_xla import eagerly
from tests.studies import small_task

BACKEND = keras.backend.backend()
FORMS = ("vectorized", "looped")
TRACED = BACKEND != "torch"  # which runs functions as they are


def ten_steps(model, samples=77, **changes) -> Task:
    """A task whose only epoch has ten steps, the last of a smaller batch if there is one."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(samples, 3)).astype("float32")
    y = (x @ np.array([[1.0], [-2.0], [0.5]], "float32")).astype("float32")
    return small_task(**{"model": model, "train": (x, y), "epochs": 1, **changes})


class Rows:
    """The compiled epoch of one optimizer for `width` rows."""

    def __init__(
        self,
        task: Task,
        optimizer: Optimizer,
        width: int,
        form: str,
        model: PureModel | None = None,
    ):
        self.model = model or PureModel(task, optimizer, train_metrics=False)
        self.epoch = Epoch(self.model, optimizer, width=width, form=form, scheduled=False)
        self.data = on_device(task)
        self.program = self.epoch.program(self.data)

    def train(self, plans: Sequence[tuple[Configuration, int] | None], epochs: int = 1):
        """Trains fresh rows; returns each row's variables, and its logs of the last epoch."""
        state = self.epoch.empty()
        for row, plan in enumerate(plans):
            if plan is not None:
                first = self.epoch.first_state(plan[1], self.epoch.optimizer)
                state = backend.rows().put_row(state, row, first)
        for epoch in range(epochs):
            inputs = self.epoch.inputs([plan and RowEpoch(*plan, epoch) for plan in plans])
            state, logs = self.program(state, inputs, self.data)
        self.state = state
        numbers = {name: keras.ops.convert_to_numpy(values) for name, values in logs.items()}
        return [
            (self._variables(state, row), {name: values[row] for name, values in numbers.items()})
            for row in range(len(plans))
        ]

    def _variables(self, state, row) -> list[np.ndarray]:
        weights = self.model.parts([weight[row] for weight in state["weights"]])
        return [*map(_numpy, weights), *(_numpy(value[row]) for value in state["others"])]


def variables(model: keras.Model) -> list[np.ndarray]:
    """A model's variables in the order of `Rows.train`."""
    return [*map(_numpy, model.trainable_variables), *map(_numpy, model.non_trainable_variables)]


def _numpy(tensor) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(tensor))


def search(engine, task: Task | None = None, optimizer="adam", trials=3, settings=(), **changes):
    """A study of random trials without pruning, the first of them with the given settings."""
    arguments = {"sampler": "random", "pruner": "none", "seed": 5, "start": "none", **changes}
    result = TuningResult.create(
        task or small_task(),
        optimizer,
        **{"name": "study", "storage": optuna.storages.InMemoryStorage(), **arguments},
    )
    for chosen in settings:
        result.study.enqueue_trial(chosen)
    if engine is not None:
        with eagerly() if type(engine) is FitEngine else nullcontext():
            result.run(trials, engine=engine)
    return result


_kept: dict = {}
_compile = Epoch.program


def kept_program(epoch: Epoch, data):
    """Stands for `Epoch.program` where the trials are tested and not how they are compiled."""
    model = epoch.model
    shapes = [tuple(part.shape) for part in keras.tree.flatten([epoch.inputs([]), data])]
    settings = (epoch.width, epoch.form, epoch.scheduled, repr(epoch.optimizer))
    key = repr(
        (settings, shapes, model.shapes, model.task.loss, model.train_metrics, model.log_names)
    )
    if key not in _kept:
        _kept[key] = _compile(epoch, data)
    return _kept[key]


def by_seed(result) -> dict:
    """Parameters, state and curve of every trial by its seed."""
    return {
        trial.user_attrs["seed"]: (
            trial.params,
            trial.state.name,
            list(trial.intermediate_values.values()),
        )
        for trial in result.study.trials
    }


def assert_same_trials(found, expected, rtol=1e-4, atol=0.0):
    """The same parameters and states, and the same curves."""
    found, expected = by_seed(found), by_seed(expected)
    assert found.keys() == expected.keys()
    for seed, (params, state, curve) in expected.items():
        assert found[seed][:2] == (params, state)
        assert np.isfinite(curve).all()
        np.testing.assert_allclose(found[seed][2], curve, rtol=rtol, atol=atol)


def assert_same_as_fit(task=None, optimizer="adam", width=2, form=None, rtol=1e-4, **changes):
    """Returns the summary of a population's study, whose trials must be those of `FitEngine`."""
    engine = PopulationEngine(width, form)
    found = search(engine, task, optimizer, **changes)
    assert_same_trials(found, search(FitEngine(), task, optimizer, **changes), rtol=rtol)
    return engine.summary


def assert_first_same_as_fit(task, optimizer="gradient_descent", **changes):
    """As `assert_same_as_fit`, of the first of two trials that are trained side by side."""
    engine = PopulationEngine(2)
    found = by_seed(search(engine, task, optimizer, trials=2, **changes))
    ((seed, expected),) = by_seed(search(FitEngine(), task, optimizer, trials=1, **changes)).items()
    assert found[seed][:2] == expected[:2]
    np.testing.assert_allclose(found[seed][2], expected[2], rtol=1e-4)
    (other,) = (trial for number, trial in found.items() if number != seed)
    assert np.isfinite([found[seed][2], other[2]]).all()
    return engine.summary
