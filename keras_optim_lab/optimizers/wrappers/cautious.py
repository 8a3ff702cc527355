from keras import ops

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.wrappers.composed import Wrapper


@register("cautious", year=2024)
class Cautious(Wrapper):
    """Takes a step only in those numbers whose gradient agrees with it.

        s = step of `optimizer`,    a = 1 where s g > 0, else 0
        w ← w − s a / max(mean a, 10⁻³)                     the mean is over one weight

    Momentum carries on against a gradient that has turned; there the loss would rise, and the step
    waits. What is left is made longer by as much as is left out. Weight decay is not held back.

    When to use it:
        Around methods with momentum, at the rate that they have: it costs no state and seldom
        harms. What it gains is more certain with a rate tuned for it.

    Reference:
        Liang et al., 2024, arXiv:2411.16085, with the mean and the bound 10⁻³ of the authors' code.

    Relation to others:
        `pytorch_optimizer`'s `cautious=True` divides by (n + 1) / size, where n numbers agree: half
        the step for a single number, and the same for a large matrix.
    """

    elementwise = False

    def _compose(self, values):
        super()._compose(values)
        self._refuse_averages()

    def rule(self, g, w, slot, h):
        step, slot = self.optimizer.rule(g, w, slot, h)
        agrees = ops.cast(step * g > 0.0, step.dtype)
        share = ops.mean(agrees, axis=tuple(range(1, agrees.ndim)), keepdims=True)
        return step * agrees / ops.maximum(share, 1e-3), slot
