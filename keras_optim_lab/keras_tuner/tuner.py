"""A KerasTuner tuner whose trials can be pruned."""

from typing import Any

import keras
import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.errors import FatalValueError

from keras_optim_lab.keras_tuner.oracle import OptunaOracle


class OptunaTuner(keras_tuner.Tuner):
    """`keras_tuner.Tuner` that reports every epoch, so that a pruner may stop a trial.

        pruner = optuna.pruners.MedianPruner()
        oracle = kol.keras_tuner.OptunaOracle("val_loss", max_trials=50, pruner=pruner)
        tuner = kol.keras_tuner.OptunaTuner(oracle, hypermodel, directory="searches")
        tuner.search(x, y, validation_data=(x_val, y_val), epochs=20)

    KerasTuner's own tuners tell their oracle of a trial when it has ended. Takes the arguments of
    `keras_tuner.Tuner`; `oracle` must be an `OptunaOracle`. A tuner of your own that calls
    `oracle.update_trial` in its `on_epoch_end` sets `oracle.reported_by_epoch = True` instead.

    Raises:
        TypeError: the oracle is none of this package's.
    """

    def __init__(self, oracle: OptunaOracle, *args: Any, **kwargs: Any):
        if not isinstance(oracle, OptunaOracle):
            raise TypeError(f"`oracle` must be an OptunaOracle. Received: oracle={oracle!r}")
        # Before KerasTuner puts a client in its place, in a worker of several processes.
        oracle.reported_by_epoch = True
        super().__init__(oracle, *args, **kwargs)

    def on_epoch_end(
        self,
        trial: Trial,
        model: keras.Model,
        epoch: int,
        logs: dict[str, float] | None = None,
    ) -> None:
        super().on_epoch_end(trial, model, epoch, logs)
        objective = self.oracle.objective
        logs = logs or {}
        if not objective.has_value(logs):
            # A fatal error ends the search; after any other KerasTuner goes on with the next trial.
            raise FatalValueError(
                f"{objective} is not in the logs of an epoch, which hold: {', '.join(logs)}. "
                "Name one of these, or use keras_tuner.Tuner for a value that comes after fit."
            )
        metrics = {name: float(value) for name, value in logs.items()}
        metrics[objective.name] = float(objective.get_value(logs))
        updated = self.oracle.update_trial(trial.trial_id, metrics, step=epoch)
        if updated.status == TrialStatus.STOPPED:
            model.stop_training = True
