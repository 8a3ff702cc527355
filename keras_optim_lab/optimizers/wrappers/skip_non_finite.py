from keras import ops

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.wrappers.composed import Wrapper


@register("skip_non_finite", year=2018)
class SkipNonFinite(Wrapper):
    """Leaves out every step in whose gradients any number is infinite or NaN.

        w ← w − step of `optimizer`       if all numbers of all gradients are finite, else w

    A step that is left out leaves weights, slots and the count of steps t as they were, bit for
    bit; schedules go on. One bad batch then costs one step, where it would have spoilt every weight
    for good. `skipped` says how many there were: a training that skips often is broken elsewhere.
    Keep it outermost, so that nothing else sees what it leaves out.

    When to use it:
        Where one bad batch must not end a long training: unclean data, half precision,
        reinforcement learning.

    Reference:
        `optax.apply_if_finite`, which gives up after a number of such steps in a row, and the
        dynamic loss scaling of Micikevicius et al., 2018, arXiv:1710.03740, section 3.2.

    Relation to Keras:
        `keras.optimizers.LossScaleOptimizer` skips such steps too, and scales the loss.
    """

    shared = ("skipped",)
    rule_decays = True

    @property
    def skipped(self) -> int:
        """How many steps have been left out."""
        if not self.built:
            return 0
        counts = (cohort.shared[f"{self.own}.skipped"] for cohort in self._cohorts)
        return max(int(ops.convert_to_numpy(count)) for count in counts)

    @property
    def surveys(self):
        return True

    def prepare(self, shared, h):
        before = {f"{self.own}.before.{name}": value for name, value in shared.items()}
        shared, h = super().prepare(shared, h.at(h.t - shared[f"{self.own}.skipped"]))
        return shared, h(**before)

    def look(self, shared, h, gradients, weights, slots, parts):
        every = [ops.all(ops.isfinite(g)) for g in gradients]
        finite = ops.all(ops.stack(every))
        shared, h = super().look(shared, h, gradients, weights, slots, parts)
        before = h.within(f"{self.own}.before")
        count = f"{self.own}.skipped"
        new = {name: ops.where(finite, value, before[name]) for name, value in shared.items()}
        new[count] = before[count] + ops.where(finite, 0.0, 1.0)
        return shared(**new), h(**{f"{self.own}.finite": finite})

    def rule(self, g, w, slot, h):
        finite = h[f"{self.own}.finite"]
        if not self.optimizer.elementwise:  # matrices of NaN have no eigenvectors to be sought
            g = ops.where(finite, g, ops.zeros_like(g))
        step, new = self.optimizer.decayed_rule(g, w, slot, h)
        kept = {name: ops.where(finite, value, slot[name]) for name, value in new.items()}
        return ops.where(finite, step, ops.zeros_like(step)), new(**kept)
