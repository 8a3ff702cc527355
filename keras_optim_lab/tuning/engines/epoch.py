"""An epoch of a population as one compiled program."""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.curvature.optimizer import CurvatureOptimizer
from keras_optim_lab.curvature.sam import SAM
from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.optimizers.shell.field_kinds import Constant
from keras_optim_lab.optimizers.shell.numeric import Rate
from keras_optim_lab.optimizers.shell.slots import Place
from keras_optim_lab.optimizers.shell.step import Step
from keras_optim_lab.optimizers.shell.whole_step import WholeStep
from keras_optim_lab.schedules import DECAYS, factor
from keras_optim_lab.tasks.splits import Fold
from keras_optim_lab.tuning.engines.batches import Batches, in_order, in_turn, taken
from keras_optim_lab.tuning.engines.inputs import Inputs, RowEpoch
from keras_optim_lab.tuning.engines.loss_step import LossStep
from keras_optim_lab.tuning.engines.own_step import OwnStep
from keras_optim_lab.tuning.engines.pure_model import PureModel, joined
from keras_optim_lab.tuning.spaces.configuration import Configuration

Form = Literal["vectorized", "looped"]
State = dict[str, Any]


class Epoch:
    """All steps of an epoch and the validation pass, for `width` rows of one optimizer.

    A row's state is a dict: `weights`, `others` (averages of batch normalization, seeds of
    dropout), `optimizer` (steps taken and slots) and the row's `seed`; where an epoch comes in
    parts, also the `metrics` so far.

    Args:
        model: what is trained.
        optimizer: gives the rule; its hyperparameters stand for those that a row leaves out.
        width: how many rows one call trains.
        form: all rows in one vectorized step, or one row after the other.
        batch_size: samples per step; the task's own by default.
        scheduled: whether learning rates have schedules.
        folds: how many folds the data of every row are parted into; None if they are not.
        steps: of an epoch that comes in parts; None where it comes at once.
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
        batch_size: int | None = None,
        folds: int | None = None,
        steps: int | None = None,
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
            **{name: field.config(optimizer) for name, field in optimizer.numeric.items()},
            **self._optimizer_step.numbers,
        }
        self.batch_size = batch_size or model.task.batch_size
        # All rows take as many samples as this one.
        self._some = RowEpoch(
            Configuration("", {}), 0, 0, None if folds is None else Fold(0, folds)
        )
        self._steps = steps or -(-len(self._order(self._some)) // self.batch_size)
        self._in_parts = steps is not None
        rows = backend.rows()
        self._update_rows = (
            self._vectorized_update(runs) if self._vectorized else rows.repeated(self._update)
        )

    def program(self, data: Any) -> Any:
        """The compiled program: (state, inputs, data) -> (state, logs).

        Args:
            data: for training and for validation; () for one of them in a part of an epoch.

        Raises:
            Exception: of the backend, where the rows cannot be trained in this form.
        """
        function = self._epoch if self._vectorized else self._row_by_row
        rows = backend.rows()
        inputs = self.inputs([], data)
        if not rows.COMPILES:
            inputs, data = self._one_step(inputs, data)
        return rows.Program(function, self.empty(), inputs, data)

    def _one_step(self, inputs: Inputs, data: Any) -> tuple[Inputs, Any]:
        """Inputs for all rows to take one step with each size of batch, and the data for it."""

        def first(batches: Batches) -> Batches:
            whole = batches.whole
            return batches._replace(whole=whole[:1] if self._vectorized else whole[:, :1])

        inputs = inputs._replace(active=ops.ones_like(inputs.active), train=first(inputs.train))
        train, validation = data
        if inputs.validation:
            return inputs._replace(validation=first(inputs.validation)), data
        if not validation:
            return inputs, data
        size = self.model.validation_batch
        samples = keras.tree.flatten(validation)[0].shape[0]
        used = min(samples, size + samples % size)
        return inputs, (train, keras.tree.map_structure(lambda array: array[:used], validation))

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
            "optimizer": self._first_of_optimizer if own else _first_state(step),
            "seed": np.int32(seed % 2**31),
            **({"metrics": [*map(np.asarray, self.model.first_metrics)]} if self._in_parts else {}),
        }

    @cached_property
    def _first_of_optimizer(self) -> Any:
        return _first_state(self._optimizer_step)

    def _step_of(self, optimizer: Optimizer) -> WholeStep | LossStep | OwnStep:
        model = self.model
        if model.has_own_step:
            return OwnStep(model, optimizer)
        if isinstance(optimizer, CurvatureOptimizer):
            optimizer.find(model.weights, model.model)
            return LossStep(model, optimizer)
        scale = None if optimizer.needs_objective else model.scale
        places, dtypes = model.places, [weight.dtype for weight in model.weights]
        if self._joins:
            step = Step(optimizer, [Place("", (model.numbers,))], dtypes[:1])
            sizes = [math.prod(shape) for shape in model.shapes]
            return WholeStep(optimizer, step, dynamic=scale, joined=sizes)
        optimizer.find(model.weights, model.model)
        step = Step(optimizer, places, dtypes, decays=[*map(optimizer.decays, places)])
        return WholeStep(optimizer, step, dynamic=scale, constrained=model.constrained)

    def starts_differ(self, configuration: Configuration) -> bool:
        """Whether the configuration sets what slots begin with, so that not all begin alike."""
        fields, chosen = configuration.template.fields, configuration.hyperparameters
        slots = [*self.optimizer.active_slots, *self.optimizer.shared_slots]
        given = {slot.initial for slot in slots}
        return any(isinstance(fields[name], Constant) or name in given for name in chosen)

    def empty(self) -> State:
        """The stacked state of rows that do not train."""
        row = self.first_state(0, self.optimizer)
        return keras.tree.map_structure(
            lambda value: ops.convert_to_tensor(np.zeros((self.width, *value.shape), value.dtype)),
            row,
        )

    def inputs(self, wanted: Sequence[RowEpoch | None], data: Any = ()) -> Inputs:
        """The inputs for what each row is wanted to do; one that is wanted for nothing stays.

        Args:
            wanted: of each row.
            data: those of the part, where an epoch comes in parts.
        """
        wanted = [*wanted, *[None] * (self.width - len(wanted))]
        some = next(filter(None, wanted), self._some)
        full = [row or some for row in wanted]  # an idle row's numbers are as good as any
        held = {
            name: np.array([self._held(name, row.configuration) for row in full], "float32")
            for name in self._numbers
        }
        schedule = {}
        if self.scheduled:
            chosen = [row.configuration for row in full]
            schedule = {
                "steps": np.array([self._steps * self.epochs_of(c) for c in chosen], "float32"),
                "warmup": np.array([c.recipe.warmup for c in chosen], "float32"),
                "decay": np.array([DECAYS.index(c.recipe.schedule) for c in chosen], "int32"),
            }
        return keras.tree.map_structure(
            ops.convert_to_tensor,
            Inputs(
                active=np.array([row is not None for row in wanted]),
                train=self._batches(self._orders(full, data)),
                validation=self._held_out(full),
                held=held,
                schedule=schedule,
            ),
        )

    def epochs_of(self, configuration: Configuration) -> int:
        """How many epochs a row of this configuration is trained."""
        return configuration.recipe.epochs or self.model.task.epochs

    def _orders(self, rows: Sequence[RowEpoch], data: Any) -> list[np.ndarray]:
        if not self._in_parts:
            return [*map(self._order, rows)]
        train = keras.tree.flatten(data[0])
        return [np.arange(train[0].shape[0] if train else 0)] * len(rows)

    def _order(self, row: RowEpoch) -> np.ndarray:
        task = self.model.task
        if row.fold is None:
            return task.order(row.seed, row.epoch)
        return task.folds.order(row.fold, row.seed, row.epoch)

    def _held_out(self, rows: Sequence[RowEpoch]) -> Batches | tuple[()]:
        folds = [row.fold for row in rows if row.fold is not None]
        return self._batches(list(map(self.model.task.folds.held_out, folds))) if folds else ()

    def _batches(self, samples: Sequence[np.ndarray]) -> Batches:
        indices = np.stack(samples).astype("int32")
        size = self.batch_size
        end = indices.shape[1] // size * size
        whole = indices[:, :end].reshape(self.width, -1, size)
        return Batches(whole.swapaxes(0, 1) if self._vectorized else whole, indices[:, end:])

    @property
    def _numbers(self) -> list[str]:
        return [name for name in self._defaults if self._held(name, None) is not None]

    def _held(self, name: str, configuration: Configuration | None) -> float | None:
        given = {} if configuration is None else configuration.hyperparameters
        number = given.get(name, self._defaults[name])
        field = self.optimizer.numeric.get(name)
        return number if number is None or field is None else field.to_held(number)

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
        names = names if data[1] else []
        return rows.map_rows(one, names)(state, inputs)

    def _epoch(self, state: State, inputs: Inputs, data: Any):
        train, validation = data
        state = dict(state)
        metrics = state.pop("metrics") if self._in_parts else self._first_metrics()
        if train:
            state, metrics = self._trained(state, metrics, inputs, train)
        if not validation:
            return {**state, "metrics": metrics}, {}
        logs = self._logs(metrics, self._train_logs)
        for name, value in self._validation(state, inputs, validation).items():
            logs[f"val_{name}"] = value
        if self._in_parts:
            state["metrics"] = self._first_metrics()
        return state, logs

    def _trained(self, state: State, metrics: list[Any], inputs: Inputs, train: Any):
        gradient = self.model.row_gradients if self._vectorized else self.model.gradient

        def by_gradient(indices, carry):
            state, metrics = carry
            weights, optimizer = state["weights"], state["optimizer"]
            batch = taken(train, indices)

            def at(weights):
                return gradient(
                    *(weights, state["others"], metrics, state["seed"], optimizer.step),
                    *(self._loss_scale(optimizer, inputs.held), batch),
                )

            gradients, (others, after) = at(weights)
            if isinstance(self.optimizer, SAM):
                worst = self._each(self.optimizer.worst_weights)
                gradients, _ = at(worst(weights, gradients, inputs.held))
            weights, optimizer = self._update_rows(
                weights, gradients, optimizer, inputs.held, inputs.schedule
            )
            return {**state, "weights": weights, "others": others, "optimizer": optimizer}, after

        def by_loss(indices, carry):
            state, metrics = carry
            held = self._held_now(inputs.held, inputs.schedule, state["optimizer"].step)
            assert not isinstance(own, WholeStep)
            return own(state, metrics, held, taken(train, indices))

        own = self._optimizer_step
        step = by_gradient if isinstance(own, WholeStep) else by_loss
        return in_turn(inputs.train, step, (state, metrics))

    def _loss_scale(self, optimizer: Any, held: dict[str, Any]) -> tuple[Any, ...]:
        """The factor on the loss, if there is one."""
        scale = self._optimizer_step.loss_scale(optimizer, held)
        return () if scale is None else (scale,)

    def _vectorized_update(self, runs: int):
        rows = backend.rows()
        update = self._update_joined if self._joins else rows.vmap(self._update)
        # A rule that branches is not compiled: PyTorch would try for a minute, and give up.
        steps = float(runs) * self._steps * self.model.task.epochs
        worth = 0.0 if self.optimizer.branches else steps * self.model.numbers
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
        held, own = self._held_now(held, schedule, optimizer.step), self._optimizer_step
        assert isinstance(own, WholeStep)
        return own(weights, gradients, optimizer, held)

    def _held_now(self, held, schedule, step) -> dict[str, Any]:
        """All hyperparameters at a step."""
        held = {**dict.fromkeys(self.optimizer.numeric), **held}
        if self.scheduled:
            share = factor(step, **schedule)
            held |= {name: held[name] * share for name in self._rates}
        return held

    def _validation(self, state: State, inputs: Inputs, data: Any):
        weights = self._each(self._shown)(state["weights"], state["optimizer"], inputs.held)
        validated = self.model.validated_row
        if self._vectorized:
            validated = self.model.validated_rows[not inputs.validation]

        def on(batch, metrics):
            return validated(weights, state["others"], metrics, batch)

        def on_own(indices, metrics):
            return on(taken(data, indices), metrics)

        metrics = self._first_metrics()
        if inputs.validation:
            metrics = in_turn(inputs.validation, on_own, metrics)
        else:
            metrics = in_order(data, self.model.validation_batch, on, metrics)
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


def _first_state(step: WholeStep | LossStep | OwnStep) -> Any:
    return keras.tree.map_structure(ops.convert_to_numpy, step.first_state())
