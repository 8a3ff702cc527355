"""A map trains a grid with common seeds, and says what matters and how wide the good region is."""

import dataclasses
import math
import zlib

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

import keras_optim_lab as kol
from keras_optim_lab.maps import settings_map
from keras_optim_lab.tuning.study_result import Confirmation
from tests.studies import Formula, small_task

pytestmark = pytest.mark.once


class Recorded(Formula):
    """An engine by formula that keeps every run as (learning rate, beta_1, seed)."""

    def __init__(self, loss):
        super().__init__(loss, lambda value, _: {"loss": 1.0, "val_loss": value, "val_mae": value})
        self.runs, self.asked = [], []

    def run(self, task, candidates):
        self.grid, self.asked = self.asked, [*candidates]
        for each in self.asked:
            chosen = {**each.configuration.template.defaults, **each.configuration.settings}
            place = chosen["learning_rate"], chosen.get("beta_1")
            self.runs += [(*place, seed) for seed, _ in each.runs]
        super().run(task, self.asked)


@pytest.fixture
def mapped(monkeypatch):
    """Maps a loss that is computed of the settings."""

    def mapped(loss, *arguments, **options):
        engine = Recorded(loss)
        monkeypatch.setattr(settings_map, "PopulationEngine", lambda *_: engine)
        found = kol.map(small_task(), *arguments, **{"folds": None, **options})
        return found, engine

    return mapped


def decades(settings, at=-2.0):
    """From a learning rate, usually that of 0.01."""
    return abs(math.log10(settings["learning_rate"]) - at)


def noise(settings):
    """What looks like chance, and is the same again for the same settings."""
    return zlib.crc32(repr(sorted(settings.items())).encode()) / 2**32 - 0.5


def complement(settings):
    return math.log10(1 - settings["beta_1"])


# What matters.


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda s: decades(s), "Only learning_rate matters here"),
        (lambda s: complement(s) ** 2, "Only beta_1 matters here"),
        (lambda s: decades(s) + 2 * abs(complement(s) + 1), "Both learning_rate and beta_1 matter"),
        # A tenth of the ranks' variance, but nothing is good with other values of it.
        (lambda s: decades(s) + abs(complement(s) + 1), "Both learning_rate and beta_1 matter"),
        (lambda s: 1.0, "Neither learning_rate nor beta_1 matters here"),
        (
            lambda s: (s["learning_rate"] < 2e-3) == (s["beta_1"] < 0.9),
            "learning_rate and beta_1 matter here by what they do together",
        ),
    ],
)
def test_the_sentence_says_which_of_them_matter(mapped, loss, words):
    found, _ = mapped(loss, settings=64)
    assert found.sentence.startswith(words)
    assert sum(found.shares) <= 1.0


def test_shares_of_the_variance_are_those_of_an_analysis_of_variance(mapped):
    """2 × 3 ranks, worked out by hand: means 2, 3.5, 5 of columns and 2.5, 4.5 of rows."""
    found, _ = mapped(lambda s: decades(s, -9) + 10 * (s["beta_1"] > 0.9), settings=6)
    np.testing.assert_array_equal(found.values.argsort(axis=None), [3, 4, 5, 0, 1, 2])
    columns, rows, every = (np.var(ranks) for ranks in ([2.5, 3.5, 4.5], [2, 5], range(6)))
    assert found.shares == pytest.approx((columns / every, rows / every))


# What is good.


def test_the_best_cell_and_what_is_as_good_are_found_through_noise(mapped):
    rng = np.random.default_rng(0)
    found, _ = mapped(lambda s: 1 + decades(s) ** 2 + 0.1 * rng.normal(), settings=256)
    assert found.best.configuration.hyperparameters["learning_rate"] == pytest.approx(0.01, rel=1)
    assert found.spread == pytest.approx(0.1, rel=0.4)
    truly = np.array([decades({"learning_rate": rate}) ** 2 for rate in found.plane.x.params])
    assert found.good[:, truly < 0.03].mean() > 0.5
    assert not found.good[:, truly > 0.5].any()
    luck = found.best.mean - found.values[found._best]
    assert found.behind[found._best] == pytest.approx(-max(luck, 0.0))
    assert found.sentence.endswith("; the defaults are not among these.")
    assert "any beta_1 from 0.5 to 0.98" in found.sentence


@pytest.mark.parametrize("grows", [False, True])
def test_table_and_frame_go_by_one_rule(mapped, grows):
    """Shares of right answers, of which many differ from the best by the spread to the digit."""

    def share(settings):
        wrong = min(round(3 * decades(settings) + 2 * noise(settings)), 10) / 100
        return 0.97 - wrong if grows else 0.03 + wrong

    how = "maximize" if grows else "minimize"
    found, _ = mapped(share, settings=64, seeds=1, objective=("val_mae", how))
    for luck in (-0.02, 0.0, 0.02):
        fresh = [value + luck for value in found.again[found._best]]
        fresh = [value + (-1) ** run * 0.01 for run, value in enumerate(fresh)]
        judged = dataclasses.replace(found, again={found._best: fresh})
        assert 0 < judged.good.sum() < judged.good.size
        for cell, value in np.ndenumerate(judged.values):
            point = dataclasses.replace(judged.marked[0], values=[float(value)] * 8)
            assert judged.is_good(point) == judged.good[cell]


def test_what_is_worse_by_just_the_spread_is_as_good(mapped):
    found, _ = mapped(decades, settings=4, objective=("val_mae", "maximize"))
    runs = np.array([[[0.94, 0.95], [0.93, 0.5]]])
    half = float(np.float32(0.01 - 1e-8)) / 2**0.5
    again = {(0, 1): [0.95 - half, 0.95 + half]}
    judged = dataclasses.replace(found, runs=runs, again=again)
    assert judged.spread == pytest.approx(0.01)
    assert judged.good.tolist() == [[True, True], [False, False]]


def test_the_defaults_are_among_the_good_where_they_are(mapped):
    found, _ = mapped(lambda s: decades(s, -3) + noise(s) / 100, settings=4)
    assert not found.good.all()
    assert found.is_good(found.marked[0])
    assert found.sentence.endswith("; the defaults are among these.")


def test_an_objective_that_grows_is_mapped_the_other_way_round(mapped):
    """And nothing that diverged is good."""

    def falls(settings):
        return math.nan if settings["learning_rate"] > 0.02 else decades(settings) + noise(settings)

    down, _ = mapped(falls, settings=64, seeds=1)
    up, _ = mapped(lambda s: -falls(s), settings=64, seeds=1, objective=("val_mae", "maximize"))
    np.testing.assert_array_equal(down.values, -up.values)
    assert down.best.configuration == up.best.configuration
    np.testing.assert_array_equal(down.good, up.good)
    assert down.shares == up.shares
    assert np.isnan(down.values).any()
    assert not down.good[np.isnan(down.values)].any()
    assert down.figure.data[0].colorscale != up.figure.data[0].colorscale


def test_where_all_diverges_the_map_says_so(mapped, tmp_path):
    found, _ = mapped(lambda s: math.nan, settings=4)
    assert found.best is None
    assert "diverged: give them other ranges" in found.sentence
    assert [row[0] for row in found.rows] == ["the defaults"]
    assert found.report(tmp_path / "page.html").is_file()


# What is trained.


def test_all_cells_have_the_same_seeds_and_the_best_are_trained_again_with_fresh_ones(mapped):
    told = []
    found, engine = mapped(
        decades, settings=30, seeds=3, seed=7, on_progress=lambda *step: told.append(step)
    )
    assert found.values.shape == (5, 6)
    grid, again = engine.runs[: 30 * 3], engine.runs[30 * 3 :]
    assert {seed for *_, seed in grid} == {7, 8, 9}
    assert len({(rate, beta) for rate, beta, _ in grid}) == 30
    assert {seed for *_, seed in again} == {*range(10, 18)}
    assert len(again) == 8 * (8 + 1)
    assert told[-1] == (30 * 3 + 9 * 8, 30 * 3 + 9 * 8)


@pytest.mark.parametrize(("seeds", "runs", "fresh"), [(None, 3, 6), (2, 6, 6), (3, 9, 12)])
def test_with_folds_each_cell_is_cross_validated_and_fresh_seeds_have_other_partitions(
    mapped, seeds, runs, fresh
):
    found, engine = mapped(decades, settings=4, seeds=seeds, folds=3)
    assert found.runs.shape == (runs, 2, 2)
    grid = {run.fold for each in engine.grid for run in each.runs}
    again = {run.fold for each in engine.asked for run in each.runs}
    assert len(grid) == 3 * (1 + (runs > 6))
    assert len(again) == 3
    assert not grid & again
    assert {seed for *_, seed in engine.runs[-6:]} == {*range(fresh, fresh + 6)}
    assert "--folds" not in found.command
    assert "folds=3" in found.command


def test_the_spread_is_that_of_seeds_and_not_of_folds(mapped):
    found, _ = mapped(decades, settings=4, folds=3)
    others = {(0, 0): [1.0, 5.0, 9.0, 3.0, 7.0, 11.0], (0, 1): [2.0, 2.0, 2.0, 4.0, 4.0, 4.0]}
    assert dataclasses.replace(found, again=others).spread == pytest.approx(math.sqrt(2))
    assert dataclasses.replace(found, again=others, folds=None).spread > 2


def test_folds_are_those_of_the_study_or_as_many_as_suit_the_task(monkeypatch, study):
    monkeypatch.setattr(settings_map, "PopulationEngine", lambda *_: Recorded(decades))
    assert kol.map(study.task, result=study, settings=4).folds == study.folds
    assert kol.map(small_task(), settings=4).folds == 5


def test_an_axis_goes_over_the_search_range_on_its_scale(mapped):
    found, _ = mapped(decades, settings=16)
    x, y = found.plane.x, found.plane.y
    searched = kol.search_space("adam")
    assert (x.key, y.key) == ("learning_rate", "1-beta_1")
    for axis in (x, y):
        low, high = searched[axis.key].low, searched[axis.key].high
        np.testing.assert_allclose(axis.params, np.geomspace(low, high, 4))
    np.testing.assert_allclose(y.values, 1 - y.params)
    assert found.plane.cell(0, 3).hyperparameters["learning_rate"] == x.params[3]
    assert found.plane.others == {"beta_2": 0.999, "epsilon": 1e-8}


def test_ranges_may_be_others_and_other_settings_fixed(mapped):
    space = {"learning_rate": (1e-3, 1e-1), "beta_2": 0.9, "warmup": FloatDistribution(0.0, 0.5)}
    found, engine = mapped(decades, "adam", y="warmup", space=space, settings=9)
    np.testing.assert_allclose(found.plane.x.params, [1e-3, 1e-2, 1e-1])
    np.testing.assert_allclose(found.plane.y.params, [0.0, 0.25, 0.5])
    (other,) = {each.configuration.hyperparameters["beta_2"] for each in engine.grid}
    assert other == 0.9
    assert found.figure.layout.yaxis.type != "log"
    assert "beta_2" not in found.marked[0].configuration.hyperparameters


@pytest.mark.parametrize("optimizer", ["lion", "lookahead(adam)", kol.Adam(beta_2=0.5)])
def test_one_optimizer_of_any_kind_is_mapped(mapped, optimizer):
    found, _ = mapped(lambda s: s["beta_2"] + decades(s), optimizer, settings=4)
    assert found.values.shape == (2, 2)
    assert np.isfinite(found.values).all()


def test_defaults_that_a_log_scale_has_no_place_for_are_in_the_table_alone(mapped):
    space = {"weight_decay": (1e-4, 1e-1)}
    found, _ = mapped(decades, "lion", y="weight_decay", space=space, settings=4)
    assert found.rows[1][:3] == ["the defaults", "0.0001", "None"]
    assert "the defaults" not in {trace.name for trace in found.figure.data}


@pytest.fixture
def study(monkeypatch):
    """Of one trial: η = 0.03, β₂ = 0.9, which is better than the defaults by far."""
    result = kol.TuningResult.create(
        small_task(),
        "adam",
        storage=optuna.storages.InMemoryStorage(),
        name="mine",
        space={"learning_rate": (1e-2, 1e-1), "beta_2": 0.9},
        start=[{"learning_rate": 3e-2}],
    )
    result.run(1, Formula())
    return result


def test_a_map_goes_through_the_choice_of_a_study_and_marks_it(mapped, study, tmp_path):
    found, _ = mapped(decades, result=study, settings=9)
    np.testing.assert_allclose(found.plane.x.params, np.geomspace(1e-2, 1e-1, 3))
    assert found.plane.others["beta_2"] == 0.9
    assert [point.name for point in found.marked] == ["the defaults", "the choice of mine"]
    defaults, choice = [point.configuration.settings for point in found.marked]
    assert "beta_2" not in defaults
    assert choice["learning_rate"] == 3e-2
    (star,) = (trace for trace in found.figure.data if trace.name == "the choice of mine")
    assert (*star.x, *star.y) == pytest.approx((3e-2, 0.1))
    page = found.report(tmp_path / "page.html").read_text("utf-8")
    assert "those of the choice of mine, " in page
    assert "beta_2 = 0.9" in page


def test_what_a_study_found_and_did_not_choose_is_marked_as_such(mapped, study):
    """Its verdict is to keep the defaults, through which the map goes."""
    lost = Confirmation(1, {}, 0, "adam", default=[1.0, 1.0, 1.1], tuned=[1.1, 1.0, 1.0])
    study.keep_confirmation(lost, 1)
    assert not study.verdict.better
    found, _ = mapped(decades, result=study, settings=4)
    assert [point.name for point in found.marked] == ["the defaults", "found by mine, not chosen"]
    assert found.marked[1].configuration.settings["learning_rate"] == 3e-2
    assert found.rows[2][:2] == ["found by mine, not chosen", "0.03"]
    assert "found by mine, not chosen" in {trace.name for trace in found.figure.data}


# What is drawn and repeated.


def test_the_frame_goes_around_what_is_as_good(mapped):
    """One column of four cells, all good: eight edges at its sides and two at its ends."""
    found, _ = mapped(lambda s: s["learning_rate"] > 1e-4, settings=16)
    assert found.good.tolist() == [[True, False, False, False]] * 4
    frame = next(trace for trace in found.figure.data if trace.name == "as good as the best")
    assert len(frame.x) == 3 * (8 + 2)
    edges = found.plane.x.edges
    assert {x for x in frame.x if x is not None} == {*edges[:2]}


def test_the_page_holds_sentence_table_and_what_repeats_it(mapped, tmp_path):
    found, _ = mapped(lambda s: decades(s) + noise(s), settings=16, seeds=1)
    page = found.report(tmp_path / "page.html").read_text("utf-8")
    assert found.sentence in page
    assert "4 × 4" in page
    again = eval(found.command, {"kol": kol, "task": small_task()})
    assert again.sentence == found.sentence
    assert again.table == found.table


def test_colours_go_by_the_logarithm_where_values_differ_by_a_factor(mapped):
    wide, _ = mapped(lambda s: 10.0 ** decades(s), settings=16)
    narrow, _ = mapped(lambda s: 10 + decades(s), settings=16)
    np.testing.assert_allclose(wide.figure.data[0].z, np.log10(wide.values))
    np.testing.assert_allclose(narrow.figure.data[0].z, narrow.values)


def test_ticks_of_a_decay_rate_are_those_of_beta(mapped):
    found, _ = mapped(decades, y="beta_2", settings=4)
    ticks = found.figure.layout.yaxis
    assert "0.999" in ticks.ticktext
    assert ticks.tickvals[ticks.ticktext.index("0.999")] == pytest.approx(1e-3)
    assert ticks.range[0] > ticks.range[1], "β grows upwards"


# Bad input.


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"x": "learning_rat"}, ValueError, "Did you mean 'learning_rate'"),
        ({"y": "1-beta"}, ValueError, "no hyperparameter of this name"),
        ({"x": 3}, TypeError, "`x` must be the name"),
        ({"x": "beta_1", "y": "1-beta_1"}, ValueError, "two different hyperparameters"),
        ({"y": "amsgrad"}, ValueError, "has no range of numbers"),
        ({"y": "warmup"}, ValueError, r"give it one: space=\{'warmup': \(low, high\)\}"),
        ({"space": {"beta_1": 0.9}}, ValueError, "has no range of numbers"),
        ({"space": {"beta_1": (0.9, 0.9)}}, ValueError, "low < high"),
        (
            {"y": "schedule", "space": {"schedule": ["linear", "cosine"]}},
            ValueError,
            "range of numbers",
        ),
        ({"space": {"beta": (0.5, 0.9)}}, ValueError, "has no hyperparameter 'beta'"),
        ({"settings": 3}, ValueError, "`settings` must be a whole number ≥ 4"),
        ({"settings": 16.0}, TypeError, "`settings`"),
        ({"seeds": 0}, ValueError, "`seeds`"),
        ({"folds": 1}, ValueError, "`folds` must be a whole number ≥ 2"),
        ({"optimizer": ["adam", "lion"]}, TypeError, "`optimizer` must be one optimizer"),
        ({"optimizer": "adma"}, ValueError, "Did you mean"),
        ({"optimizer": "momentum"}, ValueError, "Momentum has no hyperparameter of this name"),
        ({"objective": "val_los"}, ValueError, "Did you mean 'val_loss'"),
        ({"result": "mine"}, TypeError, "`result` must be what `tune` returned"),
        ({"task": "digits"}, ValueError, "digits-mlp"),
    ],
)
def test_what_cannot_be_mapped_is_said_before_anything_is_trained(monkeypatch, given, error, words):
    engine = Recorded(decades)
    monkeypatch.setattr(settings_map, "PopulationEngine", lambda *_: engine)
    with pytest.raises(error, match=words):
        kol.map(**{"task": small_task(), **given})
    assert engine.runs == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"optimizer": "lion"}, "must be that of the study's choice, 'adam'"),
        ({"task": small_task(name="other")}, "must be that of the study, 'small'"),
    ],
)
def test_a_study_of_something_else_is_refused(study, given, words):
    with pytest.raises(ValueError, match=words):
        kol.map(**{"task": study.task, "result": study, **given})


def test_a_range_of_a_setting_that_only_optuna_could_choose_from_is_refused():
    with pytest.raises(ValueError, match="range of numbers"):
        kol.map(small_task(), space={"beta_1": CategoricalDistribution([0.5, 0.9])})


def test_a_star_import_leaves_pythons_map_alone():
    assert "map" not in kol.__all__
    assert kol.map is settings_map.map


def test_a_fresh_run_that_diverges_everywhere_leaves_the_others_to_decide(mapped):
    found, _ = mapped(lambda settings: decades(settings), settings=16)
    lost = {at: [math.nan, *values[1:]] for at, values in found.again.items()}
    marked = [
        dataclasses.replace(point, values=[math.nan, *point.values[1:]]) for point in found.marked
    ]
    with_loss = dataclasses.replace(found, again=lost, marked=tuple(marked))
    assert with_loss.is_good(with_loss.best)
    assert math.isfinite(with_loss.best.mean)
    worse = dataclasses.replace(with_loss.best, values=[math.nan] * len(with_loss.best.values))
    assert not with_loss.is_good(worse)
