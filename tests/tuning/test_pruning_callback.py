"""`suggest` and `PruningCallback` in an ordinary objective under `study.optimize`."""

import math
import warnings

import optuna
import pytest
from optuna.trial import TrialState

import keras_optim_lab as kol
from tests.studies import small_model, small_task

TASK = small_task()


class AfterTwoEpochs(optuna.pruners.BasePruner):
    """Prunes odd trials in their second epoch."""

    def prune(self, study, trial):
        return trial.number % 2 == 1 and trial.last_step >= 1


def new_study(**changes):
    arguments = {"sampler": optuna.samplers.RandomSampler(seed=0), **changes}
    return optuna.create_study(**arguments)


def test_an_ordinary_objective_chooses_an_optimizer_trains_and_is_pruned():
    def objective(trial):
        model = small_model()
        model.compile(optimizer=kol.suggest(trial, ["adam", "radam"]), loss="mse")
        history = model.fit(
            *TASK.train,
            validation_data=TASK.validation,
            epochs=3,
            verbose=0,
            callbacks=[kol.PruningCallback(trial)],
        )
        assert type(model.optimizer).__name__.lower() == trial.params["optimizer"]
        return history.history["val_loss"][-1]

    study = new_study(pruner=AfterTwoEpochs())
    for name in ("adam", "radam"):
        study.enqueue_trial({"optimizer": name})
    study.optimize(objective, n_trials=2)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.PRUNED]
    assert [len(trial.intermediate_values) for trial in study.trials] == [3, 2]
    for trial in study.trials:
        assert trial.value == trial.intermediate_values[trial.last_step]


def fit(callback, *epochs):
    """What a training of these logs calls."""
    callback.on_train_begin()
    for epoch, logs in enumerate(epochs):
        callback.on_epoch_end(epoch, logs)


@pytest.mark.parametrize("one_callback", [True, False])
def test_epochs_are_counted_over_all_fits_of_a_trial(one_callback):
    trial = new_study().ask()
    first = kol.PruningCallback(trial)
    second = first if one_callback else kol.PruningCallback(trial)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Optuna ignores a step that was reported, with a warning
        fit(first, {"val_loss": 3.0}, {"val_loss": 2.0})
        fit(second, {"val_loss": 5.0}, {"val_loss": 4.0})
    stored = trial.study.trials[0].intermediate_values
    assert stored == {0: 3.0, 1: 2.0, 2: 5.0, 3: 4.0}


@pytest.mark.parametrize(
    "logs",
    [
        {"loss": 1.0, "accuracy": math.nan},
        {"loss": 1.0, "accuracy": math.inf},
        {"loss": math.nan, "accuracy": 0.1},
    ],
)
def test_what_is_not_finite_ends_the_trial_as_pruned_without_a_report(logs):
    def objective(trial):
        epochs = {"loss": 1.0, "accuracy": 0.5}, logs
        fit(kol.PruningCallback(trial, monitor="accuracy"), *epochs)

    study = new_study(direction="maximize", pruner=optuna.pruners.NopPruner())
    study.optimize(objective, n_trials=1)
    (trial,) = study.trials
    assert trial.state == TrialState.PRUNED
    assert trial.intermediate_values == {0: 0.5}
    assert trial.user_attrs == {"diverged": True}


def test_a_trial_that_is_replayed_is_not_pruned():
    callback = kol.PruningCallback(optuna.trial.FixedTrial({"x": 1.0}))
    fit(callback, {"val_loss": 1.0}, {"val_loss": 2.0})


def test_a_monitor_that_is_not_in_the_logs_is_an_error_that_lists_them():
    callback = kol.PruningCallback(new_study().ask(), monitor="val_los")
    with pytest.raises(KeyError, match=r"'val_los' is not .*hold: loss, val_loss\..*validation_d"):
        fit(callback, {"loss": 1.0, "val_loss": 2.0})


@pytest.mark.parametrize(
    ("trial", "monitor", "message"),
    [
        (None, "val_loss", r"`trial` must be an Optuna trial. Received: trial=None"),
        (optuna.trial.FixedTrial({}), ["loss"], r"`monitor` must be a name .*\['loss'\]"),
    ],
)
def test_other_arguments_are_refused(trial, monitor, message):
    with pytest.raises(TypeError, match=message):
        kol.PruningCallback(trial, monitor)


def test_a_study_of_several_objectives_is_refused():
    trial = optuna.create_study(directions=["minimize", "maximize"]).ask()
    with pytest.raises(ValueError, match=r"has 2 objectives.*Leave the callback out"):
        kol.PruningCallback(trial)
