from keras import ops

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.ranges import LOOKAHEAD_SHARE
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, count, nonnegative
from keras_optim_lab.optimizers.shell.slots import Slot
from keras_optim_lab.optimizers.wrappers.composed import Wrapper


@register("lookahead", year=2019)
class Lookahead(Wrapper):
    """Every k steps, goes back a part of the way: slow weights follow the fast ones.

        w ← one step of `optimizer`
        in every k-th step:   φ ← φ + α (w − φ),   w ← φ

    φ begins at the first weights. The fast weights explore, the slow ones average out what leads
    to and fro; rates too large for `optimizer` alone are often right here. Slots of `optimizer`
    are kept when the weights go back.

    When to use it:
        Around an optimizer whose loss is noisy, or whose rate is on the large side: it steadies
        both for one slot more. Under a schedule that ends near zero it has little to add.

    Reference:
        Zhang, Lucas, Hinton & Ba, 2019, arXiv:1907.08610, Algorithm 1.

    Relation to others:
        `optax.lookahead(optimizer, k, α)`, whose fast weights are these, with `reset_state=False`.
    """

    steps: int = count(default=5, doc="k ≥ 1, steps from one return to the next.")
    share: Hyperparameter = nonnegative(
        default=0.5, search=LOOKAHEAD_SHARE, doc="α, the part of the way that is kept."
    )

    slots = (Slot("slow", low_precision=False),)
    rule_decays = True

    def _compose(self, values):
        super()._compose(values)
        self._refuse_averages()

    def rule(self, g, w, slot, h):
        own = h.within(self.own)
        start = ops.where(h.t < 2.0, w, slot[f"{self.own}.slow"])
        step, slot = self.optimizer.decayed_rule(g, w, slot, h)
        returns = ops.equal(ops.mod(h.t, float(self.steps)), 0.0)
        slow = ops.where(returns, start + own.share * (w - step - start), start)
        return ops.where(returns, w - slow, step), slot(**{f"{self.own}.slow": slow})
