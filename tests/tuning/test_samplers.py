"""Samplers by name: what they need is said first, and a grid has every point once."""

from itertools import pairwise

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

import keras_optim_lab as kol
from keras_optim_lab.tuner import TuningResult
from keras_optim_lab.tuning import samplers
from tests.studies import Formula, decades_from_optimum, small_model, small_task

pytestmark = [pytest.mark.usefixtures("by_formula"), pytest.mark.once]

MINE = {"optimizer": "adam", "name": "mine", "start": [{"learning_rate": 0.05}]}
TWO = {"epsilon": 1e-8, "beta_2": 0.999}


@pytest.mark.parametrize("name", ["tpe", "gp", "cmaes", "random", "qmc"])
def test_a_sampler_by_name_chooses_within_the_space_after_the_first_trials(task, name):
    study = kol.tune(task, "adam", trials=14, sampler=name, pruner="none").study
    space = kol.search_space("adam")
    chosen = [trial.params for trial in study.trials if "start" not in trial.user_attrs]
    assert len(chosen) > 9
    assert all(space[n]._contains(v) for params in chosen for n, v in params.items())
    assert len({params["learning_rate"] for params in chosen}) == len(chosen)


class InBatches(Formula):
    """Asks for eight before any of them is told."""

    def run(self, task, candidates):
        batch = [None]
        while batch:
            with candidates.together():
                batch = [*candidates.take(8)]
            super().run(task, batch)


def test_cmaes_comes_nearer_in_batches_and_after_a_start_list(task):
    result = TuningResult.create(task, sampler="cmaes", pruner="none", **MINE)
    result.run(56, InBatches())
    defaults, given, *chosen = result.study.trials
    assert [each.params["learning_rate"] for each in (defaults, given)] == [1e-3, 0.05]
    assert max(each.system_attrs["cma:generation"] for each in chosen if each.system_attrs) >= 4
    away = [decades_from_optimum(each.params) - 1 for each in chosen]
    assert np.mean(away[-18:]) < np.mean(away[:18]) / 2
    assert len({*away}) == len(away)


def test_cmaes_chooses_among_several_optimizers(task):
    several = {**MINE, "optimizer": ["adam", "lion"], "start": "defaults"}
    result = TuningResult.create(task, sampler="cmaes", pruner="none", **several)
    result.run(20, InBatches())
    chosen = [trial.params["optimizer"] for trial in result.study.trials[2:]]
    assert {*chosen} == {"adam", "lion"}


def test_a_grid_has_every_point_once_and_then_the_study_ends(task):
    space = {**TWO, "beta_1": (0.5, 0.9), "schedule": ["constant", "cosine"]}
    study = kol.tune(task, "adam", trials=99, sampler="grid", pruner="none", space=space).study
    of_grid = [trial.params for trial in study.trials if "start" not in trial.user_attrs]
    points = {tuple(params.values()) for params in of_grid}
    assert len(of_grid) == len(points) == samplers.GRID_POINTS**2 * 2
    rates = sorted({params["learning_rate"] for params in of_grid})
    assert (rates[0], rates[-1]) == (7.6e-5, 5.3e-2)
    ratios = [after / before for before, after in pairwise(rates)]
    assert ratios == pytest.approx([ratios[0]] * 4)
    assert len(study.trials) == len(of_grid) + 1  # the defaults


def test_two_processes_share_one_grid(task):
    arguments = {"sampler": "grid", "pruner": "none", "name": "s", "space": {**TWO, "beta_1": 0.9}}
    kol.tune(task, "adam", trials=3, start="none", **arguments)
    result = TuningResult.load("s", task=task)
    result.run(9, Formula())
    rates = [trial.params["learning_rate"] for trial in result.study.trials]
    assert len(rates) == len(set(rates)) == samplers.GRID_POINTS


def test_what_learns_from_earlier_trials():
    space = {"a": FloatDistribution(1, 10, log=True), "b": CategoricalDistribution([1, 2])}
    for name in samplers.SAMPLERS:
        wanted = name in ("tpe", "gp", "cmaes")
        assert samplers.learns(samplers.sampler(name, 0, space)) == wanted, name
    assert samplers.learns(optuna.samplers.NSGAIISampler())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"sampler": "gp"}, ImportError, r"'gp' needs torch.*keras-optim-lab\[torch\]"),
        ({"sampler": "cmaes"}, ImportError, r"'cmaes' needs cmaes.*keras-optim-lab\[cmaes\]"),
        ({"sampler": "grid", "optimizer": ["adam", "lion"]}, ValueError, "has one optimizer"),
        (
            {"sampler": "grid", "task": small_task(model=lambda trial: small_model())},
            ValueError,
            "the model of 'small' chooses for itself",
        ),
    ],
)
def test_what_a_sampler_needs_is_said_before_anything_is_stored(
    task, change, error, message, in_empty_folder, monkeypatch
):
    monkeypatch.setattr(samplers, "find_spec", lambda package: None)
    with pytest.raises(error, match=message):
        kol.tune(**{"task": task, "optimizer": "adam", "trials": 1, **change})
    assert list(in_empty_folder.iterdir()) == []
