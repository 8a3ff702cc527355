"""An epoch of a population as one compiled program."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.optimizers.shell.field_kinds import Constant
from keras_optim_lab.optimizers.shell.numeric import Rate
from keras_optim_lab.optimizers.shell.slots import Place
from keras_optim_lab.optimizers.shell.step import Step
from keras_optim_lab.schedules import DECAYS, factor
from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning.engines.pure_model import PureModel, joined
from keras_optim_lab.tuning.spaces.configuration import Configuration

Form = Literal["vectorized", "looped"]
State = dict[str, Any]


class Inputs(NamedTuple):
    """What comes into an epoch for each row; the rows are the first axis of every array.

    Attributes:
        active: whether it trains at all.
        batches: indices of the samples of every whole batch, (rows, steps, batch size); in the
            vectorized form (steps, rows, batch size).
        rest: indices of the samples of the last, smaller batch; perhaps none.
        held: every numeric hyperparameter as its variable would hold it.
        schedule: `steps`, `warmup` and `decay` of its learning rate, where these are searched.
    """

    active: Any
    batches: Any
    rest: Any
    held: dict[str, Any]
    schedule: dict[str, Any]


class RowEpoch(NamedTuple):
    """What one row is to do: train a configuration with a seed, in its epoch 0, 1, …"""

    configuration: Configuration
    seed: int
    epoch: int


class Epoch:
    """All steps of an epoch and the validation pass, for `width` rows of one optimizer.

    A row's state is a dict: `weights`, `others` (averages of batch normalization, seeds of
    dropout), `optimizer` (steps taken and slots) and the row's `seed`.

    Args:
        model: what is trained.
        optimizer: gives the rule; its hyperparameters stand for those that a row leaves out.
        width: how many rows one call trains.
        form: all rows in one vectorized step, or one row after the other.
        scheduled: whether learning rates have schedules.
        runs: how many rows are trained in the end; what pays for itself depends on it.
    """

    def __init__(
        self,
        model: PureModel,
        optimizer: Optimizer,
        *,
        width: int,
        form: Form,
        scheduled: bool,
        runs: int = 0,
    ):
        self.model = model
        self.optimizer = optimizer
        self.width = width
        self.form = form
        self.scheduled = scheduled
        self._vectorized = form == "vectorized"
        self._joins = model.joins(optimizer)
        self._optimizer_step = self._step_of(optimizer)
        self._defaults = {
            name: field.config(optimizer) for name, field in optimizer.numeric.items()
        }
        samples = len(model.task.order(0))
        self._steps = model.task.training_steps or 0
        self._whole = samples - samples % model.task.batch_size
        self._update_rows = self._vectorized_update(runs) if self._vectorized else self._update

    def program(self, data: Any) -> Any:
        """The compiled program: (state, inputs, data) -> (state, logs).

        Raises:
            Exception: of the backend, where the rows cannot be trained in this form.
        """
        function = self._epoch if self._vectorized else self._row_by_row
        rows = backend.rows()
        inputs = self.inputs([])
        if not rows.COMPILES:
            inputs, data = self._one_step(inputs, data)
        return rows.Program(function, self.empty(), inputs, data)

    def _one_step(self, inputs: Inputs, data: Any) -> tuple[Inputs, Any]:
        """Inputs for all rows to take one step with each size of batch, and the data for it."""
        train, validation = data
        size = self.model.task.batch_size
        samples = keras.tree.flatten(validation)[0].shape[0]
        used = min(samples, size + samples % size)
        return (
            inputs._replace(
                active=ops.ones_like(inputs.active),
                batches=inputs.batches[:1] if self._vectorized else inputs.batches[:, :1],
            ),
            (train, keras.tree.map_structure(lambda array: array[:used], validation)),
        )

    # What goes in, as arrays.

    def first_state(self, seed: int, optimizer: Optimizer) -> State:
        """The state of one row before its first step; weights are drawn from `seed`."""
        optimizer.check_places(self.model.places, self.model.other_places)
        weights, others = self.model.first_values(seed)
        if self._joins:
            weights = joined(weights)
        own = optimizer is self.optimizer
        step = self._optimizer_step if own else self._step_of(optimizer)
        return {
            "weights": weights,
            "others": others,
            "optimizer": keras.tree.map_structure(ops.convert_to_numpy, step.first_state()),
            "seed": np.int32(seed % 2**31),
        }

    def _step_of(self, optimizer: Optimizer) -> Step:
        places, dtypes = self.model.places, [weight.dtype for weight in self.model.weights]
        if self._joins:
            places, dtypes = [Place("", (self.model.numbers,))], dtypes[:1]
        return Step(optimizer, places, dtypes)

    def starts_differ(self, configuration: Configuration) -> bool:
        """Whether the configuration sets what slots begin with, so that not all begin alike."""
        fields = configuration.template.fields
        return any(isinstance(fields[name], Constant) for name in configuration.hyperparameters)

    def empty(self) -> State:
        """The stacked state of rows that do not train."""
        row = self.first_state(0, self.optimizer)
        return keras.tree.map_structure(
            lambda value: ops.zeros((self.width, *value.shape), value.dtype), row
        )

    def inputs(self, wanted: Sequence[RowEpoch | None]) -> Inputs:
        """The inputs for what each row is wanted to do; one that is wanted for nothing stays."""
        wanted = [*wanted, *[None] * (self.width - len(wanted))]
        some = next(
            (row for row in wanted if row),
            RowEpoch(Configuration("", {}), 0, 0),
        )
        full = [row or some for row in wanted]  # an idle row's numbers are as good as any
        task = self.model.task
        indices = np.stack([task.order(row.seed, row.epoch) for row in full]).astype("int32")
        batches = indices[:, : self._whole].reshape(self.width, -1, task.batch_size)
        held = {
            name: np.array([self._held(name, row.configuration) for row in full], "float32")
            for name in self._numbers
        }
        schedule = {}
        if self.scheduled:
            chosen = [row.configuration for row in full]
            schedule = {
                "steps": np.full(self.width, self._steps, "float32"),
                "warmup": np.array([each.warmup for each in chosen], "float32"),
                "decay": np.array([DECAYS.index(each.decay) for each in chosen], "int32"),
            }
        return keras.tree.map_structure(
            ops.convert_to_tensor,
            Inputs(
                active=np.array([row is not None for row in wanted]),
                batches=batches.swapaxes(0, 1) if self._vectorized else batches,
                rest=indices[:, self._whole :],
                held=held,
                schedule=schedule,
            ),
        )

    @property
    def _numbers(self) -> list[str]:
        return [name for name in self.optimizer.numeric if self._held(name, None) is not None]

    def _held(self, name: str, configuration: Configuration | None) -> float | None:
        given = {} if configuration is None else configuration.hyperparameters
        number = given.get(name, self._defaults[name])
        return None if number is None else self.optimizer.numeric[name].to_held(number)

    # The program: pure functions of tensors.

    def _row_by_row(self, state: State, inputs: Inputs, data: Any):
        def one(state: State, inputs: Inputs):
            return rows.cond(
                inputs.active, lambda state: self._epoch(state, inputs, data), idle, state
            )

        def idle(state: State):
            return state, {name: ops.full((), np.nan, "float32") for name in names}

        rows = backend.rows()
        names = [*self._train_logs, *(f"val_{name}" for name in self.model.log_names)]
        return rows.map_rows(one, names)(state, inputs)

    def _epoch(self, state: State, inputs: Inputs, data: Any):
        train, validation = data
        gradient = self.model.row_gradients if self._vectorized else self.model.gradient

        def step(indices, carry):
            state, metrics = carry
            weights, optimizer = state["weights"], state["optimizer"]
            gradients, (others, metrics) = gradient(
                *(weights, state["others"], metrics, state["seed"], optimizer.step),
                _taken(train, indices),
            )
            weights, optimizer = self._update_rows(
                weights, gradients, optimizer, inputs.held, inputs.schedule
            )
            return {**state, "weights": weights, "others": others, "optimizer": optimizer}, metrics

        carry = state, self._first_metrics()
        # Programs hold the body of no round too, and cannot take a batch where there is none.
        if count := inputs.batches.shape[0]:
            carry = backend.rows().fori_loop(
                count, lambda i, carry: step(inputs.batches[i], carry), carry
            )
        if inputs.rest.shape[-1]:
            carry = step(inputs.rest, carry)
        state, metrics = carry
        logs = self._logs(metrics, self._train_logs)
        for name, value in self._validation(state, inputs, validation).items():
            logs[f"val_{name}"] = value
        return state, logs

    def _vectorized_update(self, runs: int):
        rows = backend.rows()
        update = self._update_joined if self._joins else rows.vmap(self._update)
        # A rule that branches is not compiled: PyTorch would try for a minute, and give up.
        worth = 0.0 if self.optimizer.branches else float(runs) * self._steps * self.model.numbers
        return rows.update_rows(update, worth)

    def _update_joined(self, weights, gradients, optimizer, held, schedule):
        """All rows at once by broadcasting: a row is one vector and its scalars one column."""

        def column(tree):
            return keras.tree.map_structure(lambda scalars: scalars[:, None], tree)

        state = optimizer._replace(step=column(optimizer.step), shared=column(optimizer.shared))
        weights, state = self._update(weights, gradients, state, column(held), column(schedule))
        shared = keras.tree.map_structure(lambda scalars: scalars[:, 0], state.shared)
        return weights, state._replace(step=state.step[:, 0], shared=shared)

    def _update(self, weights, gradients, optimizer, held, schedule):
        held = {**dict.fromkeys(self.optimizer.numeric), **held}
        if self.scheduled:
            share = factor(optimizer.step, **schedule)
            for name in self._rates:
                held[name] = held[name] * share
        weights, optimizer = self._optimizer_step(weights, gradients, optimizer, held)
        return self.model.constrained(weights), optimizer

    def _validation(self, state: State, inputs: Inputs, data: Any):
        weights = self._each(self._shown)(state["weights"], state["optimizer"], inputs.held)
        size = self.model.task.batch_size
        samples = keras.tree.flatten(data)[0].shape[0]
        whole = samples // size

        def more(batch, metrics):
            return self._each(
                lambda weights, others, metrics: self.model.validated(
                    weights, others, metrics, batch
                )
            )(weights, state["others"], metrics)

        def at(i):
            return _taken(data, i * size + ops.arange(size, dtype="int32"))

        metrics = self._first_metrics()
        if whole:
            metrics = backend.rows().fori_loop(
                whole, lambda i, metrics: more(at(i), metrics), metrics
            )
        if samples % size:
            rest = keras.tree.map_structure(lambda array: array[whole * size :], data)
            metrics = more(rest, metrics)
        return self._logs(metrics, self.model.log_names)

    def _shown(self, weights, optimizer, held):
        held = {**dict.fromkeys(self.optimizer.numeric), **held}
        return self._optimizer_step.shown(weights, optimizer, held)

    def _logs(self, metrics, names: Sequence[str]) -> dict[str, Any]:
        return self._each(lambda metrics: self.model.logs(metrics, names))(metrics)

    def _each(self, function):
        return backend.rows().vmap(function) if self._vectorized else function

    def _first_metrics(self) -> list[Any]:
        rows = (self.width,) if self._vectorized else ()
        return [
            ops.broadcast_to(ops.convert_to_tensor(value), (*rows, *value.shape))
            for value in self.model.first_metrics
        ]

    @property
    def _rates(self) -> list[str]:
        return [name for name, field in self.optimizer.numeric.items() if isinstance(field, Rate)]

    @property
    def _train_logs(self) -> list[str]:
        return self.model.log_names if self.model.train_metrics else ["loss"]


def _taken(data: Any, indices: Any) -> Any:
    return keras.tree.map_structure(lambda array: backend.rows().take(array, indices), data)


def on_device(task: Task) -> Any:
    """A task's training and validation splits as tensors, for all programs of a study."""

    def tensor(array: np.ndarray):
        floating = np.issubdtype(array.dtype, np.floating)
        return ops.convert_to_tensor(array, keras.config.floatx() if floating else None)

    splits = [
        keras.utils.pack_x_y_sample_weight(*task.arrays(split)) for split in ("train", "validation")
    ]
    return tuple(keras.tree.map_structure(tensor, split) for split in splits)
