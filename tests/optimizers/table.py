"""The table of expectations: one row per optimizer and form; every generic check runs on each."""

from dataclasses import dataclass, field
from typing import Any

from keras_optim_lab import optimizers


@dataclass(frozen=True)
class Case:
    """One form of one optimizer and what it is expected to equal."""

    id: str
    name: str
    hyperparameters: dict[str, Any] = field(default_factory=dict)

    def make(self, **changes) -> optimizers.Optimizer:
        return optimizers.get(self.name, **{**self.hyperparameters, **changes})


CASES = [
    Case("gradient_descent", "gradient_descent"),
    Case("momentum", "momentum"),
    Case("momentum-nesterov", "momentum", {"nesterov": True}),
    Case("heavy-ball", "momentum", {"heavy_ball": True, "learning_rate": 0.01}),
    Case("heavy-ball-nesterov", "momentum", {"heavy_ball": True, "nesterov": True}),
    Case("rmsprop", "rmsprop"),
    Case("rmsprop-momentum", "rmsprop", {"momentum": 0.9}),
    Case("rmsprop-centered", "rmsprop", {"centered": True}),
    Case("adagrad", "adagrad"),
    Case("adagrad-from-0.1", "adagrad", {"initial_accumulator_value": 0.1}),
    Case("adam", "adam"),
    Case("amsgrad", "adam", {"amsgrad": True}),
    Case("adamw", "adamw"),
    Case("nadam", "nadam"),
    Case("radam", "radam"),
    Case("adabound", "adabound"),
    Case("amsbound", "adabound", {"amsbound": True}),
]
