"""A task that trains in a moment, and an engine that needs no training at all."""

import math

import keras
import numpy as np

from keras_optim_lab.tasks import Task


def small_model() -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((3,)), layers.Dense(4, activation="tanh"), layers.Dense(1)]
    )


def small_task(**changes) -> Task:
    """A regression on 24 samples for two epochs."""
    rng = np.random.default_rng(0)

    def split(samples):
        x = rng.normal(size=(samples, 3)).astype("float32")
        return x, x @ np.array([[1.0], [-2.0], [0.5]], "float32")

    arguments = {
        "model": small_model,
        "train": split(24),
        "validation": split(8),
        "test": split(8),
        "loss": "mean_squared_error",
        "metrics": ["mae"],
        "batch_size": 8,
        "epochs": 2,
        "name": "small",
    }
    return Task(**{**arguments, **changes})


def decades_from_optimum(settings) -> float:
    """A loss whose optimum is η = 0.01: 1 more for every decade away from it."""
    return 1.0 + abs(math.log10(settings["learning_rate"]) + 2)


class Formula:
    """An engine that computes what an epoch's logs hold from the settings.

    Args:
        loss: a function of all hyperparameters, and of the schedule and the warm-up if chosen.
        logs: a function of (loss, epoch) that returns the logs.
    """

    name = "formula"

    def __init__(self, loss=decades_from_optimum, logs=None):
        self.summary = {}
        self.loss = loss
        self.logs = logs or (lambda loss, epoch: {"loss": loss, "val_loss": loss + 1 / (1 + epoch)})

    def run(self, task, candidates):
        for candidate in candidates:
            with candidate:
                chosen = candidate.configuration
                loss = self.loss({**chosen.template.defaults, **chosen.settings})
                for epoch in range(candidate.task.epochs):
                    logs = [self.logs(loss, epoch) for _ in candidate.runs]
                    if not candidate.report(epoch, *logs):
                        break


class ByRate:
    """An engine whose curves end in a value of our choice, by the learning rate.

    It keeps every run as (learning rate, seed).
    """

    def __init__(self):
        self.runs, self.values = [], {}
        self.loss = lambda rate: self.values.get(rate, 5.0) + len(self.runs) / 1000

    def run(self, task, candidates):
        for candidate in candidates:
            with candidate:
                rate = candidate.optimizer().get_config()["learning_rate"]
                self.runs += [(rate, seed) for seed, _ in candidate.runs]
                last = self.loss(rate)
                if candidate.report(0, {"loss": 9.0, "val_loss": 9.0}):
                    candidate.report(1, {"loss": 9.0, "val_loss": last})
