"""What optimizers have in common that are handed the loss itself by a `kol.Model`."""

from collections.abc import Callable
from typing import Any

import keras

from keras_optim_lab.curvature.layout import Layout
from keras_optim_lab.curvature.objective import Objective


class GivenTheLoss:
    """Stands before an optimizer that only `kol.Model` and `kol.minimize` can train."""

    needs_objective = True
    take_over: Callable[[Any], None]

    def take_step(self, objective: Objective, layout: Layout) -> Any:
        """Moves the weights that the optimizer was built for; returns the loss before.

        Args:
            objective: the loss of a batch.
            layout: of the weights in the objective's vector.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no take_step")

    # What Keras calls where there is no objective.

    def apply(self, grads, trainable_variables=None):
        self._refuse_gradients()

    def stateless_apply(self, optimizer_variables, grads, trainable_variables):
        self._refuse_gradients()

    def check_model(self, model: keras.Model) -> None:
        """Raises the TypeError of a first step for a model that hands out gradients only."""
        if not hasattr(model, "_curvature_step"):
            self._refuse_gradients()

    def _refuse_gradients(self) -> Any:
        raise TypeError(
            f"{type(self).__name__} needs the loss itself, and keras.Model hands optimizers "
            "gradients only. Change the line that creates the model: "
            "keras.Model(inputs, outputs) to kol.Model(inputs, outputs), "
            "keras.Sequential([...]) to kol.Sequential([...]), and the base of a class of your own "
            "from keras.Model to kol.Model."
        )
