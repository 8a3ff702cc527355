"""What a row of the table of expectations says: one form of an optimizer and what it equals."""

import math
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import ops

from keras_optim_lab import optimizers
from tests.oracles.oracle import Oracle


@dataclass(frozen=True)
class Reference:
    """Another implementation, and the settings at which it equals a case.

    Args:
        package: where it is from: "keras", "torch", "optax", "optax.contrib" or
            "pytorch_optimizer", or its authors' own.
        name: of the class or function there.
        settings: its arguments.
        ours: what to change in the case; nothing where the other defines the same.
        why: what the other defines differently, where it does.
    """

    package: str
    name: str
    settings: dict[str, Any]
    ours: dict[str, Any] = field(default_factory=dict)
    why: str = ""

    @property
    def full_name(self) -> str:
        package = {"keras": "keras.optimizers", "torch": "torch.optim"}
        return f"{package.get(self.package, self.package)}.{self.name}"


@dataclass(frozen=True)
class Case:
    """One form of one optimizer and what it is expected to equal.

    Args:
        id: name of the row.
        name: of the optimizer in the catalogue.
        oracle: the method as its paper states it.
        hyperparameters: of the optimizer and of the oracle.
        references: other implementations, Keras's among them.
        keras_has_no: the class that Keras lacks, where the row has no relation to a built-in.
        tolerance: how far a step may be from that of the oracle, as a share of its length.
        fast: a learning rate at which a few steps come a long way.
        decades: the sizes of gradients in long walks, as powers of ten.
    """

    id: str
    name: str
    oracle: type[Oracle]
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    references: tuple[Reference, ...] = ()
    keras_has_no: str = ""
    tolerance: float = 1e-6
    fast: float = 0.1
    decades: tuple[int, int] = (-4, 2)

    @property
    def cls(self) -> type[optimizers.Optimizer]:
        return optimizers.entry(self.name).cls

    @property
    def surveys(self) -> bool:
        """Whether a step depends on all weights together."""
        return self.cls.survey is not optimizers.Optimizer.survey

    @property
    def decays_plainly(self) -> bool:
        """Whether η λ w is subtracted beside a step that does not depend on w."""
        return self.cls.elementwise and not self.cls.rule_decays and not self.surveys

    def make(self, **changes) -> optimizers.Optimizer:
        return optimizers.get(self.name, **{**self.hyperparameters, **changes})

    def expected(self, **changes) -> Oracle:
        return self.oracle(**{**self.hyperparameters, **changes})


@keras.saving.register_keras_serializable(package="keras_optim_lab_tests")
class Corrected(keras.optimizers.schedules.LearningRateSchedule):
    """`value` / √(1 − βᵗ): as an ε, one that is added to √v before v is corrected for its bias."""

    def __init__(self, value: float, beta: float = 0.999):
        self.value = value
        self.beta = beta

    def __call__(self, iterations):
        t = ops.cast(iterations, "float32") + 1.0
        return self.value / ops.sqrt(-ops.expm1(t * math.log(self.beta)))

    def get_config(self):
        return {"value": self.value, "beta": self.beta}


EPSILON_FIRST = "adds ε to √v before the bias correction"
EPSILON_INSIDE = "adds ε inside the root"

# ε large enough to be seen at all is what tells where it stands.
SEEN = 1e-2
