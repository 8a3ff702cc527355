"""A portfolio is learned from curves that are kept, and judged on tasks that it has not seen."""

import math
import re
import tomllib
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_optim_lab.experiments import cover, quasi_random
from keras_optim_lab.experiments.experiment import load
from keras_optim_lab.experiments.schema import ExperimentError
from keras_optim_lab.optimizers import entry, names
from keras_optim_lab.tuning.engines import default
from keras_optim_lab.tuning.spaces.parameters import complement
from keras_optim_lab.tuning.spaces.space import SearchSpace
from tests.experiments.conftest import Counting
from tests.experiments.texts import PORTFOLIO

pytestmark = pytest.mark.once

BOTH = ["small", "smaller"]
# Of three tasks: each has a best setting of its own, and setting 3 is good for all of them.
REGRET = np.array([[0.0, 1.0, 1.0, 0.2, 0.9], [1.0, 0.0, 1.0, 0.2, 0.9], [1.0, 1.0, 0.0, 0.2, 0.9]])


def lists(path="docs/lists.toml"):
    return tomllib.loads(Path(path).read_text(encoding="utf-8"))


def curves(optimizer, task):
    with np.load(f"experiments/results/mine/{optimizer}.npz") as file:
        return file[f"{task}/val_loss"]


# Regret and lists.


def test_regret_is_the_share_of_what_the_median_leaves_and_1_where_a_setting_diverged():
    nan = math.nan
    found = cover.regrets(np.array([[1.0, 2.0, 3.0, 9.0, nan], [5.0] * 4 + [nan], [nan] * 5]))
    assert found.tolist() == [[0.0, 0.5, 1.0, 1.0, 1.0], [0.0] * 4 + [1.0], [1.0] * 5]


def test_a_list_begins_with_what_serves_all_tasks_and_goes_on_with_what_each_lacks():
    assert cover.greedy(REGRET, 4) == [3, 0, 1, 2]


def test_a_list_adds_to_what_is_tried_in_any_case():
    assert cover.greedy(REGRET, 2, known=[3]) == [0, 1]


def test_a_list_that_has_the_best_of_every_task_begins_again_with_the_others():
    assert cover.greedy(np.concatenate([REGRET, REGRET], axis=1), 10)[4:8] == [8, 5, 6, 7]
    assert sorted(cover.greedy(REGRET, 99)) == [0, 1, 2, 3, 4]


def test_a_list_is_judged_on_a_task_that_it_was_not_made_from():
    rng = np.random.default_rng(0)
    regret = rng.random((3, 2, 40))
    found = cover.left_out(regret)
    chosen = cover.greedy(np.concatenate(regret[1:]), 5)
    own = regret[0, -1]  # of whole trainings
    assert found["list"][0].tolist()[:3] == [own[chosen[:k]].min() for k in (1, 3, 5)]
    expected = np.mean([min(rng.permutation(own)[:5]) for _ in range(2000)])
    assert found["random"][0, 2] == pytest.approx(expected, rel=0.1)


def test_a_training_half_as_long_is_one_more_task():
    losses = np.array([[9.0, 1.0, 9.0, 5.0], [9.0, 3.0, 9.0, 3.0], [9.0, 5.0, 9.0, 1.0]])
    assert cover.of_task(losses).tolist() == [[0.0, 1.0, 1.0], [1.0, 1.0, 0.0]]


# Settings.


@pytest.mark.parametrize("optimizer", names())
def test_settings_begin_with_the_defaults_lie_in_the_space_and_stay_when_more_are_asked(optimizer):
    found = quasi_random.settings(optimizer, 16, seed=3)
    assert found[:5] == quasi_random.settings(optimizer, 5, seed=3)
    assert found[1:] != quasi_random.settings(optimizer, 16, seed=4)[1:]
    space = SearchSpace(optimizer)
    defaults = space.templates[optimizer].defaults
    assert found[0] == {name: defaults[name] for name in found[0]}
    for settings in found[1:]:
        entry(optimizer).cls(**settings)
        for name, value in settings.items():
            key = name if name in space.distributions else complement(name)
            inside = space.distributions[key]
            drawn = value if key == name else 1 - value
            assert inside.low * (1 - 1e-6) <= drawn <= inside.high * (1 + 1e-6)


# The experiment.


def test_the_lists_are_written_with_what_they_were_made_of(experiment):
    run = experiment(PORTFOLIO)
    page = run.run().read_text(encoding="utf-8")
    found = lists()
    trained = found["made"]["trained"][0]
    assert trained == {"optimizers": ["adam"], "settings": 8, "seeds": 2, "tasks": BOTH}
    assert found["made"]["command"] == "keras-optim-lab run experiments/mine.toml"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["made"]["date"])
    assert {name: len(each["settings"]) for name, each in found.items() if name != "made"} == {
        "adam": 4,
        "momentum": 4,
    }
    # The formula's loss is least where the learning rate is 0.01, on both tasks.
    drawn = quasi_random.settings("adam", 8, seed=0)[1:]
    assert found["adam"]["settings"][0] == min(
        drawn, key=lambda each: abs(math.log10(each["learning_rate"]) + 2)
    )
    assert re.search("the list is ahead for [012] of 2", run.verdict())
    assert "{ learning_rate = " in page


def test_whole_curves_are_kept_infinite_from_where_a_run_diverged(experiment, monkeypatch):
    nan_later = Counting(
        lambda _: 1.0, lambda loss, epoch: {"loss": loss, "val_loss": [loss, math.nan][epoch]}
    )
    monkeypatch.setattr(default, "PopulationEngine", lambda: nan_later)
    experiment(PORTFOLIO).run()
    kept = curves("adam", "small")
    assert kept.shape == (8, 2, 2)
    assert kept.dtype == np.float16
    assert np.array_equal(kept[3, 1], [1.0, np.inf])


def test_more_settings_seeds_tasks_and_optimizers_train_only_what_is_new(experiment, engine):
    experiment(PORTFOLIO).run()
    before, engine.trained = curves("adam", "small"), 0
    more = PORTFOLIO.replace("settings = 8\nseeds = 2", "settings = 12\nseeds = 3")
    experiment(more).run()
    assert engine.trained == 2 * (12 * 3 - 8 * 2)
    assert np.array_equal(curves("adam", "small")[:8, :2], before)
    engine.trained = 0
    experiment(PORTFOLIO).run()
    assert engine.trained == 0
    assert curves("adam", "small").shape == (12, 3, 2)


def test_a_table_of_other_settings_is_refused_and_stays(experiment, engine):
    experiment(PORTFOLIO).run()
    table = Path("experiments/results/mine/adam.npz")
    before, engine.trained = table.read_bytes(), 0
    with pytest.raises(ExperimentError, match="curves of other settings"):
        experiment("seed = 5\n" + PORTFOLIO).run()
    assert table.read_bytes() == before
    table.write_text("mine")
    with pytest.raises(ExperimentError, match="is no table of this command's"):
        experiment(PORTFOLIO).run()
    assert table.read_text() == "mine"
    assert engine.trained == 0


def test_another_backend_than_the_files_leaves_the_lists_as_they_are(experiment):
    experiment('backend = "torch"\n' + PORTFOLIO, backend=keras.backend.backend()).run()
    assert not Path("docs/lists.toml").exists()
    assert lists(f"experiments/results/mine-{keras.backend.backend()}.toml")["adam"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            ('["small", "smaller"]', '["small"]'),
            r"line 10: groups\[1\].tasks: one task is left out",
        ),
        (('["momentum"]', '["adam"]'), r"groups\[2\].optimizers: adam is in an earlier group"),
        (("lists.toml", "lists.csv"), "must be a TOML file"),
        (("../docs", "../../elsewhere"), "lies outside"),
        (("settings = 8", "settings = 1"), "must be from 8 to 4096. Received: 1"),
    ],
)
def test_a_mistake_is_said_before_anything_is_trained(experiment, engine, wrong, said):
    with pytest.raises(ExperimentError, match=said):
        experiment(PORTFOLIO.replace(*wrong))
    assert engine.trained == 0


def test_lists_of_others_are_not_overwritten(experiment, engine):
    Path("docs").mkdir()
    Path("docs/lists.toml").write_text("[adam]\n")
    with pytest.raises(ExperimentError, match="was not written by this command"):
        experiment(PORTFOLIO)


# What comes along.


def test_the_lists_that_come_along_are_those_of_the_curves_that_are_kept(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    experiment = load("experiments/portfolios.toml")
    shipped = lists("keras_optim_lab/tuning/spaces/portfolios.toml")
    assert shipped.pop("made")["command"] == experiment.command
    assert shipped == {
        name: {"settings": [_stated(each) for each in found.settings]}
        for name, found in experiment._found.items()
    }
    for name, found in shipped.items():
        for settings in found["settings"]:
            entry(name).cls(**settings)


def _stated(settings):
    return {name: value for name, value in settings.items() if value is not None}
