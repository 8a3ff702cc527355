"""Batch size and epochs as searched parameters, beside the schedule."""

import re

import keras
import numpy as np
import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

import keras_optim_lab as kol
from keras_optim_lab.tuner import TuningResult
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.spaces.recipe import Recipe
from keras_optim_lab.tuning.spaces.settings import as_params, default_params
from keras_optim_lab.tuning.spaces.space import SearchSpace
from tests.studies import small_task
from tests.tuning.populations import BACKEND, FORMS, assert_same_as_fit, search

OWN = Recipe(batch_size=8, epochs=2)
SIZES = {"batch_size": [5, 8, 24], "epochs": (1, 3)}


# What is trained.


# Programs of three sizes take a while to compile, so half of the cases are tried where they are.
CASES = [*zip(FORMS, (None, 2), strict=True)]
OTHERS = [*zip(FORMS, (2, None), strict=True)] if BACKEND == "torch" else []


@pytest.mark.parametrize(("form", "folds"), CASES + OTHERS)
def test_rows_of_every_batch_size_and_length_are_those_of_fit(form, folds):
    queued = [
        {"learning_rate": 0.01, "batch_size": size, "epochs": epochs, "warmup": 0.25}
        for size, epochs in ((5, 3), (8, 1), (24, 2), (5, 2))
    ]
    space = {**SIZES, "schedule": "cosine", "warmup": (0.0, 0.5)}
    changes = {"space": space, "settings": queued, "trials": 4, "folds": folds}
    assert assert_same_as_fit(width=6 * (folds or 1), form=form, **changes)["programs"] == 3


def test_a_trial_is_reported_for_as_many_epochs_as_it_chose():
    result = search(PopulationEngine(4), space=SIZES, trials=6)
    for trial in result.finished_trials:
        assert [*trial.intermediate_values] == [*range(trial.params["epochs"])]
        assert trial.user_attrs["epochs"] == trial.params["epochs"]
    assert {trial.params["epochs"] for trial in result.finished_trials} == {1, 3}


def test_one_who_is_trained_again_is_so_with_the_recipe_of_its_trial():
    result = kol.tune(small_task(), "adam", trials=8, space=SIZES, confirm=2, folds=None, seed=3)
    assert result.verdict is not None
    confirmed = result.confirmation
    assert np.isfinite([*confirmed.default, *confirmed.tuned]).all()
    untuned = result.space.untuned("adam").recipe
    assert (untuned.batch_size, untuned.epochs) == (8, 2)


# What a study is told.


def test_a_study_begins_with_what_the_task_says():
    first = kol.tune(small_task(), "adam", trials=1, space=SIZES, confirm=0, folds=None)
    assert first.study.trials[0].params["batch_size"] == 8
    assert first.study.trials[0].params["epochs"] == 2
    assert first.best_params == {**first.best_params, "batch_size": 8, "epochs": 2}


def test_what_a_task_says_may_be_outside_of_the_space():
    space = SearchSpace("adam", {"batch_size": [16, 64], "epochs": (5, 9)}, OWN)
    near = as_params(space, {"learning_rate": 1e-3}, "start")
    assert (near["batch_size"], near["epochs"]) == (16, 5)
    with pytest.raises(ValueError, match=r"the defaults of adam: batch_size=8 is outside"):
        default_params(space, "adam")


@pytest.mark.once
def test_the_best_recipe_is_part_of_the_result(by_formula):
    by_formula(loss=lambda s: 1.0 + abs(s["batch_size"] - 5) + abs(s["epochs"] - 3))
    space = {**SIZES, "schedule": "cosine"}
    arguments = {"trials": 24, "space": space, "confirm": 0, "folds": None, "name": "mine"}
    result = kol.tune(small_task(), "adam", **arguments)
    assert (result.best_params["batch_size"], result.best_params["epochs"]) == (5, 3)
    assert result.steps == 3 * 5  # 24 samples are five batches of five or less
    rate = result.best_optimizer().get_config()["learning_rate"]
    assert rate["config"]["steps"] == 15
    assert TuningResult.load("mine", task=small_task()).best_params == result.best_params


def test_the_report_says_what_to_call_fit_with(tmp_path):
    result = kol.tune(small_task(), "adam", trials=2, space={"batch_size": 6, "epochs": 1})
    page = result.report(tmp_path / "page.html", seeds=2).read_text()
    assert re.search(r"model\.fit\(x, y, batch_size=\S*6\S*, epochs=\S*1\S*, \.\.\.\)", page)


def test_candidates_of_a_comparison_may_have_recipes():
    adam = {"optimizer": "adam", "learning_rate": 0.01}
    pair = {"as the task says": adam, "in small batches": {**adam, "batch_size": 4, "epochs": 3}}
    compared = kol.compare(small_task(), pair, folds=None, runs=8)
    one, other = (compared.configurations[name] for name in pair)
    assert one.on(small_task()).training_steps == 3 * 2
    assert other.on(small_task()).training_steps == 6 * 3
    with pytest.raises(ValueError, match="are the same settings"):
        kol.compare(small_task(), {"one": adam, "other": {**adam, "batch_size": 8}})


@pytest.mark.once
def test_a_grid_has_each_number_of_epochs_once(by_formula):
    space = {"learning_rate": 0.1, "epochs": (1, 40), "batch_size": [4, 8]}
    arguments = {"sampler": "grid", "start": "none", "confirm": 0, "folds": None}
    study = kol.tune(small_task(), "gradient_descent", trials=99, space=space, **arguments).study
    found = sorted((trial.params["batch_size"], trial.params["epochs"]) for trial in study.trials)
    assert found == [(size, epochs) for size in (4, 8) for epochs in (1, 3, 6, 16, 40)]


@pytest.mark.once
def test_pruners_know_the_longest_training():
    result = search(None, space={"epochs": (3, 27)}, pruner="hyperband")
    assert result.study.pruner._max_resource == 27


# The space.


def test_the_space_is_described_and_made_again():
    space = SearchSpace(["adam", "lion"], {**SIZES, "warmup": 0.1}, OWN)
    again = SearchSpace.from_description(space.describe(), OWN)
    assert again.recipe == space.recipe
    assert again.distributions == space.distributions
    assert space.distributions["batch_size"] == CategoricalDistribution([5, 8, 24])
    assert space.distributions["epochs"] == IntDistribution(1, 3, log=True)
    assert len(space.structures) == 2 * 3
    with pytest.warns(UserWarning, match="int64"):
        drawn = {name: CategoricalDistribution([np.int64(4), np.int64(5)]) for name in SIZES}
    whole = SearchSpace("adam", drawn, OWN)
    assert SearchSpace.from_description(whole.describe(), OWN).recipe == drawn
    assert "batch_size" not in SearchSpace("adam", {"batch_size": 8}, OWN).describe()


def test_a_task_is_changed_only_where_its_recipe_is_another():
    task = small_task()
    assert Configuration("adam", {}).on(task) is task
    assert Configuration("adam", {}, Recipe(batch_size=8, epochs=2)).on(task) is task
    other = Configuration("adam", {}, Recipe(epochs=5)).on(task)
    assert (other.batch_size, other.epochs) == (8, 5)


class Pipeline(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return np.zeros((4, 3), "float32"), np.zeros((4, 1), "float32")


@pytest.mark.once
@pytest.mark.parametrize(
    ("space", "kind", "message"),
    [
        ({"batch_size": 0}, ValueError, "`batch_size` must be a whole number ≥ 1"),
        ({"batch_size": 2.5}, TypeError, "`batch_size` must be a whole number"),
        ({"batch_size": []}, TypeError, "'batch_size' takes a whole number, or a list"),
        ({"batch_size": [4, 4]}, ValueError, "'batch_size' names one twice"),
        ({"batch_size": [4, 0]}, ValueError, "`batch_size` must be a whole number ≥ 1"),
        ({"batch_size": (4, 8)}, TypeError, "takes a list such as"),
        ({"batch_size": IntDistribution(4, 8)}, TypeError, "every size is a program of its own"),
        ({"batch_size": [4, 25]}, ValueError, "at most 24, the training samples"),
        ({"epochs": 0}, ValueError, "`epochs` must be a whole number ≥ 1"),
        ({"epochs": (1.5, 3)}, TypeError, "`epochs` must be a whole number"),
        ({"epochs": (5, 2)}, ValueError, "'epochs' takes low ≤ high"),
        ({"epochs": (1, 2, 3)}, TypeError, "'epochs' must be a .low, high. pair"),
        ({"epochs": CategoricalDistribution([2, 2])}, ValueError, "'epochs' names one twice"),
        ({"epochs": FloatDistribution(1, 3)}, TypeError, "'epochs' takes a whole number"),
        ({"adam.epochs": 3}, ValueError, "belongs to the study, not to an optimizer"),
        ({"batchsize": 3}, ValueError, "Did you mean 'batch_size'"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_trained(space, kind, message):
    with pytest.raises(kind, match=message):
        kol.tune(small_task(), "adam", trials=1, space=space)


@pytest.mark.once
def test_tasks_that_cannot_choose_say_why():
    piped = small_task(train=Pipeline(), validation=Pipeline(), test=None)
    for task, why in (
        (piped, "a data pipeline makes its batches itself"),
        (small_task(drop_remainder=True), "drop_remainder=True leaves out the last"),
    ):
        with pytest.raises(ValueError, match=why):
            kol.tune(task, "adam", trials=1, space={"batch_size": [4, 8]})
    with pytest.raises(ValueError, match="there is no task"):
        kol.search_space("adam", epochs=(1, 3))
    for settings, why in (
        ({"batch_size": 7}, "batch_size=7 is outside"),
        ({"adam.epochs": 3}, "'epochs' belongs to the study, not to an optimizer. Write 'epochs'"),
    ):
        with pytest.raises(ValueError, match=rf"start\[0\]: .*{why}"):
            kol.tune(small_task(), "adam", space=SIZES, start=[settings])
    for whole in (small_task(), small_task(drop_remainder=True)):
        with pytest.raises(ValueError, match=r"'batch_size' (may be at most 24|changes what)"):
            kol.compare(whole, {"one": "adam", "other": {"optimizer": "adam", "batch_size": 99}})
        with pytest.raises(ValueError, match=r"'batch_size' (may be at most 24|changes what)"):
            kol.map(whole, space={"batch_size": 99})
    with pytest.raises(ValueError, match="y='epochs' is no side of a map"):
        kol.map(small_task(), y="epochs", space={"epochs": (1, 3)})


@pytest.mark.once
def test_another_recipe_is_another_study():
    search(None, space=SIZES, storage="s.journal")
    for space, why in (
        ({**SIZES, "batch_size": [5, 8]}, "batch_size is one of 5, 8, 24, not one of 5, 8"),
        ({**SIZES, "epochs": 3}, "epochs is searched in 1 … 3 by its logarithm, not fixed at 3"),
    ):
        with pytest.raises(ValueError, match=f"exists with another space: {why}"):
            search(None, space=space, storage="s.journal")


def test_a_pipeline_may_be_read_for_as_many_epochs_as_a_trial_chooses():
    task = small_task(train=Pipeline(), validation=Pipeline(), test=None)
    result = search(PopulationEngine(2), task, space={"epochs": (1, 3)}, trials=4)
    assert {trial.user_attrs["epochs"] for trial in result.finished_trials} <= {1, 2, 3}
