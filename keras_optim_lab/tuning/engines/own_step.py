"""A step of a row whose model has a `train_step` of its own, which is handed all state."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.optimizers.shell.step import State
from keras_optim_lab.tuning.engines.pure_model import ImpureModelError, PureModel

Tensors = list[Any]

_VARIABLES = "variables"


class OwnStep:
    """The `train_step(state, data)` of a model as it is, of which Keras on JAX asks to be pure.

    To an epoch it is what a `LossStep` is.

    Args:
        model: of the row.
        optimizer: a new one; it is built for the weights of the model, and takes the place of its
            own while a step is traced.
    """

    numbers: Mapping[str, float] = {}

    def __init__(self, model: PureModel, optimizer: Optimizer):
        optimizer.find(model.weights, model.model)
        optimizer.build(model.weights)
        self._model = model
        self._optimizer = optimizer
        places = {id(variable): i for i, variable in enumerate(optimizer.variables)}
        given = {name: id(field.given(optimizer)) for name, field in optimizer.numeric.items()}
        self._places = {name: places[key] for name, key in given.items() if key in places}

    def first_state(self) -> State:
        """The state before the first step: the values of the optimizer's variables."""
        values = [ops.convert_to_tensor(variable) for variable in self._optimizer.variables]
        return State(ops.zeros((), "int32"), {_VARIABLES: values}, {})

    def loss_scale(self, state: State, held: Mapping[str, Any]) -> None:
        """The step has its own."""

    def shown(self, weights: Sequence[Any], state: State, held: Mapping[str, Any]) -> list[Any]:
        """The weights as an evaluation is to see them."""
        return [*weights]

    def __call__(
        self, row: Mapping[str, Any], metrics: Tensors, held: Mapping[str, Any], batch: Any
    ) -> tuple[dict[str, Any], Tensors]:
        """A row's state and its metrics after one batch; the arguments are those of `LossStep`.

        Raises:
            ImpureModelError: what the step returns is not what its metrics hold.
        """
        model, state = self._model.model, row["optimizer"]
        own = [*state.slots[_VARIABLES]]
        for name, place in self._places.items():
            if held[name] is not None:
                own[place] = ops.cast(held[name], own[place].dtype)
        before, model.optimizer = model.optimizer, self._optimizer
        try:
            logs, after = model.train_step((row["weights"], row["others"], own, metrics), batch)
        finally:
            model.optimizer = before
        known = set(model.get_metrics_result())
        if set(logs) != known:
            raise ImpureModelError(
                f"its train_step returns {', '.join(sorted(logs))}, and its metrics hold "
                f"{', '.join(sorted(known))}"
            )
        weights, others, own, metrics = map(list, after)
        new = State(state.step + 1, {_VARIABLES: own}, {})
        return {**row, "weights": weights, "others": others, "optimizer": new}, metrics
