"""Wrappers: optimizers around one other."""

from keras_optim_lab.optimizers.wrappers.adaptive_clipping import AdaptiveClipping
from keras_optim_lab.optimizers.wrappers.cautious import Cautious
from keras_optim_lab.optimizers.wrappers.centralized_gradients import CentralizedGradients
from keras_optim_lab.optimizers.wrappers.layerwise_decay import LayerwiseDecay, layerwise
from keras_optim_lab.optimizers.wrappers.lookahead import Lookahead
from keras_optim_lab.optimizers.wrappers.skip_non_finite import SkipNonFinite

__all__ = [
    "AdaptiveClipping",
    "Cautious",
    "CentralizedGradients",
    "LayerwiseDecay",
    "Lookahead",
    "SkipNonFinite",
    "layerwise",
]
