from typing import Any, cast

from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.rules.ranges import LAYERWISE_DECAY
from keras_optim_lab.optimizers.shell.fields import Hyperparameter, nonnegative
from keras_optim_lab.optimizers.shell.optimizer import Optimizer
from keras_optim_lab.optimizers.wrappers.composed import Wrapper


@register("layerwise_decay", year=2018)
class LayerwiseDecay(Wrapper):
    """Learning rates that fall from the output of a model to its input.

        w ← w − step of `optimizer` at the rate η · decayᵈ       d = 0 for the layer at the output

    In a trained model the layers near the input are the most general and need the least change.

    A layer is what stands right below the model: in `model/block_3/attention/query/kernel` it is
    `block_3`, with all inside of it. Layers are counted in the order in which the model lists its
    weights, the last one is at the output. A layer whose weights are all frozen does not count.

    When to use it:
        To fine-tune a pretrained model, transformers above all. Not to train from scratch, where
        the first layers have as much to learn.

    Reference:
        Howard & Ruder, 2018, arXiv:1801.06146, section 3.2, "discriminative fine-tuning", with one
        factor 1 / 2.6 from layer to layer; 0.65 to 0.95 are usual for transformers.

    Relation to Keras:
        Keras has one rate for all layers. Rates that follow no such rule are groups: `kol.groups`.
    """

    decay: Hyperparameter = nonnegative(
        default=0.9, search=LAYERWISE_DECAY, doc="η of a layer as a share of the next."
    )

    rule_decays = True
    by_path = True

    def parts(self, places):
        inner = self.optimizer.parts(places)
        return [(d, *part) for d, part in zip(depths([p.path for p in places]), inner, strict=True)]

    def rule(self, g, w, slot, h):
        depth, *part = h.part
        h = self.optimizer.at_rate(h, h.within(self.own).decay ** float(depth))
        return self.optimizer.decayed_rule(g, w, slot, h(part=tuple(part)))


def layerwise(optimizer: Optimizer | str, decay: float = 0.9, **arguments: Any) -> LayerwiseDecay:
    """The optimizer with learning rates that fall from the output to the input.

        model.compile(optimizer=kol.layerwise(kol.AdamW(1e-4), decay=0.8), loss="mse")

    Args:
        optimizer, decay, **arguments: as in `LayerwiseDecay`.

    Returns:
        A `LayerwiseDecay` around the optimizer.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """
    return LayerwiseDecay(cast(Optimizer, optimizer), decay, **arguments)


def depths(paths: list[str]) -> list[int]:
    """How many layers lie between each weight's and the output."""
    layers = [path.split("/")[:-1] or [path] for path in paths]
    common, shortest = 0, min(map(len, layers), default=1)
    while common + 1 < shortest and len({layer[common] for layer in layers}) == 1:
        common += 1
    order = {layer[common]: None for layer in layers}
    count = {name: len(order) - 1 - i for i, name in enumerate(order)}
    return [count[layer[common]] for layer in layers]
