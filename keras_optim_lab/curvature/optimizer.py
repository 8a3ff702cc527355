"""The shell of methods that ask the loss for more than a gradient."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.curvature.given_the_loss import GivenTheLoss
from keras_optim_lab.curvature.layout import Layout
from keras_optim_lab.curvature.objective import Objective, Point
from keras_optim_lab.curvature.step_rules import Effort
from keras_optim_lab.optimizers.shell.field_kinds import KerasArgument
from keras_optim_lab.optimizers.shell.freezing import joining, rebuild
from keras_optim_lab.optimizers.shell.numeric import DecayRate
from keras_optim_lab.optimizers.shell.optimizer import Optimizer
from keras_optim_lab.optimizers.shell.record import Record
from keras_optim_lab.optimizers.shell.slots import Place, Slot


class CurvatureOptimizer(GivenTheLoss, Optimizer, kw_only=True):
    """An optimizer over all weights as one vector, which is handed the loss itself.

    A subclass declares fields as any optimizer does. Its slots are vectors of the length of all
    weights (stacked where they have `rows`), its shared state scalars, and `advance` is the
    method. It trains a `kol.Model` or `kol.Sequential`, and minimizes functions in `kol.minimize`.
    """

    elementwise = False
    least_squares = False
    has_model = False  # whether its effort tells the whole step to the minimum of a model
    decays_weights = False
    carries: ClassVar[tuple[str, ...]] = ()

    def advance(
        self, objective: Objective, point: Point, state: Record, h: Record
    ) -> tuple[Point, Record, Effort]:
        """One step: the next point, the new state, and what it cost. Assigns nothing.

        Args:
            objective: the loss, the same in the whole step.
            point: the weights with the value and gradient there.
            state: slots and shared state by name.
            h: hyperparameters at this step, and `h.t` = 1, 2, …

        Returns:
            The next point; its value and gradient are None where the method has not needed them.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no advance")

    def start(self, objective: Objective, x, state: Record) -> Point:
        """The point that a training step begins at."""
        return objective.point(x)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            unused = isinstance(field, KerasArgument) and name not in ("name", "ema_momentum")
            unused = unused or name in ("state_dtype", "compensated", "execution")
            unused = unused or (name == "weight_decay" and not self.decays_weights)
            if unused and field.config(self) != field.default:
                raise ValueError(
                    f"{type(self).__name__}: `{name}` changes gradients or steps that this method "
                    f"relies on, so it is not supported. Received: {name}={field.config(self)!r}; "
                    "leave it out."
                )

    # State.

    def first_state(self, layout: Layout) -> Record:
        """The state before the first step, for weights of this layout."""
        backend.updates().register(Record)
        return Record(
            {
                slot.name: ops.full(shape, slot.first_value(self), dtype=layout.dtype)
                for slot, shape in self._state_shapes(layout)
            }
        )

    def check_layout(self, layout: Layout) -> None:
        """Raises a ValueError for weights that the method cannot handle, before any step."""

    def _state_shapes(self, layout: Layout) -> list[tuple[Slot, tuple[int, ...]]]:
        self.check_layout(layout)
        everything = Place("", (layout.size,))
        vectors = [
            (slot, shape)
            for slot in self.active_slots
            for shape, _ in filter(None, [slot.layout(self, everything, layout.dtype)])
        ]
        scalars: list[tuple[Slot, tuple[int, ...]]] = [
            (slot, ()) for slot in self.shared_slots if slot.exists(self)
        ]
        return vectors + scalars

    def _build_state(self, variables):
        layout = Layout(variables)
        self._state_variables = {
            slot.name: self.add_variable(
                shape=shape,
                initializer=keras.initializers.Constant(slot.first_value(self)),
                dtype=layout.dtype,
                name=slot.name,
            )
            for slot, shape in self._state_shapes(layout)
        }
        self._decays = [self._use_weight_decay(variable) for variable in variables]

    def check_weights(self, variables):
        self.check_layout(Layout(variables))

    def state_variables(self):
        return [*self._state_variables.values()]

    def _carry_over(self, variables):
        before, old = Layout(self._trainable_variables).places, self._state_variables
        stays, births = joining(self, variables)
        rebuild(self, variables, births)
        places = Layout(variables).places
        for name in self.carries:
            new = np.array(ops.convert_to_numpy(self._state_variables[name]))
            had = ops.convert_to_numpy(old[name])
            if new.ndim == 0:
                new = had
            else:
                for place, i in zip(places, stays, strict=True):
                    if i is not None:
                        new[..., place] = had[..., before[i]]
            self._state_variables[name].assign(new)

    def _of_each(self, h: Record, held: Mapping[str, Any], layout: Layout) -> Record:
        """Hyperparameters that know of every weight how many steps it has taken."""
        if not any(self._births):
            return h
        t = h.t - layout.filled(self._births)
        decays = {n: f for n, f in self.numeric.items() if isinstance(f, DecayRate)}
        return h(**{n: f.in_rule(ops.cast(held[n], t.dtype), t) for n, f in decays.items()})

    def decay(self, point: Point, h: Record, layout: Layout | None):
        """What decoupled weight decay subtracts, η λ w; nothing from weights that are excluded."""
        if h.weight_decay is None:
            return 0.0
        decayed = h.learning_rate * h.weight_decay * point.x
        if self.built and layout is not None and not all(self._decays):
            return decayed * layout.filled(self._decays)
        return decayed

    # A step of a model.

    def take_step(self, objective: Objective, layout: Layout):
        weights = self._trainable_variables
        state = {n: ops.convert_to_tensor(v) for n, v in self._state_variables.items()}
        held = self.held(self._iterations)
        values = [ops.convert_to_tensor(weight) for weight in weights]
        loss, values, state = self.stepped(objective, layout, values, state, held, self.iterations)
        for weight, value in zip(weights, values, strict=True):
            weight.assign(value)
        for name, variable in self._state_variables.items():
            variable.assign(state[name])
        self._iterations.assign_add(1)
        return loss

    def stepped(
        self,
        objective: Objective,
        layout: Layout,
        weights: Sequence[Any],
        state: Mapping[str, Any],
        held: Mapping[str, Any],
        count: Any,
    ) -> tuple[Any, list[Any], dict[str, Any]]:
        """One step of the weights that it was built for. Assigns nothing.

        Args:
            objective: the loss of a batch.
            layout: of the weights in the objective's vector.
            weights: tensors.
            state: slots and shared state by name.
            held: every hyperparameter as its variable holds it.
            count: steps that were taken.

        Returns:
            The loss before the step, and weights and state after it.
        """
        h = self._of_each(self.scalars(held, count).cast(layout.dtype), held, layout)
        point = self.start(objective, layout.join([*weights]), Record(state))
        loss = ops.copy(point.value)  # on PyTorch it may be a weight's own, which is changed
        after, new_state, _ = self.advance(objective, point, Record(state), h)
        values = [
            value if weight.constraint is None else weight.constraint(value)
            for weight, value in zip(self._trainable_variables, layout.split(after.x), strict=True)
        ]
        return loss, values, dict(new_state)
