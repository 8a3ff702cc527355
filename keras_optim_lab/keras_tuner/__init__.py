"""The bridge to KerasTuner: its tuners search with Optuna, in the search spaces of this package.

    import keras_tuner
    import keras_optim_lab as kol

    def build(hp):
        model = ...
        model.compile(optimizer=kol.keras_tuner.optimizer(hp, "adam"), loss="mse")
        return model

    oracle = kol.keras_tuner.OptunaOracle("val_loss", max_trials=50, seed=0)
    tuner = keras_tuner.Tuner(oracle, build)

Inside this package `import keras_tuner` is KerasTuner itself.
"""

try:
    import keras_tuner  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"keras_optim_lab.keras_tuner needs KerasTuner, and {error.name} is not installed. "
        'Run: pip install "keras-optim-lab[keras-tuner,tune]"',
        name=error.name,
    ) from error

from keras_optim_lab.keras_tuner.oracle import OptunaOracle
from keras_optim_lab.keras_tuner.spaces import optimizer
from keras_optim_lab.keras_tuner.tuner import OptunaTuner

__all__ = ["OptunaOracle", "OptunaTuner", "optimizer"]
