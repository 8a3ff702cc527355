"""A study asks, trains, tells and remembers; whatever happens in a trial, it stays valid."""

import math
import re
from itertools import islice
from pathlib import Path

import keras
import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

import keras_optim_lab as kol
from keras_optim_lab.tuner import TuningResult
from tests.studies import Formula, small_task


def results(study):
    """All that a study found, trial by trial."""
    return [(trial.params, trial.state, trial.value) for trial in study.trials]


def journal(name="study"):
    return Path("studies") / f"{name}.journal"


pytestmark = [pytest.mark.usefixtures("by_formula"), pytest.mark.once]


# What a study gives.


def test_the_study_is_optunas_with_the_trials_asked_for(task):
    result = kol.tune(task, "adam", trials=5)
    assert isinstance(result, kol.TuningResult)
    assert isinstance(result.study, optuna.Study)
    assert [trial.number for trial in result.study.trials] == [0, 1, 2, 3, 4]
    assert all(trial.state.is_finished() for trial in result.study.trials)


def test_the_best_settings_are_those_of_the_best_trial_by_the_names_of_the_arguments(task):
    result = kol.tune(task, "adam", trials=6, pruner="none")
    params = result.study.best_trial.params
    assert result.best_params == {
        "learning_rate": params["learning_rate"],
        "beta_1": 1 - params["1-beta_1"],
        "beta_2": 1 - params["1-beta_2"],
        "epsilon": params["epsilon"],
    }


def test_every_best_optimizer_is_a_fresh_one_with_the_best_settings(task):
    result = kol.tune(task, "radam", trials=3)
    first, second = result.best_optimizer(), result.best_optimizer()
    assert isinstance(first, kol.optimizers.RAdam)
    assert first is not second
    assert not first.built
    config = first.get_config()
    assert {name: config[name] for name in result.best_params} == result.best_params


def test_among_several_optimizers_each_trial_holds_the_parameters_of_the_one_it_chose(task):
    result = kol.tune(task, ["adam", "momentum"], trials=12, sampler="random", pruner="none")
    chosen = {trial.params["optimizer"] for trial in result.study.trials}
    assert chosen == {"adam", "momentum"}
    for trial in result.study.trials:
        name = trial.params["optimizer"]
        own = kol.search_space(["adam", "momentum"])
        assert trial.params.keys() == {"optimizer"} | {n for n in own if n.startswith(f"{name}.")}
    best = result.study.best_trial.params["optimizer"]
    assert result.best_name == best
    assert isinstance(result.best_optimizer(), kol.optimizers.entry(best).cls)
    assert isinstance(result.default_optimizer(), kol.optimizers.entry(best).cls)


def test_fixed_settings_are_part_of_the_result(task):
    result = kol.tune(task, "adam", trials=2, space={"beta_1": 0.8, "amsgrad": True})
    assert result.best_params["beta_1"] == 0.8
    assert result.best_optimizer().amsgrad is True


SCHEDULED = {"schedule": ["constant", "linear", "cosine"], "warmup": (0.0, 0.5)}


def test_a_searched_schedule_is_part_of_the_result_and_as_long_as_the_training(task, by_formula):
    by_formula(loss=lambda s: 1.0 + (s["schedule"] != "cosine") + s["warmup"])
    result = kol.tune(task, "adam", trials=12, sampler="random", pruner="none", space=SCHEDULED)
    best = result.study.best_trial.params
    assert best["schedule"] == "cosine"
    assert result.best_params["schedule"] == "cosine"
    assert result.best_params["warmup"] == best["warmup"]
    assert result.steps == 3 * 2
    optimizer = result.best_optimizer()
    assert type(optimizer).numeric["learning_rate"].given(optimizer).get_config() == {
        "learning_rate": best["learning_rate"],
        "steps": 6,
        "warmup": best["warmup"],
        "decay": "cosine",
    }
    assert result.default_optimizer().get_config()["learning_rate"] == 1e-3


def test_a_study_with_a_schedule_is_loaded_and_continued(task):
    made = kol.tune(task, trials=3, name="mine", space=SCHEDULED)
    assert TuningResult.load("mine", task=task).best_params == made.best_params
    assert len(kol.tune(task, trials=5, name="mine", space=SCHEDULED).study.trials) == 5
    fixed = {"schedule": "cosine", "beta_1": 0.9}
    made = kol.tune(task, trials=3, name="fixed", space=fixed)
    assert TuningResult.load("fixed", task=task).best_params == made.best_params
    assert made.best_params["schedule"] == "cosine"
    with pytest.raises(ValueError, match="schedule is fixed at cosine, not fixed at linear"):
        kol.tune(task, trials=5, name="fixed", space={**fixed, "schedule": "linear"})


def test_a_task_that_does_not_know_its_steps_has_no_schedule(task, monkeypatch, in_empty_folder):
    monkeypatch.setattr(kol.Task, "steps", None)
    with pytest.raises(ValueError, match=r"'schedule', 'warmup' cannot.*'small' does not tell how"):
        kol.tune(task, trials=1, space=SCHEDULED)
    assert list(in_empty_folder.iterdir()) == []
    assert kol.tune(task, trials=1).steps is None


def test_the_same_seed_gives_the_same_trials_and_another_seed_gives_others(task):
    first, again, other = (kol.tune(task, trials=12, seed=seed) for seed in (3, 3, 4))
    assert results(first.study) == results(again.study)
    assert results(first.study) != results(other.study)


def test_studies_begun_at_once_without_a_name_are_different_studies(task):
    studies = [kol.tune(task, trials=1).study for _ in range(3)]
    assert len({study.study_name for study in studies}) == 3
    assert all(len(study.trials) == 1 for study in studies)


def test_a_task_may_have_any_name():
    result = kol.tune(
        small_task(name="../my task: 1"), ["adam", "radam", "nadam", "adamw"], trials=1
    )
    assert result.study.study_name.startswith("my-task-1-4-optimizers-")
    assert journal(result.study.study_name).exists()


def test_every_trial_keeps_its_seed_its_epochs_its_seconds_and_its_curve(task):
    study = kol.tune(task, trials=2, folds=None, seed=7, pruner="none", start="none").study
    assert all(trial.user_attrs["seconds"] >= 0 for trial in study.trials)
    assert [{**trial.user_attrs, "seconds": None} for trial in study.trials] == [
        {"seed": 7, "epochs": 2, "seconds": None},
        {"seed": 8, "epochs": 2, "seconds": None},
    ]
    assert all(list(trial.intermediate_values) == [0, 1] for trial in study.trials)
    assert all(trial.value == trial.intermediate_values[1] for trial in study.trials)


def test_callbacks_are_called_once_for_every_trial_that_is_told(task, by_formula):
    by_formula(loss=lambda h: math.nan if h["learning_rate"] > 3e-3 else h["learning_rate"])
    told = []
    study = kol.tune(
        task, trials=8, callbacks=[lambda study, trial: told.append((trial.number, trial.state))]
    ).study
    assert told == [(trial.number, trial.state) for trial in study.trials]
    assert {state for _, state in told} == {TrialState.COMPLETE, TrialState.PRUNED}


# Where a study is kept.


def test_a_study_is_kept_in_a_journal_file_under_studies(task):
    kol.tune(task, trials=2, name="mine")
    assert journal("mine").is_file()
    assert [path.name for path in Path("studies").glob("[!.]*")] == ["mine.journal"]


@pytest.mark.parametrize("storage", ["sqlite:///studies.db", "deep/folder/file.journal"])
def test_a_study_can_be_kept_elsewhere_and_read_again(task, storage):
    made = kol.tune(task, trials=2, name="mine", storage=storage)
    again = TuningResult.load("mine", storage, task)
    assert results(again.study) == results(made.study)
    assert again.best_params == made.best_params
    assert not Path("studies").exists()


def test_a_study_can_be_kept_in_an_optuna_storage(task, in_empty_folder):
    storage = optuna.storages.InMemoryStorage()
    kol.tune(task, trials=2, name="mine", storage=storage)
    assert len(optuna.load_study(study_name="mine", storage=storage).trials) == 2
    assert list(in_empty_folder.iterdir()) == []


@pytest.mark.parametrize("storage", [None, "sqlite:///studies.db"])
def test_the_same_name_continues_a_study_with_what_is_missing(task, storage):
    first = kol.tune(task, trials=3, name="mine", storage=storage)
    before = results(first.study)
    more = kol.tune(task, trials=5, name="mine", storage=storage)
    assert len(more.study.trials) == 5
    assert results(more.study)[:3] == before
    assert len({str(trial.params) for trial in more.study.trials}) == 5, "no trial is repeated"
    enough = kol.tune(task, trials=4, name="mine", storage=storage)
    assert results(enough.study) == results(more.study)


def test_the_seeds_of_trials_go_on_in_a_continued_study(task):
    kol.tune(task, trials=2, folds=None, name="mine", seed=5)
    study = kol.tune(task, trials=4, folds=None, name="mine", seed=5).study
    assert [trial.user_attrs["seed"] for trial in study.trials] == [5, 6, 7, 8]


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("space", {"space": {"beta_1": 0.9}}),
        ("space", {"space": {"schedule": ["constant", "cosine"]}}),
        ("space", {"space": {"warmup": 0.1}}),
        ("space", {"optimizer": "radam"}),
        ("space", {"optimizer": ["adam", "radam"]}),
        ("objective", {"objective": "loss"}),
        ("direction", {"objective": ("val_loss", "maximize")}),
        ("task", {"task": small_task(name="other")}),
        ("epochs", {"task": small_task(epochs=3)}),
        ("batch_size", {"task": small_task(batch_size=4)}),
    ],
)
def test_a_study_that_exists_with_other_settings_is_refused_and_left_as_it_was(task, part, change):
    kol.tune(task, "adam", trials=2, name="mine")
    before = journal("mine").read_bytes()
    trained = []
    with pytest.raises(ValueError, match=f"'mine' exists with another {part}: .*another name"):
        kol.tune(
            **{"task": task, "optimizer": "adam", "name": "mine", **change},
            trials=4,
            callbacks=[lambda *told: trained.append(told)],
        )
    assert trained == []
    assert journal("mine").read_bytes() == before


def test_the_refusal_names_only_what_differs(task):
    kol.tune(task, "adam", trials=1, name="mine")
    with pytest.raises(ValueError, match="beta_1") as refused:
        kol.tune(task, "adam", trials=1, name="mine", space={"beta_1": (0.5, 0.6)})
    assert "epsilon" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"optimizer": "radam"}, "it tunes adam, not radam"),
        (
            {"space": {"beta_1": 0.9}},
            r"beta_1 is searched as 1 − β in .* logarithm, not fixed at 0.9",
        ),
        ({"space": {"schedule": "cosine"}}, "schedule is left as it is, not fixed at cosine"),
        ({"optimizer": kol.Adam(0.5)}, r"adam is left as it is, not Adam\(learning_rate=0.5"),
    ],
)
def test_the_refusal_says_in_words_what_differs(task, change, said):
    kol.tune(task, "adam", trials=1, name="mine")
    with pytest.raises(ValueError, match=f"another space: {said}") as refused:
        kol.tune(**{"task": task, "optimizer": "adam", **change}, trials=1, name="mine")
    assert "{" not in str(refused.value)


def test_a_study_of_someone_elses_is_refused_and_left_as_it_was(task):
    theirs = optuna.create_study(study_name="mine", storage="sqlite:///studies.db")
    theirs.set_user_attr("purpose", "another one")
    before = Path("studies.db").read_bytes()
    with pytest.raises(ValueError, match=r"not made by keras_optim_lab.*another name"):
        kol.tune(task, trials=1, name="mine", storage="sqlite:///studies.db")
    assert Path("studies.db").read_bytes() == before


def unopenable():
    Path("folder.journal").mkdir()
    Path("file").write_text("no folder")
    Path("corrupt.journal").write_text("no journal\nat all\n")
    Path("other.journal").write_text("no journal, and no last line either")
    Path("text.db").write_text("no data base, " * 100)


@pytest.mark.parametrize(
    "storage",
    [
        *("folder.journal", "file/study.journal", "corrupt.journal", "other.journal", ""),
        *("nonsense://study", "sqlite:///no/such/folder/s.db", "sqlite:///text.db"),
        *("/proc/study.journal", "sqlite:////proc/study.db"),  # where nobody may write
    ],
)
def test_a_storage_that_cannot_be_opened_is_an_error_before_the_first_trial(
    task, storage, in_empty_folder
):
    unopenable()
    before = contents(in_empty_folder)
    trained = []
    with pytest.raises(OSError, match=f"The storage {storage!r} cannot be opened .*Give") as error:
        kol.tune(task, trials=1, storage=storage, callbacks=[lambda *told: trained.append(told)])
    assert "\n" not in str(error.value)
    assert trained == []
    assert contents(in_empty_folder) == before


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["no/such", "", ".hidden", 3])
def test_a_name_that_cannot_be_a_file_is_refused(task, name):
    if name == "":
        assert kol.tune(task, trials=1, name=name).study.study_name.startswith("small-adam-")
        return
    with pytest.raises(ValueError, match=re.escape(f"name={name!r}")):
        kol.tune(task, trials=1, name=name)


@pytest.mark.parametrize("wrong", [("study", 5), (5, "other.journal"), (b"study", "s.journal")])
def test_loading_takes_a_name_and_a_storage(wrong):
    with pytest.raises(TypeError, match=r"storage=5|name=5|name=b'study'"):
        TuningResult.load(*wrong)


@pytest.mark.parametrize("storage", [None, "other.journal", "sqlite:///other.db"])
def test_loading_a_study_that_does_not_exist_creates_nothing(storage, in_empty_folder):
    with pytest.raises(ValueError, match="There is no study 'mine'"):
        TuningResult.load("mine", storage)
    assert list(in_empty_folder.iterdir()) == []


@pytest.mark.parametrize("storage", [None, "sqlite:///studies.db"])
def test_loading_a_study_by_a_misspelt_name_lists_near_ones(task, storage):
    kol.tune(task, trials=1, name="first-study", storage=storage)
    with pytest.raises(ValueError, match="Did you mean 'first-study'"):
        TuningResult.load("frist-study", storage)


def test_a_study_of_a_task_of_ones_own_is_loaded_with_the_task(task):
    made = kol.tune(task, trials=2, name="mine")
    with pytest.raises(ValueError, match=r"'small', which is not built in.*task=your_task"):
        TuningResult.load("mine")
    assert TuningResult.load("mine", task=task).best_params == made.best_params


# What can happen in a trial.


@pytest.mark.parametrize("name", ["loss", "val_loss"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_diverged_trial_is_told_as_pruned_and_the_study_goes_on(make_study, name, value):
    result = make_study(pruner="none")
    healthy = {"loss": 1.0, "val_loss": 1.0}

    def logs(loss, epoch):
        return {**healthy, name: value} if len(result.study.trials) == 2 and epoch == 1 else healthy

    result.run(4, engine=Formula(logs=logs))
    states = [trial.state.name for trial in result.study.trials]
    assert states == ["COMPLETE", "PRUNED", "COMPLETE", "COMPLETE"]
    diverged = result.study.trials[1]
    assert {**diverged.user_attrs, "seconds": None} == {
        "seed": 1,
        "diverged": True,
        "epochs": 2,
        "seconds": None,
    }
    assert diverged.intermediate_values == {0: 1.0}


def test_a_metric_without_a_value_is_no_divergence(make_study):
    result = make_study()
    result.run(1, engine=Formula(logs=lambda *_: {"loss": 1.0, "val_loss": 1.0, "mae": math.nan}))
    assert result.study.trials[0].state == TrialState.COMPLETE


def test_a_study_whose_trials_all_diverged_says_that_it_has_no_best(make_study):
    result = make_study()
    result.run(2, engine=Formula(loss=lambda h: math.nan))
    with pytest.raises(RuntimeError, match=r"'study' has no complete trial.*Run more trials"):
        _ = result.best_params


class PruneAll(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        return True


def test_a_pruned_trial_stops_at_the_epoch_where_the_pruner_said_so(make_study):
    result = make_study(pruner=PruneAll())
    result.run(3, engine=Formula())
    for trial in result.study.trials:
        assert trial.state == TrialState.PRUNED
        assert list(trial.intermediate_values) == [0]
        assert "diverged" not in trial.user_attrs


class BrokenError(Exception):
    pass


def broken(hyperparameters):
    raise BrokenError("no such layer")


def test_an_error_in_a_trial_is_told_as_failed_and_raised(make_study):
    result = make_study()
    with pytest.raises(BrokenError):
        result.run(3, engine=Formula(loss=broken))
    (trial,) = result.study.trials
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["error"] == "BrokenError: no such layer"


def test_failed_trials_do_not_count_when_the_study_is_continued(make_study):
    with pytest.raises(BrokenError):
        make_study().run(2, engine=Formula(loss=broken))
    result = make_study()
    result.run(2, engine=Formula())
    assert [trial.state.name for trial in result.study.trials] == ["FAIL", "COMPLETE", "COMPLETE"]


def interrupt(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["training", "callback"])
def test_after_an_interruption_the_study_is_valid_and_continues(make_study, where):
    if where == "training":
        make_study().run(2, engine=Formula())
        with pytest.raises(KeyboardInterrupt):
            make_study().run(5, engine=Formula(loss=interrupt))
        expected = [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.FAIL]
    else:
        with pytest.raises(KeyboardInterrupt):
            make_study(pruner="none").run(5, engine=Formula(), callbacks=[interrupt])
        expected = [TrialState.COMPLETE]
    result = make_study(pruner="none")
    assert [trial.state for trial in result.study.trials] == expected
    assert result.best_params
    result.run(5, engine=Formula())
    assert len(result.finished_trials) == 5
    assert all(trial.state.is_finished() for trial in result.study.trials)


def test_an_objective_that_is_missing_from_the_logs_is_an_error_that_lists_them(make_study):
    result = make_study(objective="val_mae")
    with pytest.raises(KeyError, match=r"objective='val_mae'.*They hold: loss, val_loss"):
        result.run(1, engine=Formula())


# The objective.


@pytest.mark.parametrize(
    ("metrics", "objective", "direction"),
    [
        ([], "val_loss", "minimize"),
        ([], "loss", "minimize"),
        (["accuracy"], "val_accuracy", "maximize"),
        (["accuracy"], "accuracy", "maximize"),
        (["mae"], "val_mae", "minimize"),
        (["mean_squared_error"], "val_mean_squared_error", "minimize"),
        (["AUC"], ("val_AUC", "maximize"), "maximize"),
        (["accuracy"], ("val_accuracy", "minimize"), "minimize"),
    ],
)
def test_the_direction_follows_from_the_name_unless_it_is_given(
    make_study, metrics, objective, direction
):
    result = make_study(task=small_task(metrics=metrics), objective=objective)
    assert result.study.direction.name.lower() == direction


def my_score(y_true, y_pred):
    return y_pred


def test_a_metric_of_ones_own_needs_its_direction(make_study):
    task = small_task(metrics=[my_score])
    with pytest.raises(ValueError, match=r"which way is better.*\('val_my_score', \"maximize\"\)"):
        make_study(task=task, objective="val_my_score")
    assert make_study(task=task, objective=("val_my_score", "maximize"))


def test_the_best_of_a_maximized_objective_is_the_largest(make_study):
    result = make_study(task=small_task(metrics=["accuracy"]), objective="val_accuracy")
    result.run(6, engine=Formula(logs=lambda loss, epoch: {"val_accuracy": 1 / loss}))
    values = [trial.value for trial in result.study.trials if trial.state == TrialState.COMPLETE]
    assert result.best_trial.value == max(values)
    assert [trial.value for trial in result.ranked_trials] == sorted(values, reverse=True)


# Samplers, pruners, engines.


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (None, optuna.samplers.TPESampler),
        ("tpe", optuna.samplers.TPESampler),
        ("random", optuna.samplers.RandomSampler),
        ("qmc", optuna.samplers.QMCSampler),
    ],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_samplers_have_names(make_study, name, kind):
    result = make_study(sampler=name)
    assert type(result.study.sampler) is kind
    result.run(2, engine=Formula())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (None, optuna.pruners.NopPruner),
        ("median", optuna.pruners.MedianPruner),
        ("hyperband", optuna.pruners.HyperbandPruner),
        ("halving", optuna.pruners.SuccessiveHalvingPruner),
        ("none", optuna.pruners.NopPruner),
    ],
)
def test_pruners_have_names(make_study, name, kind):
    result = make_study(pruner=name)
    assert type(result.study.pruner) is kind
    result.run(2, engine=Formula())


def test_any_sampler_and_pruner_of_optunas_is_taken_as_it_is(make_study):
    sampler, pruner = optuna.samplers.CmaEsSampler(), optuna.pruners.PercentilePruner(25.0)
    for _ in ("new", "continued"):
        study = make_study(sampler=sampler, pruner=pruner).study
        assert study.sampler is sampler
        assert study.pruner is pruner


def test_a_sampler_that_has_tried_everything_ends_the_study(make_study):
    grid = {"learning_rate": [1e-4, 1e-2]}
    rates = optuna.distributions.CategoricalDistribution(grid["learning_rate"])
    result = make_study(
        optimizer="gradient_descent",
        space={"learning_rate": rates},
        sampler=optuna.samplers.GridSampler(grid, seed=0),
    )
    result.run(5, engine=Formula())
    assert sorted(t.params["learning_rate"] for t in result.study.trials) == [1e-4, 1e-2]


def test_a_callback_can_end_the_study_and_it_can_be_continued(make_study):
    result = make_study()
    result.run(5, engine=Formula(), callbacks=[lambda study, trial: study.stop()])
    assert len(result.study.trials) == 1
    result.run(3, engine=Formula())
    assert len(result.study.trials) == 3


class Greedy:
    """Draws as many candidates as it is given and trains them together."""

    name = "greedy"

    def __init__(self, room):
        self.summary = {}
        self.room = room
        self.drawn = []

    def run(self, task, candidates):
        while group := list(islice(candidates, self.room)):
            self.drawn += [candidate.trial.number for candidate in group]
            for candidate in group:
                with candidate:
                    candidate.report(0, {"val_loss": 1.0})


@pytest.mark.parametrize("room", [1, 2, 3, 50])
def test_an_engine_that_trains_several_at_once_never_gets_more_candidates_than_trials(
    make_study, room
):
    result = make_study(pruner="none")
    engine = Greedy(room)
    result.run(7, engine=engine)
    assert len(result.finished_trials) == 7
    assert engine.drawn == [trial.number for trial in result.study.trials]
    assert len(engine.drawn) == 7


def test_a_candidate_makes_a_new_optimizer_of_its_settings_each_time(make_study):
    made = []

    class Making(Greedy):
        def run(self, task, candidates):
            for candidate in candidates:
                made.append((candidate.optimizer(), candidate.optimizer(), candidate))
                with candidate:
                    candidate.report(0, {"val_loss": 1.0})

    make_study().run(2, engine=Making(1))
    for first, second, candidate in made:
        assert first is not second
        config = first.get_config()
        settings = candidate.configuration.settings
        assert {name: config[name] for name in settings} == settings


# Bad input.


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"task": "digits-mpl"}, ValueError, r"'digits-mpl'.*Did you mean 'digits-mlp'"),
        ({"task": None}, TypeError, r"`task` must be the name .*task=None"),
        ({"optimizer": "adm"}, ValueError, r"'adm'.*Did you mean 'adam'"),
        ({"trials": 0}, ValueError, "`trials` must be a whole number ≥ 1.*trials=0"),
        (
            {"trials": 10**12},
            ValueError,
            "whole number ≤ 2,147,483,647.*trials=10000",
        ),
        ({"trials": 2.5}, TypeError, r"`trials` must be a whole number.*trials=2\.5"),
        ({"trials": True}, TypeError, "`trials` must be a whole number.*trials=True"),
        ({"seed": -1}, ValueError, "`seed` must be a whole number ≥ 0.*seed=-1"),
        (
            {"seed": 2**40},
            ValueError,
            "whole number ≤ 2,147,483,647.*seed=1099",
        ),
        ({"seed": 1.5}, TypeError, r"`seed` must be a whole number.*seed=1\.5"),
        ({"seed": None}, TypeError, r"`seed` must be a whole number.*seed=None"),
        ({"confirm": -1}, ValueError, "`confirm` must be a whole number ≥ 0.*confirm=-1"),
        ({"confirm": True}, TypeError, "`confirm` must be a whole number.*confirm=True"),
        ({"sampler": "tpo"}, ValueError, r"sampler='tpo'.*Did you mean 'tpe'.*Known: tpe, gp"),
        ({"pruner": "medain"}, ValueError, r"pruner='medain'.*Did you mean 'median'"),
        (
            {"sampler": optuna.samplers.TPESampler},
            TypeError,
            r"`sampler` must be an Optuna sampler",
        ),
        ({"pruner": 3}, TypeError, r"`pruner` must be an Optuna pruner"),
        ({"storage": 5}, TypeError, r"`storage` must be the path.*storage=5"),
        ({"storage": optuna.storages.InMemoryStorage}, TypeError, r"`storage` must be the path"),
        ({"name": 5, "storage": "sqlite:///s.db"}, TypeError, r"name=5 must be a string"),
        ({"name": 0, "storage": "s.journal"}, TypeError, r"name=0 must be a string"),
        ({"name": "a\udcff", "storage": "s.journal"}, ValueError, r"name='a\\udcff' holds a surro"),
        ({"space": {"learning_rate": 10**400}}, ValueError, r"must be a finite number ≥ 0"),
        ({"space": {"learning_rate": (1, 10**400)}}, ValueError, r"learning_rate=inf"),
        ({"space": {5: 1.0}}, TypeError, r"space: its keys are names.*5"),
        ({"space": {"beta1": 0.9}}, ValueError, r"Did you mean 'beta_1'"),
        (
            {"optimizer": "newton"},
            ValueError,
            r"Newton has no search space.*`space`.*learning_rate, damping.*task\.fit",
        ),
        (
            {"objective": "val_los"},
            ValueError,
            r"'val_los'.*Did you mean 'val_loss'.*measures: val",
        ),
        ({"objective": ("val_loss", "down")}, ValueError, r"`objective`.*\"minimize\".*'down'"),
        ({"objective": ("val_loss",)}, TypeError, r"`objective` must be a name.*\('val_loss',\)"),
        ({"objective": 3}, TypeError, r"`objective` must be a name.*objective=3"),
        ({"callbacks": print}, TypeError, r"callbacks=<built-in function print> must be a list"),
        ({"callbacks": [print, 3]}, TypeError, r"callbacks: 3 must be a function \(study, trial\)"),
        (
            {"callbacks": [lambda trial: None]},
            TypeError,
            r"takes \(trial\); it must be callable as callback\(study, trial\)",
        ),
        (
            {"callbacks": [keras.callbacks.History()]},
            TypeError,
            r"is a callback of Keras's, and a study calls its own as",
        ),
        (
            {"callbacks": [optuna.study.MaxTrialsCallback]},
            TypeError,
            r"must be a function \(study, trial\), or an instance",
        ),
    ],
)
def test_bad_input_is_refused_before_anything_is_stored(
    task, change, error, message, in_empty_folder
):
    with pytest.raises(error, match=f"(?s){message}"):
        kol.tune(**{"task": task, "optimizer": "adam", "trials": 1, **change})
    assert list(in_empty_folder.iterdir()) == []


def test_a_numpy_integer_is_a_seed(task):
    assert kol.tune(task, trials=1, seed=np.int64(3)).study.trials[0].user_attrs["seed"] == 3
