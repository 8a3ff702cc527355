"""Tasks: the data, model, loss, batch size and epochs that an optimizer is tried on.

task = tasks.get("digits-mlp")
model = task.build("adam", seed=0)
task.fit(model, seed=0)
task.evaluate(model, "test")
"""

from keras_optim_lab.tasks.catalogue import describe, get, names
from keras_optim_lab.tasks.task import Task

__all__ = ["Task", "describe", "get", "names"]
