"""KerasTuner's own tuner trains models with our optimizers, as Optuna says."""

import keras
import keras_tuner
import numpy as np
import optuna

import keras_optim_lab as kol
from tests.studies import small_task

TASK = small_task()
EPOCHS = 2


def build(hp):
    width = hp.Int("width", 2, 4)
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(width, activation="tanh"), keras.layers.Dense(1)]
    )
    model.compile(optimizer=kol.keras_tuner.optimizer(hp, ["adam", "momentum"]), loss="mse")
    return model


def search(tuner, **arguments):
    oracle = kol.keras_tuner.OptunaOracle("val_loss", seed=0, **arguments)
    made = tuner(oracle, build, directory="kt", project_name="training")
    made.search(*TASK.train, validation_data=TASK.validation, epochs=EPOCHS, verbose=0)
    return made


def test_kerastuners_own_tuner_trains_what_the_study_suggests():
    tuner = search(keras_tuner.Tuner, max_trials=2)
    stored = tuner.oracle.study.trials
    assert [trial.state.name for trial in stored] == ["COMPLETE"] * 2
    for ours, theirs in zip(tuner.oracle.trials.values(), stored, strict=True):
        assert ours.hyperparameters.values == theirs.params
        assert ours.score == theirs.value
    assert tuner.oracle.get_best_trials()[0].score == tuner.oracle.study.best_value
    (hp,) = tuner.get_best_hyperparameters()
    optimizer = build(hp).optimizer
    name = tuner.oracle.study.best_params["optimizer"]
    assert type(optimizer).__name__.lower() == name
    rate = tuner.oracle.study.best_params[f"{name}.learning_rate"]
    assert optimizer.get_config()["learning_rate"] == rate
    (model,) = tuner.get_best_models()
    x, y = TASK.validation
    loss = np.mean((keras.ops.convert_to_numpy(model(x)) - y) ** 2)
    assert abs(loss - tuner.oracle.study.best_value) < 1e-4 * loss


class OddTrials(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        return trial.number % 2 == 1


def test_a_pruned_trial_ends_its_training():
    tuner = search(kol.keras_tuner.OptunaTuner, max_trials=2, pruner=OddTrials())
    stored = tuner.oracle.study.trials
    assert [trial.state.name for trial in stored] == ["COMPLETE", "PRUNED"]
    assert [len(trial.intermediate_values) for trial in stored] == [EPOCHS, 1]
    for ours, theirs in zip(tuner.oracle.trials.values(), stored, strict=True):
        assert ours.score == min(theirs.intermediate_values.values())
