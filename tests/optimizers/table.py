"""The table of expectations: one row per optimizer and form; every generic check runs on each."""

import math
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import ops

from keras_optim_lab import optimizers
from tests import oracles


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
    oracle: type[oracles.Oracle]
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

    def expected(self, **changes) -> oracles.Oracle:
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


_EPSILON_FIRST = "adds ε to √v before the bias correction"
_EPSILON_INSIDE = "adds ε inside the root"
_SUM_OF_STEPS = "adds gradients up undamped, times η"
_LATER = "scales from ρ > 5 on"

# ε large enough to be seen at all is what tells where it stands.
_SEEN = 1e-2

CASES = [
    Case(
        "gradient_descent",
        "gradient_descent",
        oracles.GradientDescent,
        references=(
            Reference("keras", "SGD", {"learning_rate": 0.01}),
            Reference("torch", "SGD", {"lr": 0.01}),
            Reference("optax", "sgd", {"learning_rate": 0.01}),
            Reference(
                "pytorch_optimizer",
                "SGDW",
                {"lr": 0.1, "weight_decay": 0.5},
                {"learning_rate": 0.1, "weight_decay": 0.5},
            ),
        ),
    ),
    Case(
        "momentum",
        "momentum",
        oracles.Momentum,
        references=(
            Reference("keras", "SGD", {"learning_rate": 0.01, "momentum": 0.9}, why=_SUM_OF_STEPS),
            Reference("torch", "SGD", {"lr": 0.01, "momentum": 0.9}, why=_SUM_OF_STEPS),
            Reference("optax", "sgd", {"learning_rate": 0.01, "momentum": 0.9}, why=_SUM_OF_STEPS),
            Reference("pytorch_optimizer", "QHM", {"lr": 0.1, "momentum": 0.9, "nu": 1.0}),
        ),
    ),
    Case(
        "momentum-nesterov",
        "momentum",
        oracles.Momentum,
        {"nesterov": True},
        references=(
            Reference(
                "keras",
                "SGD",
                {"learning_rate": 0.01, "momentum": 0.9, "nesterov": True},
                why=_SUM_OF_STEPS,
            ),
            Reference(
                "torch", "SGD", {"lr": 0.01, "momentum": 0.9, "nesterov": True}, why=_SUM_OF_STEPS
            ),
            Reference(
                "optax",
                "sgd",
                {"learning_rate": 0.01, "momentum": 0.9, "nesterov": True},
                why=_SUM_OF_STEPS,
            ),
            Reference("pytorch_optimizer", "QHM", {"lr": 0.1, "momentum": 0.9, "nu": 0.9}),
        ),
    ),
    Case(
        "heavy-ball",
        "momentum",
        oracles.Momentum,
        {"heavy_ball": True, "learning_rate": 0.01},
        references=(
            Reference("keras", "SGD", {"learning_rate": 0.01, "momentum": 0.9}),
            Reference("torch", "SGD", {"lr": 0.01, "momentum": 0.9}),
            Reference("optax", "sgd", {"learning_rate": 0.01, "momentum": 0.9}),
        ),
    ),
    Case(
        "heavy-ball-nesterov",
        "momentum",
        oracles.Momentum,
        {"heavy_ball": True, "nesterov": True},
        references=(
            Reference("keras", "SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
            Reference("torch", "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
            Reference("optax", "sgd", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
        ),
    ),
    Case(
        "rmsprop",
        "rmsprop",
        oracles.RMSprop,
        references=(
            Reference(
                "keras",
                "RMSprop",
                {"learning_rate": 1e-3, "rho": 0.9, "epsilon": 0.0},
                {"epsilon": 0.0},
                why=_EPSILON_INSIDE,
            ),
            Reference(
                "torch", "RMSprop", {"lr": 1e-3, "alpha": 0.9, "eps": _SEEN}, {"epsilon": _SEEN}
            ),
            Reference(
                "optax",
                "rmsprop",
                {"learning_rate": 1e-3, "decay": 0.9, "eps": _SEEN, "eps_in_sqrt": False},
                {"epsilon": _SEEN},
            ),
        ),
    ),
    Case(
        "rmsprop-momentum",
        "rmsprop",
        oracles.RMSprop,
        {"momentum": 0.9},
        references=(
            Reference(
                "keras",
                "RMSprop",
                {"learning_rate": 1e-3, "rho": 0.9, "momentum": 0.9, "epsilon": 0.0},
                {"epsilon": 0.0},
                why=_EPSILON_INSIDE,
            ),
            Reference(
                "torch",
                "RMSprop",
                {"lr": 1e-3, "alpha": 0.9, "momentum": 0.9, "eps": _SEEN},
                {"epsilon": _SEEN},
            ),
            Reference(
                "optax",
                "rmsprop",
                {
                    "learning_rate": 1e-3,
                    "decay": 0.9,
                    "momentum": 0.9,
                    "eps": _SEEN,
                    "eps_in_sqrt": False,
                },
                {"epsilon": _SEEN},
            ),
        ),
    ),
    Case(
        "rmsprop-centered",
        "rmsprop",
        oracles.RMSprop,
        {"centered": True},
        references=(
            Reference(
                "keras",
                "RMSprop",
                {"learning_rate": 1e-3, "rho": 0.9, "centered": True, "epsilon": 0.0},
                {"epsilon": 0.0},
                why=_EPSILON_INSIDE,
            ),
            Reference(
                "torch",
                "RMSprop",
                {"lr": 1e-3, "alpha": 0.9, "momentum": 0.8, "centered": True, "eps": _SEEN},
                {"epsilon": _SEEN, "momentum": 0.8},
            ),
            Reference(
                "optax",
                "rmsprop",
                {
                    "learning_rate": 1e-3,
                    "decay": 0.9,
                    "eps": _SEEN,
                    "eps_in_sqrt": False,
                    "centered": True,
                },
                {"epsilon": _SEEN},
            ),
        ),
    ),
    Case(
        "adagrad",
        "adagrad",
        oracles.Adagrad,
        references=(
            Reference(
                "keras",
                "Adagrad",
                {"learning_rate": 0.01, "initial_accumulator_value": 0.0, "epsilon": 0.0},
                {"epsilon": 0.0},
                why=_EPSILON_INSIDE,
            ),
            Reference("torch", "Adagrad", {"lr": 0.01, "eps": _SEEN}, {"epsilon": _SEEN}),
        ),
    ),
    Case(
        "adagrad-from-0.1",
        "adagrad",
        oracles.Adagrad,
        {"initial_accumulator_value": 0.1},
        references=(
            Reference(
                "keras",
                "Adagrad",
                {"learning_rate": 0.01, "initial_accumulator_value": 0.1, "epsilon": 0.0},
                {"epsilon": 0.0},
                why=_EPSILON_INSIDE,
            ),
            Reference(
                "torch",
                "Adagrad",
                {"lr": 0.01, "initial_accumulator_value": 0.1, "eps": _SEEN},
                {"epsilon": _SEEN},
            ),
            Reference(
                "optax",
                "adagrad",
                {"learning_rate": 0.01, "initial_accumulator_value": 0.1, "eps": 0.0},
                {"epsilon": 0.0},
                why=_EPSILON_INSIDE,
            ),
        ),
    ),
    Case(
        "adam",
        "adam",
        oracles.Adam,
        references=(
            Reference(
                "keras",
                "Adam",
                {"learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 0.0},
                {"epsilon": 0.0},
                why=_EPSILON_FIRST,
            ),
            Reference(
                "keras",
                "Adam",
                {"learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": _SEEN},
                {"epsilon": Corrected(_SEEN)},
                why=_EPSILON_FIRST,
            ),
            Reference(
                "torch",
                "Adam",
                {"lr": 1e-3, "betas": (0.9, 0.999), "eps": _SEEN},
                {"epsilon": _SEEN},
            ),
            Reference(
                "optax",
                "adam",
                {"learning_rate": 1e-3, "b1": 0.9, "b2": 0.999, "eps": _SEEN},
                {"epsilon": _SEEN},
            ),
        ),
    ),
    Case(
        "amsgrad",
        "adam",
        oracles.Adam,
        {"amsgrad": True},
        references=(
            Reference(
                "keras",
                "Adam",
                {"learning_rate": 1e-3, "epsilon": 0.0, "beta_2": 0.9, "amsgrad": True},
                {"epsilon": 0.0, "beta_2": 0.9},
                why=_EPSILON_FIRST,
            ),
            Reference(
                "keras",
                "Adam",
                {"learning_rate": 1e-3, "epsilon": _SEEN, "beta_2": 0.9, "amsgrad": True},
                {"epsilon": Corrected(_SEEN, 0.9), "beta_2": 0.9},
                why=_EPSILON_FIRST,
            ),
            Reference(
                "torch",
                "Adam",
                {"lr": 1e-3, "betas": (0.9, 0.9), "eps": _SEEN, "amsgrad": True},
                {"epsilon": _SEEN, "beta_2": 0.9},
            ),
            Reference(
                "optax",
                "amsgrad",
                {"learning_rate": 1e-3, "b2": 0.9, "eps": _SEEN, "bias_correction_nu": False},
                {
                    "learning_rate": Corrected(1e-3, 0.9),
                    "epsilon": Corrected(_SEEN, 0.9),
                    "beta_2": 0.9,
                },
                why="corrects v before the maximum or not at all, never after it",
            ),
        ),
    ),
    Case(
        "adamw",
        "adamw",
        oracles.AdamW,
        references=(
            Reference(
                "keras",
                "AdamW",
                {"learning_rate": 0.01, "weight_decay": 0.5, "epsilon": 0.0},
                {"learning_rate": 0.01, "weight_decay": 0.5, "epsilon": 0.0},
                why=_EPSILON_FIRST,
            ),
            Reference(
                "keras",
                "Adam",
                {"learning_rate": 0.01, "weight_decay": 0.5, "epsilon": _SEEN},
                {"learning_rate": 0.01, "weight_decay": 0.5, "epsilon": Corrected(_SEEN)},
                why=_EPSILON_FIRST,
            ),
            Reference(
                "torch",
                "AdamW",
                {"lr": 0.01, "weight_decay": 0.5, "eps": _SEEN},
                {"learning_rate": 0.01, "weight_decay": 0.5, "epsilon": _SEEN},
            ),
            Reference("torch", "AdamW", {}),
            Reference(
                "optax",
                "adamw",
                {"learning_rate": 0.01, "weight_decay": 0.5, "eps": _SEEN},
                {"learning_rate": 0.01, "weight_decay": 0.5, "epsilon": _SEEN},
            ),
        ),
    ),
    Case(
        "nadam",
        "nadam",
        oracles.Nadam,
        references=(
            Reference(
                "keras",
                "Nadam",
                {"learning_rate": 2e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": _SEEN},
                {"momentum_decay": 1.0, "epsilon": _SEEN},
                why="has the schedule 0.96^t",
            ),
            Reference(
                "torch",
                "NAdam",
                {"lr": 2e-3, "betas": (0.9, 0.999), "momentum_decay": 4e-3, "eps": _SEEN},
                {"epsilon": _SEEN},
            ),
            Reference(
                "torch",
                "NAdam",
                {"lr": 0.01, "eps": _SEEN, "weight_decay": 0.5, "decoupled_weight_decay": True},
                {"learning_rate": 0.01, "epsilon": _SEEN, "weight_decay": 0.5},
            ),
            Reference(
                "optax",
                "nadam",
                {"learning_rate": 2e-3, "eps": _SEEN},
                {"epsilon": _SEEN, "momentum_decay": 1e6},
                why="has no schedule: μ is β₁ from the first step on",
            ),
        ),
    ),
    Case(
        "radam",
        "radam",
        oracles.RAdam,
        references=(
            Reference(
                "torch",
                "RAdam",
                {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 0.0},
                {"threshold": 5.0, "epsilon": 0.0},
                why=f"{_LATER}; {_EPSILON_FIRST}",
            ),
            Reference(
                "torch",
                "RAdam",
                {"lr": 1e-3, "betas": (0.9, 0.999), "eps": _SEEN},
                {"threshold": 5.0, "epsilon": Corrected(_SEEN)},
                why=f"{_LATER}; {_EPSILON_FIRST}",
            ),
            Reference(
                "optax",
                "radam",
                {"learning_rate": 1e-3, "eps": _SEEN},
                {"threshold": 5.0, "epsilon": _SEEN},
                why=_LATER,
            ),
            Reference(
                "optax",
                "radam",
                {"learning_rate": 1e-3, "eps": _SEEN, "threshold": 4.0},
                {"epsilon": _SEEN},
            ),
            Reference(
                "pytorch_optimizer",
                "RAdam",
                {"lr": 1e-3, "n_sma_threshold": 4, "degenerated_to_sgd": True, "eps": _SEEN},
                {"epsilon": Corrected(_SEEN)},
                why=f"takes no step at all before it scales, unless told to; {_EPSILON_FIRST}",
            ),
        ),
        keras_has_no="RAdam",
    ),
    Case(
        "adabound",
        "adabound",
        oracles.AdaBound,
        references=(
            Reference(
                "pytorch_optimizer",
                "AdaBound",
                {"lr": 1e-3, "final_lr": 0.1, "gamma": 1e-3, "eps": _SEEN},
                {"epsilon": _SEEN},
            ),
            Reference(
                "pytorch_optimizer",
                "AdaBound",
                {"lr": 1e-3, "final_lr": 1e-3, "gamma": 0.1, "eps": 1e-8, "weight_decay": 0.5},
                {"final_learning_rate": 1e-3, "gamma": 0.1, "weight_decay": 0.5},
            ),
        ),
        keras_has_no="AdaBound",
    ),
    Case(
        "amsbound",
        "adabound",
        oracles.AdaBound,
        {"amsbound": True},
        references=(
            Reference(
                "pytorch_optimizer",
                "AdaBound",
                {
                    "lr": 1e-3,
                    "betas": (0.9, 0.9),
                    "final_lr": 1e-2,
                    "gamma": 0.1,
                    "eps": _SEEN,
                    "ams_bound": True,
                },
                {"beta_2": 0.9, "final_learning_rate": 1e-2, "gamma": 0.1, "epsilon": _SEEN},
            ),
        ),
        keras_has_no="AdaBound",
    ),
    Case(
        "lion",
        "lion",
        oracles.Lion,
        references=(
            Reference("keras", "Lion", {"learning_rate": 1e-4, "beta_1": 0.9, "beta_2": 0.99}),
            Reference("optax", "lion", {"learning_rate": 1e-4, "weight_decay": 0.0}),
            Reference(
                "optax",
                "lion",
                {"learning_rate": 0.01, "b1": 0.5, "b2": 0.8, "weight_decay": 0.5},
                {"learning_rate": 0.01, "beta_1": 0.5, "beta_2": 0.8, "weight_decay": 0.5},
            ),
            Reference("pytorch_optimizer", "Lion", {"lr": 1e-4, "weight_decay": 0.0}),
        ),
    ),
    Case(
        "adan",
        "adan",
        oracles.Adan,
        references=(
            Reference("pytorch_optimizer", "Adan", {"lr": 1e-3, "eps": _SEEN}, {"epsilon": _SEEN}),
            Reference(
                "pytorch_optimizer",
                "Adan",
                {"lr": 0.01, "weight_decay": 0.5, "weight_decouple": True},
                {"learning_rate": 0.01, "weight_decay": 0.5},
            ),
            Reference(
                "optax",
                "adan",
                {"learning_rate": 1e-3, "b2": 0.5, "eps": _SEEN, "eps_root": 0.0},
                {"beta_2": 0.5, "epsilon": _SEEN},
                why="weighs the change of the gradient by 1 − β₂ where the paper weighs it by β₂",
            ),
        ),
        keras_has_no="Adan",
    ),
    Case(
        "adabelief",
        "adabelief",
        oracles.AdaBelief,
        references=(
            Reference("optax", "adabelief", {"learning_rate": 1e-3}),
            Reference(
                "optax",
                "adabelief",
                {"learning_rate": 1e-3, "eps": 1e-3, "eps_root": 1e-3},
                {"epsilon": 1e-3},
            ),
            Reference(
                "pytorch_optimizer",
                "AdaBelief",
                {"lr": 0.01, "eps": 1e-3, "weight_decay": 0.5},
                {"learning_rate": 0.01, "epsilon": 1e-3, "weight_decay": 0.5},
            ),
        ),
        keras_has_no="AdaBelief",
    ),
    Case(
        "adopt",
        "adopt",
        oracles.ADOPT,
        references=(
            Reference(
                "optax.contrib", "adopt", {"learning_rate": 1e-3, "eps": 1.0}, {"epsilon": 1.0}
            ),
            Reference(
                "optax.contrib", "adopt", {"learning_rate": 1e-3, "b2": 0.5}, {"beta_2": 0.5}
            ),
            Reference(
                "pytorch_optimizer",
                "ADOPT",
                {"lr": 1e-3, "clip_lambda": lambda step: (step - 1) ** 0.25},
                why="counts the clip from its first gradient, which takes no step",
            ),
        ),
        keras_has_no="ADOPT",
        fast=0.5,
    ),
    Case(
        "ademamix",
        "ademamix",
        oracles.AdEMAMix,
        references=(
            Reference(
                "optax.contrib",
                "ademamix",
                {"learning_rate": 1e-3, "b3": 0.9, "eps": _SEEN, "weight_decay": 0.5},
                {"beta_3": 0.9, "epsilon": _SEEN, "weight_decay": 0.5},
            ),
            Reference(
                "pytorch_optimizer",
                "AdEMAMix",
                {"lr": 1e-3, "betas": (0.9, 0.999, 0.99), "t_alpha_beta3": 8.0, "eps": _SEEN},
                {"beta_3": 0.99, "warmup": 8.0, "epsilon": _SEEN},
            ),
        ),
        keras_has_no="AdEMAMix",
    ),
    Case(
        "nadamw",
        "nadamw",
        oracles.NAdamW,
        references=(
            Reference(
                "optax",
                "nadamw",
                {"learning_rate": 0.01, "weight_decay": 0.5, "eps": _SEEN},
                {"learning_rate": 0.01, "weight_decay": 0.5, "epsilon": _SEEN},
            ),
            Reference(
                "torch",
                "NAdam",
                {
                    "lr": 1e-3,
                    "eps": _SEEN,
                    "momentum_decay": 1e6,
                    "weight_decay": 0.01,
                    "decoupled_weight_decay": True,
                },
                {"epsilon": _SEEN},
                why="has a schedule, which is over before it begins where it is as fast",
            ),
        ),
        keras_has_no="NAdamW",
    ),
    Case(
        "adafactor",
        "adafactor",
        oracles.Adafactor,
        references=(
            Reference("keras", "Adafactor", {"learning_rate": 1e-2}),
            Reference(
                "keras",
                "Adafactor",
                {"learning_rate": 0.5, "clip_threshold": 0.5, "epsilon_2": 0.1},
                {"learning_rate": 0.5, "clip_threshold": 0.5, "epsilon_2": 0.1},
            ),
            Reference("torch", "Adafactor", {"lr": 1e-2, "eps": (1e-30, 1e-3)}),
            Reference(
                "torch",
                "Adafactor",
                {"lr": 0.1, "eps": (1e-30, 1e-3), "d": 1.1, "weight_decay": 0.5},
                {"learning_rate": 0.1, "clip_threshold": 1.1, "weight_decay": 0.5},
            ),
        ),
        fast=0.5,
    ),
    Case(
        "adafactor-momentum",
        "adafactor",
        oracles.Adafactor,
        {"beta_1": 0.9},
        references=(
            Reference(
                "optax",
                "adafactor",
                {"learning_rate": 1e-2, "min_dim_size_to_factor": 1, "momentum": 0.9},
                {"relative_step": False},
                why="leaves the learning rate to schedules",
            ),
        ),
        fast=0.5,
        keras_has_no="Adafactor with momentum",
    ),
    Case(
        "lamb",
        "lamb",
        oracles.LAMB,
        references=(
            Reference(
                "keras",
                "Lamb",
                {"learning_rate": 0.01, "epsilon": _SEEN},
                {"learning_rate": 0.01, "epsilon": _SEEN, "weight_decay": 0.0},
                why="applies weight decay outside of the trust ratio",
            ),
            Reference(
                "optax",
                "lamb",
                {"learning_rate": 0.01, "eps": _SEEN, "weight_decay": 0.5},
                {"learning_rate": 0.01, "epsilon": _SEEN, "weight_decay": 0.5},
            ),
        ),
    ),
    Case(
        "lars",
        "lars",
        oracles.LARS,
        references=(
            Reference("optax", "lars", {"learning_rate": 0.1}),
            Reference(
                "optax",
                "lars",
                {"learning_rate": 0.5, "trust_coefficient": 0.1, "momentum": 0.5},
                {"learning_rate": 0.5, "trust_coefficient": 0.1, "momentum": 0.5},
            ),
        ),
        keras_has_no="LARS",
        fast=100.0,
    ),
    Case(
        "muon",
        "muon",
        oracles.Muon,
        references=(
            Reference(
                "keras",
                "Muon",
                {"learning_rate": 0.02, "weight_decay": 0.5},
                {"match_rms": True, "weight_decay": 0.5},
            ),
            Reference(
                "torch",
                "Muon",
                {"lr": 0.02, "weight_decay": 0.5, "adjust_lr_fn": "match_rms_adamw"},
                {"match_rms": True, "weight_decay": 0.5},
                why="rounds the iteration to bfloat16; here it is told not to",
            ),
        ),
        tolerance=1e-4,
        fast=0.3,
    ),
    Case(
        "muon-without-nesterov",
        "muon",
        oracles.Muon,
        {"nesterov": False},
        references=(
            Reference(
                "optax.contrib",
                "muon",
                {"learning_rate": 0.02, "nesterov": False, "weight_decay": 0.5},
                {"weight_decay": 0.5},
            ),
            Reference(
                "keras",
                "Muon",
                {"learning_rate": 0.02, "nesterov": False, "weight_decay": 0.5},
                {"match_rms": True, "weight_decay": 0.5},
            ),
        ),
        tolerance=1e-4,
        fast=0.3,
    ),
    # Roots and eigenvectors are the more uncertain the nearer to singular their matrix is; these
    # rows keep away from that.
    Case(
        "shampoo",
        "shampoo",
        oracles.Shampoo,
        {"precondition_every": 2, "epsilon": 1e-3},
        references=(
            Reference(
                "pytorch_optimizer",
                "ScalableShampoo",
                {
                    "lr": 1e-3,
                    "betas": (0.0, 0.9),
                    "start_preconditioning_step": 2,
                    "preconditioning_compute_steps": 2,
                    "shape_interpretation": False,
                    "graft_type": 1,
                    "nesterov": False,
                    "matrix_eps": 0.0,
                    "use_svd": True,
                },
                {"beta_1": 0.0, "beta_2": 0.9, "epsilon": 0.0, "grafting": "momentum"},
                why="applies momentum after P and Q, and grafts from a v that it does not correct",
            ),
        ),
        keras_has_no="Shampoo",
        tolerance=1e-4,
        decades=(0, 0),
    ),
    Case(
        "shampoo-of-2018",
        "shampoo",
        oracles.Shampoo,
        {
            "precondition_every": 1,
            "epsilon": 1e-2,
            "grafting": "none",
            "sums": True,
            "beta_1": 0.0,
        },
        references=(
            Reference(
                "pytorch_optimizer",
                "Shampoo",
                {"lr": 1e-3, "matrix_eps": 1e-2},
            ),
        ),
        keras_has_no="Shampoo",
        tolerance=1e-4,
        decades=(0, 0),
    ),
    Case(
        "soap",
        "soap",
        oracles.SOAP,
        {"precondition_every": 2, "max_dimension": 3},
        references=(
            Reference(
                "pytorch_optimizer",
                "SOAP",
                {"precondition_frequency": 2, "eps": 0.0, "weight_decay": 0.0},
                {"epsilon": 0.0, "weight_decay": 0.0},
                why="adds ε before the bias correction and does not decay in the first step",
            ),
        ),
        keras_has_no="SOAP",
        tolerance=1e-4,
        decades=(0, 0),
    ),
    Case(
        "prodigy",
        "prodigy",
        oracles.Prodigy,
        {"initial_distance": 0.1},
        references=(
            Reference("prodigyopt", "Prodigy", {"lr": 1.0}, {"initial_distance": 1e-6}),
            Reference(
                "prodigyopt",
                "Prodigy",
                {"lr": 0.5, "d0": 1e-2, "betas": (0.8, 0.99), "weight_decay": 0.5},
                {
                    "learning_rate": 0.5,
                    "initial_distance": 1e-2,
                    "beta_1": 0.8,
                    "beta_2": 0.99,
                    "weight_decay": 0.5,
                },
            ),
        ),
        keras_has_no="Prodigy",
        fast=1.0,
    ),
    Case(
        "schedule_free_sgd",
        "schedule_free_sgd",
        oracles.ScheduleFreeSGD,
        {"learning_rate": 0.1},
        references=(
            Reference("schedulefree", "SGDScheduleFreeReference", {"lr": 0.1}),
            Reference(
                "schedulefree",
                "SGDScheduleFree",
                {"lr": 0.1, "momentum": 0.5, "warmup_steps": 5, "weight_decay": 0.5},
                {"momentum": 0.5, "warmup": 5.0, "weight_decay": 0.5},
            ),
        ),
        keras_has_no="ScheduleFreeSGD",
        fast=1.0,
    ),
    Case(
        "schedule_free_adamw",
        "schedule_free_adamw",
        oracles.ScheduleFreeAdamW,
        references=(
            Reference(
                "schedulefree",
                "AdamWScheduleFreeReference",
                {"lr": 2.5e-3, "eps": _SEEN},
                {"epsilon": _SEEN},
            ),
            Reference(
                "schedulefree",
                "AdamWScheduleFree",
                {"lr": 0.01, "betas": (0.5, 0.9), "warmup_steps": 5, "weight_decay": 0.5},
                {
                    "learning_rate": 0.01,
                    "beta_1": 0.5,
                    "beta_2": 0.9,
                    "warmup": 5.0,
                    "weight_decay": 0.5,
                },
            ),
        ),
        fast=0.2,
        keras_has_no="ScheduleFreeAdamW that averages",
    ),
]
