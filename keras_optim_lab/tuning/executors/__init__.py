"""Executors: engines that train a study's trials in other processes, here or on other machines."""

from keras_optim_lab.tuning.executors.executor import Executor
from keras_optim_lab.tuning.executors.processes import Processes
from keras_optim_lab.tuning.executors.ray_actors import Ray

__all__ = ["Executor", "Processes", "Ray"]
