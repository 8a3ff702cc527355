"""What `OptunaOracle` asks a study and tells it, in searches of functions."""

import math
import warnings

import keras_tuner
import optuna
import pytest

import keras_optim_lab as kol
from tests.keras_tuner.searches import EpochTuner, FunctionTuner, search, states

TRIALS = 48


def of_optuna(trial):
    """The same search as an ordinary objective…"""
    kind = trial.suggest_categorical("kind", ["mlp", "cnn"])
    x = trial.suggest_float("x", -1, 1)
    rate = trial.suggest_float("rate", 1e-4, 1, log=True)
    share = trial.suggest_float("share", 0, 1, step=0.25)
    width = trial.suggest_int("width", 4, 64, step=4)
    depth = trial.suggest_int("depth", 1, 100, log=True)
    bias = trial.suggest_categorical("bias", [False, True])
    loss = x**2 + abs(math.log10(rate) + 2) + share + width / 64 + depth / 100 + bias
    if kind == "mlp":
        return loss + trial.suggest_int("units", 1, 8)
    return loss + trial.suggest_float("kernel", 1, 4)


def of_kerastuner(hp):
    """… and as a function of KerasTuner's hyperparameters."""
    kind = hp.Choice("kind", ["mlp", "cnn"])
    x = hp.Float("x", -1, 1)
    rate = hp.Float("rate", 1e-4, 1, sampling="log")
    share = hp.Float("share", 0, 1, step=0.25)
    width = hp.Int("width", 4, 64, step=4)
    depth = hp.Int("depth", 1, 100, sampling="log")
    bias = hp.Boolean("bias")
    hp.Fixed("version", 3)
    loss = x**2 + abs(math.log10(rate) + 2) + share + width / 64 + depth / 100 + bias
    with hp.conditional_scope("kind", ["mlp"]):
        units = hp.Int("units", 1, 8)
    with hp.conditional_scope("kind", ["cnn"]):
        kernel = hp.Float("kernel", 1, 4)
    return loss + (units if kind == "mlp" else kernel)


def declared(build):
    hp = keras_tuner.HyperParameters()
    build(hp)
    return hp


SAMPLERS = {
    "tpe": lambda: optuna.samplers.TPESampler(seed=3),
    "random": lambda: optuna.samplers.RandomSampler(seed=3),
}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_oracle_suggests_exactly_what_a_bare_study_suggests(sampler):
    bare = optuna.create_study(sampler=SAMPLERS[sampler]())
    bare.optimize(of_optuna, n_trials=TRIALS)
    oracle = search(
        of_kerastuner,
        sampler=SAMPLERS[sampler](),
        max_trials=TRIALS,
        hyperparameters=declared(of_kerastuner),
        storage=optuna.storages.InMemoryStorage(),
    )
    assert [t.params for t in oracle.study.trials] == [t.params for t in bare.trials]
    assert [t.value for t in oracle.study.trials] == [t.value for t in bare.trials]
    assert len(bare.trials) == TRIALS
    assert {t.params["kind"] for t in bare.trials} == {"mlp", "cnn"}
    for ours, theirs in zip(oracle.trials.values(), bare.trials, strict=True):
        assert ours.hyperparameters.values == {**theirs.params, "version": 3}
    (best,) = oracle.get_best_trials()
    assert best.score == bare.best_value


def test_a_seed_repeats_a_search_and_zero_is_a_seed():
    def drawn(project, seed):
        oracle = search(
            lambda hp: hp.Float("x", 0, 1),
            hyperparameters=declared(lambda hp: hp.Float("x", 0, 1)),
            project=project,
            seed=seed,
            max_trials=3,
        )
        assert oracle.seed == seed or seed is None
        return [trial.params["x"] for trial in oracle.study.trials]

    assert drawn("a", 0) == drawn("b", 0)
    assert drawn("c", 1) != drawn("a2", 0)
    assert drawn("d", None) != drawn("e", None)


@pytest.mark.parametrize("sampler", ["tpe", "random", optuna.samplers.RandomSampler(seed=3)])
def test_a_search_ends_when_its_space_is_exhausted_as_those_of_kerastuners_oracles_do(sampler):
    def loss(hp):
        return hp.Int("width", 1, 2) + hp.Float("share", 0, 0.3, step=0.3)

    arguments = {"max_trials": 15, "hyperparameters": declared(loss), "seed": 1}
    for _ in range(2):  # and when it goes on
        oracle = search(loss, sampler=sampler, **arguments)
        tried = [tuple(trial.hyperparameters.values.values()) for trial in oracle.trials.values()]
        assert sorted(tried) == [(1, 0.0), (1, 0.3), (2, 0.0), (2, 0.3)]
        assert {trial.status for trial in oracle.trials.values()} == {"COMPLETED"}
    theirs = keras_tuner.oracles.RandomSearchOracle(**arguments)
    FunctionTuner(theirs, loss, project_name="theirs").search(verbose=0)
    assert len(theirs.trials) == len(oracle.trials)


def test_the_direction_of_the_objective_is_that_of_the_study():
    objective = keras_tuner.Objective("val_f1", "max")
    oracle = search(lambda hp: {"val_f1": hp.Float("x", 0, 1)}, objective=objective, max_trials=5)
    assert oracle.study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert oracle.study.best_value == oracle.get_best_trials()[0].score
    assert oracle.study.best_value == max(trial.value for trial in oracle.study.trials)


def test_several_objectives_are_the_sum_that_kerastuner_makes_of_them():
    objectives = ["val_loss", keras_tuner.Objective("val_accuracy", "max")]

    def epochs(hp):
        return [{"val_loss": 2.0, "val_accuracy": hp.Float("x", 0, 1)}]

    class Tuner(EpochTuner):
        def run_trial(self, trial, *args, **kwargs):
            (logs,) = self.function(trial.hyperparameters)
            self.on_epoch_end(trial, None, 0, logs)
            return {**logs, "multi_objective": 0.0}

    oracle = search(epochs, tuner=Tuner, objective=objectives, max_trials=2)
    for trial in oracle.study.trials:
        assert trial.value == 2.0 - trial.params["x"]


# Hyperparameters that are discovered later.


def test_what_is_discovered_in_a_trial_is_told_with_the_value_it_had_and_searched_from_then_on():
    def loss(hp):
        x = hp.Float("x", 0, 1)
        return x + (hp.Int("late", 2, 9, default=5) if x < 2 else 0)

    oracle = search(loss, max_trials=4, hyperparameters=declared(lambda hp: hp.Float("x", 0, 1)))
    first, *others = (trial.params for trial in oracle.study.trials)
    assert first["late"] == 5
    assert all(2 <= params["late"] <= 9 for params in others)
    for ours, params in zip(oracle.trials.values(), oracle.study.trials, strict=True):
        assert ours.hyperparameters.values == params.params


def test_what_is_discovered_is_left_out_where_it_is_not_to_be_tuned():
    def loss(hp):
        return hp.Float("x", 0, 1) + hp.Float("late", 0, 1)

    oracle = search(
        loss,
        max_trials=2,
        hyperparameters=declared(lambda hp: hp.Float("x", 0, 1)),
        tune_new_entries=False,
    )
    assert all(set(trial.params) == {"x"} for trial in oracle.study.trials)


def test_parents_that_stand_behind_their_children_are_asked_first():
    hp = declared(of_kerastuner)
    shuffled = keras_tuner.HyperParameters.from_proto(hp.to_proto())
    names = [entry.name for entry in shuffled.space]
    assert names.index("kernel") < names.index("kind")
    oracle = search(of_kerastuner, hyperparameters=shuffled, max_trials=8)
    for trial in oracle.study.trials:
        assert ("units" in trial.params) == (trial.params["kind"] == "mlp")
        assert ("kernel" in trial.params) == (trial.params["kind"] == "cnn")


# Samplers that end, and trials that a user enqueues.


def test_a_grid_ends_the_search():
    grid = {"x": [0.0, 0.5, 1.0], "kind": ["a", "b"]}

    def loss(hp):
        return hp.Float("x", 0, 1) + (hp.Choice("kind", ["a", "b"]) == "a")

    arguments = {"sampler": optuna.samplers.GridSampler(grid), "max_trials": 20}
    arguments["hyperparameters"] = declared(loss)
    oracle = search(loss, **arguments)
    assert len(oracle.study.trials) == 6
    assert len({(t.params["x"], t.params["kind"]) for t in oracle.study.trials}) == 6
    assert len(search(loss, **arguments).study.trials) == 6  # nor does it go on


def test_a_point_of_a_grid_that_fails_is_tried_again_and_the_grid_ends():
    runs = []

    def loss(hp):
        runs.append(hp.Float("x", 0, 1))
        if len(runs) in (1, 4):
            raise RuntimeError("out of memory")
        return runs[-1]

    oracle = search(
        loss,
        sampler=optuna.samplers.GridSampler({"x": [0.0, 0.5, 1.0]}, seed=0),
        max_trials=20,
        max_retries_per_trial=1,
        hyperparameters=declared(lambda hp: hp.Float("x", 0, 1)),
    )
    assert states(oracle) == ["FAIL", "COMPLETE", "COMPLETE", "FAIL", "COMPLETE"]
    assert set(runs) == {0.0, 0.5, 1.0}


def test_enqueued_trials_come_first():
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name="mine")
    study.enqueue_trial({"x": 0.125})
    hp = declared(lambda hp: hp.Float("x", 0, 1))
    oracle = search(
        lambda hp: hp.get("x"),
        storage=storage,
        study_name="mine",
        max_trials=2,
        hyperparameters=hp,
    )
    assert oracle.trials["0"].hyperparameters.values == {"x": 0.125}
    assert oracle.trials["1"].hyperparameters.values["x"] != 0.125


# Pruning.


class SecondEpochOfOddTrials(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        return trial.number % 2 == 1 and trial.last_step >= 1


def test_a_pruned_trial_stops_and_keeps_its_best_score():
    oracle = search(
        lambda hp: [hp.Float("x", 1, 2) / (1 + epoch) for epoch in range(4)],
        tuner=EpochTuner,
        objective="val_loss",
        pruner=SecondEpochOfOddTrials(),
        max_trials=4,
    )
    assert states(oracle) == ["COMPLETE", "PRUNED"] * 2
    assert [len(trial.intermediate_values) for trial in oracle.study.trials] == [4, 2, 4, 2]
    for ours, theirs in zip(oracle.trials.values(), oracle.study.trials, strict=True):
        assert ours.status == "COMPLETED"
        assert ours.score == theirs.value == theirs.intermediate_values[theirs.last_step]


def test_a_pruned_run_that_fails_is_told_as_failed_and_its_retry_begins_afresh():
    class AtOnce(EpochTuner):
        def run_trial(self, trial, *args, **kwargs):
            metrics = super().run_trial(trial)
            if len(oracle.study.trials) == 2:
                raise RuntimeError("after it was pruned")
            return metrics

    def losses(hp):
        return [hp.Float("x", 1, 2) + epoch for epoch in range(3)]

    oracle = kol.keras_tuner.OptunaOracle(
        "val_loss", max_trials=2, pruner=SecondEpochOfOddTrials(), max_retries_per_trial=1
    )
    AtOnce(oracle, losses).search(verbose=0)
    assert states(oracle) == ["COMPLETE", "FAIL", "COMPLETE"]
    assert [len(trial.intermediate_values) for trial in oracle.study.trials] == [3, 2, 3]


def test_of_several_executions_the_first_is_reported_and_a_pruned_trial_ends_the_others_too():
    epochs = []

    class TwoExecutions(EpochTuner):
        def run_trial(self, trial, *args, **kwargs):
            return [super(TwoExecutions, self).run_trial(trial) for _ in range(2)]

    def losses(hp):
        for epoch in range(3):
            epochs.append(epoch)
            yield hp.Float("x", 1, 2) + epoch

    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*already reported.*")
        oracle = search(
            losses,
            tuner=TwoExecutions,
            objective="val_loss",
            pruner=SecondEpochOfOddTrials(),
            max_trials=2,
        )
    assert states(oracle) == ["COMPLETE", "PRUNED"]
    assert [len(trial.intermediate_values) for trial in oracle.study.trials] == [3, 2]
    assert epochs == [*(0, 1, 2), *(0, 1, 2), *(0, 1), 0]


def test_a_loss_that_is_not_finite_ends_the_trial_as_pruned():
    oracle = search(
        lambda hp: [hp.Float("x", 1, 2), math.nan, 1.0],
        tuner=EpochTuner,
        objective="val_loss",
        max_trials=1,
    )
    (trial,) = oracle.study.trials
    assert trial.state.name == "PRUNED"
    assert trial.user_attrs["diverged"]
    assert trial.intermediate_values == {0: trial.params["x"]}


def test_a_pruner_with_a_tuner_that_reports_no_epochs_is_refused_before_the_first_trial():
    with pytest.raises(ValueError, match=r"MedianPruner.*Use kol.keras_tuner.OptunaTuner"):
        search(lambda hp: 1.0, pruner=optuna.pruners.MedianPruner())


def test_an_objective_that_epochs_do_not_log_ends_the_search_with_what_they_log():
    with pytest.raises(ValueError, match=r"val_f1.*which hold: val_loss\. Name one"):
        search(
            lambda hp: [hp.Float("x", 0, 1)],
            tuner=EpochTuner,
            objective=keras_tuner.Objective("val_f1", "max"),
        )


# Trials that fail.


def test_every_run_of_a_trial_that_fails_is_told_and_its_retry_has_the_same_parameters():
    runs = []

    def loss(hp):
        runs.append(hp.Float("x", 0, 1))
        if len(runs) in (2, 3):
            raise RuntimeError("out of memory")
        return runs[-1]

    oracle = search(loss, max_trials=3, max_retries_per_trial=2)
    assert states(oracle) == ["COMPLETE", "FAIL", "FAIL", "COMPLETE", "COMPLETE"]
    stored = [trial.params["x"] for trial in oracle.study.trials]
    assert stored == runs
    assert stored[1] == stored[2] == stored[3] != stored[4]
    assert [trial.status for trial in oracle.trials.values()] == ["COMPLETED"] * 3
    assert oracle.trials["1"].score == stored[1]


def test_a_trial_without_retries_left_is_failed_and_the_search_goes_on():
    def loss(hp):
        if hp.Float("x", 0, 1) > 0.5:
            raise RuntimeError("too large")
        return 1.0

    oracle = search(loss, max_trials=8, seed=0, max_consecutive_failed_trials=8)
    assert set(states(oracle)) == {"COMPLETE", "FAIL"}
    for ours, theirs in zip(oracle.trials.values(), oracle.study.trials, strict=True):
        assert (ours.status == "FAILED") == (theirs.state.name == "FAIL")


def test_too_many_failures_end_the_search_and_leave_the_oracle_usable():
    def loss(hp):
        raise RuntimeError("always")

    oracle = kol.keras_tuner.OptunaOracle(max_trials=9, max_consecutive_failed_trials=2)
    tuner = FunctionTuner(oracle, loss)
    with pytest.raises(RuntimeError, match=r"exceeded the limit of 2(.|\n)*always"):
        tuner.search(verbose=0)
    assert states(oracle) == ["FAIL", "FAIL"]
    from keras_tuner.src.engine.oracle import LOCKS

    assert not LOCKS[oracle].locked()  # KerasTuner itself would keep it, and other threads wait


def test_a_trial_whose_score_is_nan_is_told_as_pruned_and_its_retry_counts():
    values = iter([math.nan, 0.5])

    def loss(hp):
        hp.Float("x", 0, 1)
        return next(values)

    oracle = search(loss, max_trials=1, max_retries_per_trial=1)
    assert states(oracle) == ["PRUNED", "COMPLETE"]
    assert oracle.trials["0"].score == oracle.study.best_value == 0.5


# Arguments.


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"max_trials": 0}, ValueError, "`max_trials` must be a whole number ≥ 1.*max_trials=0"),
        ({"max_trials": 2.5}, TypeError, r"`max_trials` must be a whole number.*max_trials=2\.5"),
        ({"seed": -1}, ValueError, r"seed=-1"),
        ({"seed": "a"}, TypeError, r"seed='a'"),
        ({"sampler": "tp"}, ValueError, r"sampler='tp' is not known. Did you mean 'tpe'"),
        ({"sampler": 3}, TypeError, r"`sampler` must be an Optuna sampler"),
        ({"pruner": "median"}, TypeError, r"`pruner` must be an Optuna pruner.*'median'"),
    ],
)
def test_wrong_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        kol.keras_tuner.OptunaOracle("val_loss", **arguments)


def test_a_stored_study_of_the_other_direction_is_refused():
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(storage=storage, study_name="mine", direction="maximize")
    with pytest.raises(ValueError, match=r"be minimized.*stored with MAXIMIZE"):
        search(lambda hp: 1.0, storage=storage, study_name="mine")


def test_the_study_of_an_oracle_without_a_project_says_to_make_a_tuner():
    with pytest.raises(RuntimeError, match=r"Make the tuner first"):
        _ = kol.keras_tuner.OptunaOracle("val_loss").study


def test_a_tuner_that_reports_epochs_takes_our_oracle_only():
    oracle = keras_tuner.oracles.RandomSearchOracle("val_loss")
    with pytest.raises(TypeError, match=r"`oracle` must be an OptunaOracle"):
        kol.keras_tuner.OptunaTuner(oracle, lambda hp: None)


def test_on_tensorflow_without_tensorboard_it_says_at_once_what_to_install(monkeypatch):
    from keras_optim_lab.keras_tuner import oracle

    monkeypatch.setattr(oracle.keras.backend, "backend", lambda: "tensorflow")
    kol.keras_tuner.OptunaOracle("val_loss")  # it is there
    monkeypatch.setattr(oracle.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"keras-optim-lab\[keras-tuner\]"):
        kol.keras_tuner.OptunaOracle("val_loss")
    monkeypatch.setattr(oracle.keras.backend, "backend", lambda: "jax")
    kol.keras_tuner.OptunaOracle("val_loss")
