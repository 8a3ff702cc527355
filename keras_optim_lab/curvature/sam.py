from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_optim_lab.curvature.given_the_loss import GivenTheLoss
from keras_optim_lab.curvature.layout import Layout
from keras_optim_lab.curvature.objective import Objective, Point
from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.ranges import SAM_RADIUS
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, nonnegative, switch
from keras_optim_lab.optimizers.wrappers.composed import Wrapper


@register("sam", year=2020)
class SAM(GivenTheLoss, Wrapper):
    """Seeks flat minima: the gradient is that where the loss is worst within a radius.

        e = ρ g / ‖g‖,    g = ∇L(w)                 ‖·‖ over all weights
        w ← w − step of `optimizer` with the gradient ∇L(w + e)

    With `adaptive`, e = ρ w² g / ‖w g‖: the radius of each weight is in units of its size, so that
    scales which do not change what the model computes do not change the step either.

    A step costs two gradients, both on the same batch with the same dropout; averages of batch
    normalization move once. It trains a `kol.Model` or `kol.Sequential`, which can ask for the
    second one. What is around it sees nothing of that, so it goes outermost: `SAM(Lookahead(...))`.

    When to use it:
        When generalization matters more than time: images, few or noisy labels. A step costs two
        gradients, so compare it with training twice as long.

    Reference:
        Foret, Kleiner, Mobahi & Neyshabur, 2020, arXiv:2010.01412, Algorithm 1; `adaptive`: Kwon,
        Kim, Park & Choi, 2021, arXiv:2102.11600, equation 7, without the constant η.

    Relation to others:
        `optax.contrib.sam(optimizer, optax.chain(optax.contrib.normalize(), optax.sgd(ρ)),
        opaque_mode=True)`. Keras's example of SAM subclasses the model for it.
    """

    radius: Hyperparameter = nonnegative(
        default=0.05, search=SAM_RADIUS, doc="ρ ≥ 0, how far to look."
    )
    adaptive: bool = switch(default=False, doc="In units of each weight's size.")

    def _compose(self, values):
        super()._compose(values)
        if self.loss_scale_factor is not None:
            raise ValueError(
                "SAM: its gradients are not scaled, so that `loss_scale_factor` would make them "
                f"smaller. Received: loss_scale_factor={self.loss_scale_factor!r}; leave it out."
            )

    def take_step(self, objective, layout: Layout):
        weights = self._trainable_variables
        point = objective.point(layout.join([ops.convert_to_tensor(weight) for weight in weights]))
        loss = ops.copy(point.value)  # on PyTorch it may be a variable's own, assigned below
        radius = ops.cast(self.numeric[self._radius_name].current(self), layout.dtype)
        Wrapper.apply(self, layout.split(self.worst_gradient(objective, point, radius)), weights)
        return loss

    def worst_gradient(self, objective: Objective, point: Point, radius):
        """The gradient where the loss is worst, to first order, within the radius of a point."""
        return objective.value_and_gradient(self._worst(point.x, point.gradient, radius))[1]

    def worst_weights(self, weights: Sequence[Any], gradients: Sequence[Any], held) -> list[Any]:
        """The weights where the loss is worst, to first order, within the radius.

        Args:
            weights: tensors.
            gradients: of the loss there.
            held: every hyperparameter as its variable holds it.
        """
        layout = Layout([*weights])
        x, g = layout.join([*weights]), layout.join([*gradients])
        return layout.split(self._worst(x, g, ops.cast(held[self._radius_name], layout.dtype)))

    @property
    def _radius_name(self) -> str:
        return f"{self.own}.radius"

    def _worst(self, x, g, radius):
        scaled = ops.abs(x) * g if self.adaptive else g
        length = ops.sqrt(ops.sum(ops.square(scaled)))
        way = ops.abs(x) * scaled if self.adaptive else g
        factor = ops.where(length > 0.0, radius / ops.where(length > 0.0, length, 1.0), 0.0)
        return x + factor * way
