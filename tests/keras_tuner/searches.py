"""Searches without training: KerasTuner's tuners run functions of hyperparameters."""

from pathlib import Path

import keras_tuner

import keras_optim_lab as kol


class FunctionTuner(keras_tuner.Tuner):
    """A tuner of a function `loss(hp)`; what it raises, the trial raises."""

    def __init__(self, oracle, loss, **project):
        self.function = loss
        super().__init__(oracle, **project)

    def run_trial(self, trial, *args, **kwargs):
        return self.function(trial.hyperparameters)


class EpochTuner(kol.keras_tuner.OptunaTuner):
    """A tuner of a function `losses(hp)` that gives the loss after every epoch."""

    def __init__(self, oracle, losses, **project):
        self.function = losses
        super().__init__(oracle, **project)

    def run_trial(self, trial, *args, **kwargs):
        class Model:
            stop_training = False

        model, metrics = Model(), {}
        for epoch, value in enumerate(self.function(trial.hyperparameters)):
            metrics = {"val_loss": value}
            self.on_epoch_end(trial, model, epoch, metrics)
            if model.stop_training:
                break
        return metrics


def search(loss, *, tuner=FunctionTuner, project="search", overwrite=False, **arguments):
    """Runs a search below the working directory; returns its oracle.

    A search of a project that is there goes on.
    """
    oracle = kol.keras_tuner.OptunaOracle(**arguments)
    made = tuner(oracle, loss, directory=Path("kt"), project_name=project, overwrite=overwrite)
    made.search(verbose=0)
    return oracle


def states(oracle):
    """The states of the trials in the study, in order."""
    return [trial.state.name for trial in oracle.study.trials]
