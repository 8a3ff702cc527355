"""Tuning: search spaces from the optimizers' fields, Optuna studies, engines that train trials."""

from keras_optim_lab.tuning.pruning_callback import PruningCallback
from keras_optim_lab.tuning.spaces.space import SearchSpace
from keras_optim_lab.tuning.spaces.suggest import search_space, suggest
from keras_optim_lab.tuning.study import TuningStudy

__all__ = ["PruningCallback", "SearchSpace", "TuningStudy", "search_space", "suggest"]
