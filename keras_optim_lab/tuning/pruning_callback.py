"""Pruning in an Optuna objective that calls `fit` itself."""

from collections.abc import Mapping

import keras
import optuna
from optuna.trial import BaseTrial

from keras_optim_lab.tuning.criterion import diverged


class PruningCallback(keras.callbacks.Callback):
    """Reports every epoch to an Optuna trial, and ends it when the study's pruner gives it up.

        def objective(trial):
            model.compile(optimizer=kol.suggest(trial, "adam"), loss="mse")
            pruning = kol.PruningCallback(trial, monitor="val_loss")
            history = model.fit(x, y, validation_data=data, epochs=20, callbacks=[pruning])
            return history.history["val_loss"][-1]

    Epochs are counted over all fits of the trial, so that those of a second fold or of a training
    that goes on are compared with the same ones of other trials. A loss that is no longer finite
    ends the trial too, whatever the pruner; it is then told as pruned, without a report of this
    epoch, and keeps the attribute `diverged`.

    Args:
        trial: that the objective was called with.
        monitor: what to report, a name in the logs of an epoch. The study's direction says whether
            less of it is better.

    Raises:
        TypeError: `trial` is not an Optuna trial or `monitor` is not a name.
        ValueError: the study has several objectives, for which Optuna does not prune.
        KeyError: in `fit`, the logs of an epoch do not hold `monitor`.
        optuna.TrialPruned: in `fit`, the trial is over.
    """

    def __init__(self, trial: BaseTrial, monitor: str = "val_loss"):
        super().__init__()
        if not isinstance(trial, BaseTrial):
            raise TypeError(f"`trial` must be an Optuna trial. Received: trial={trial!r}")
        if not isinstance(monitor, str):
            raise TypeError(
                f'`monitor` must be a name such as "val_loss". Received: monitor={monitor!r}'
            )
        study = getattr(trial, "study", None)  # a FixedTrial has none
        if study is not None and len(study.directions) > 1:
            raise ValueError(
                f"PruningCallback: the study {study.study_name!r} has {len(study.directions)} "
                "objectives, and Optuna prunes where there is one. Leave the callback out."
            )
        self.monitor = monitor
        self._trial = trial
        self._epochs = 0

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        # Another callback of this trial may have reported the fits before.
        self._epochs = max(self._epochs, _reported(self._trial))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        logs = logs or {}
        if self.monitor not in logs:
            raise KeyError(
                f"PruningCallback: monitor={self.monitor!r} is not in the logs of an epoch. They "
                f"hold: {', '.join(logs) or 'nothing'}. For names with val_ pass validation_data "
                "to fit, and leave validation_freq at 1."
            )
        if diverged(logs, self.monitor):
            self._trial.set_user_attr("diverged", True)
            raise optuna.TrialPruned(f"The loss is not finite after epoch {epoch}.")
        self._trial.report(float(logs[self.monitor]), self._epochs)
        self._epochs += 1
        if self._trial.should_prune():
            raise optuna.TrialPruned(f"Pruned after epoch {epoch}.")


def _reported(trial: BaseTrial) -> int:
    """How many epochs were reported of a trial."""
    if not isinstance(trial, optuna.Trial):
        return 0
    last = trial.study.get_trials(deepcopy=False)[trial.number].last_step
    return 0 if last is None else last + 1
