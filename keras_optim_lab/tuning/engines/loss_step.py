"""A step of a row whose optimizer is handed the loss itself, and not only its gradient."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.curvature.layout import Layout
from keras_optim_lab.curvature.optimizer import CurvatureOptimizer
from keras_optim_lab.optimizers.shell.step import State
from keras_optim_lab.tuning.engines.pure_model import PureModel, standing_for

Tensors = list[Any]


class LossStep:
    """The training step of a `kol.Model` as a pure function.

    To an epoch it is what a `WholeStep` is, but for the gradients, which it does not take.

    Args:
        model: of the row.
        optimizer: a new one; it is built for the weights of the model.
    """

    numbers: Mapping[str, float] = {}

    def __init__(self, model: PureModel, optimizer: CurvatureOptimizer):
        optimizer.build(model.weights)
        self._model = model
        self._optimizer = optimizer
        self._layout = Layout(model.weights)

    def first_state(self) -> State:
        """The state before the first step."""
        first = self._optimizer.first_state(self._layout)
        slots = {name: [ops.convert_to_tensor(value)] for name, value in first.items()}
        return State(ops.zeros((), "int32"), slots, {})

    def loss_scale(self, state: State, held: Mapping[str, Any]) -> None:
        """There is no factor on the loss."""

    def shown(self, weights: Sequence[Any], state: State, held: Mapping[str, Any]) -> list[Any]:
        """The weights as an evaluation is to see them."""
        return [*weights]

    def __call__(
        self,
        row: Mapping[str, Any],
        metrics: Tensors,
        held: Mapping[str, Any],
        batch: Any,
    ) -> tuple[dict[str, Any], Tensors]:
        """A row's state and its metrics after one batch.

        Args:
            row: `weights`, `others`, `optimizer` and `seed`; see `Epoch`.
            metrics: their state.
            held: every hyperparameter as its variable holds it.
            batch: (x, y) or (x, y, sample_weight).
        """
        model, state = self._model, row["optimizer"]
        slots = {name: slot for name, (slot,) in state.slots.items()}
        after: list[Any] = []

        def take_step(objective: Any, layout: Layout) -> Any:
            loss, *moved = self._optimizer.stepped(
                objective, layout, row["weights"], slots, held, state.step
            )
            after.extend(moved)
            return loss

        variables = [*model.weights, *model.others, *model.metrics]
        values = [*row["weights"], *row["others"], *metrics]
        precision = backend.derivatives().precision(self._layout.dtype)
        with standing_for(variables, values) as scope, precision:
            model.model.step_on(self._layout, batch, take_step, (row["seed"], state.step))
        weights, slots = after
        others, metrics = (
            [scope.get_current_value(variable) for variable in variables]
            for variables in (model.others, model.metrics)
        )
        new = State(state.step + 1, {name: [slot] for name, slot in slots.items()}, {})
        return {**row, "weights": weights, "others": others, "optimizer": new}, metrics
