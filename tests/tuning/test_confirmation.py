"""The race of the best trials and the defaults, its verdict, and what a study makes of it."""

import json
import math
import re

import numpy as np
import optuna
import pytest
from scipy.stats import ttest_rel

import keras_optim_lab as kol
from keras_optim_lab.tuner import TuningResult
from keras_optim_lab.tuning import confirmation
from keras_optim_lab.tuning.budget import Budget
from keras_optim_lab.tuning.criterion import Criterion
from keras_optim_lab.tuning.paired import gain
from keras_optim_lab.tuning.racing import Course, Entrant, duel
from keras_optim_lab.tuning.shortlist import Smoothed, shortlist
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.verdict import Verdict
from tests.studies import Formula, small_task
from tests.tuning.conftest import RATES

pytestmark = pytest.mark.once
LOSS = Criterion("val_loss", "minimize")


def rate(result, number):
    return result.study.trials[number].params["learning_rate"]


# Paired comparisons.


def test_a_gain_is_that_of_scipys_paired_t_test():
    rng = np.random.default_rng(0)
    before, after = rng.normal(1.0, 0.2, 9), rng.normal(0.9, 0.2, 9)
    for direction, sign in (("minimize", 1), ("maximize", -1)):
        found = gain(before, after, direction, confidence=0.95)
        test = ttest_rel(sign * before, sign * after, alternative="greater")
        interval = ttest_rel(sign * before, sign * after).confidence_interval(0.95)
        np.testing.assert_allclose(found[1:], [*interval, test.pvalue])
        assert found.mean == pytest.approx(sign * (before - after).mean())


def test_what_data_add_counts_as_in_one_partition_and_what_seeds_add_as_in_all_runs():
    """By hand, for two partitions of two folds, each fold with two seeds.

    Differences of folds 0 1 0 1, then those of the other partition: their means are 2 4 1 3, which
    vary by 5/3; within folds the variance is 2. Seeds give 2/8, data (5/3 − 2/2) / 2.
    """
    differences = [1.0, 3.0, 3.0, 5.0, 0.0, 2.0, 2.0, 4.0]
    found = gain(differences, [0.0] * 8, "minimize", folds=2)
    error = math.sqrt(2 / 8 + (5 / 3 - 1) / 2)
    assert found.mean == 2.5
    assert found.high - found.mean == pytest.approx(2.3534 * error, rel=1e-4)  # of t, 3 and 95 %


def test_the_folds_of_one_partition_are_a_plain_paired_test():
    differences = [1.0, 2.0, 4.0]
    folded = gain(differences, [0.0] * 3, "minimize", folds=3)
    assert folded == pytest.approx(gain(differences, [0.0] * 3, "minimize"))


def test_pairs_of_a_diverged_run_are_left_out_and_one_pair_has_no_interval():
    nan = math.nan
    assert gain([1, nan, 3, 9], [0, 1, 1, nan], "minimize") == gain([1, 3], [0, 1], "minimize")
    one = gain([1.0, nan], [0.5, 1.0], "minimize")
    assert one.mean == 0.5
    assert np.isnan(one[1:]).all()
    assert np.isnan(gain([nan], [1.0], "minimize")).all()
    assert gain([1.0, 1.0], [1.0, 1.0], "minimize").p == 0.5


# The verdict.


@pytest.mark.parametrize(
    ("default", "tuned", "better", "words"),
    [
        (
            [1.0, 1.1, 0.9, 1.0],
            [0.8, 0.9, 0.71, 0.8],
            True,
            r"better: val_loss 0\.8025 against 1 by default, a gain of 19\.8 % \(90 % interval "
            r"19\.2 … 20\.3 %, 4 fresh seeds\)",
        ),
        ([1.0, 1.2, 0.8], [0.9, 1.3, 0.7], False, r"no better: keep the defaults \(with .*\)"),
        ([0.8, 0.9, 0.71], [1.0, 1.1, 0.9], False, "no better: keep the defaults"),
        ([1.0, math.nan, 1.0], [0.9, 1.0, 0.9], True, r"better: .*\(1 of 3 diverged\)"),
        ([math.nan] * 2, [0.9, 1.0], True, "better: val_loss 0.95 against diverged by default"),
        ([1.0, 1.0, 1.0], [0.1, 0.1, math.nan], False, "no better"),
        ([1.0], [0.1], False, "no better: .* a gain of 90 % in 1 fresh seed"),
        ([], [], False, "no better: keep the defaults .no other settings"),
        ([-1.0, -1.1, -1.2], [-2.0, -2.1, -2.25], True, "better: .* a gain of 1.02 .90 % interval"),
    ],
)
def test_settings_are_better_if_their_gain_is_certain(default, tuned, better, words):
    verdict = Verdict(LOSS, default, tuned)
    assert verdict.better == better
    assert re.match(words, str(verdict))


def test_a_verdict_over_folds_says_so():
    assert str(Verdict(LOSS, [1.0] * 4, [0.5, 0.4, 0.6, 0.5], folds=2)).endswith("2 × 2 folds)")


# The race of a study.


def test_the_best_trials_and_the_defaults_run_with_the_same_seeds_and_half_goes_on(found, trained):
    for number, loss in ((0, 4.0), (1, 3.0), (2, 1.5)):
        trained.values[rate(found, number)] = loss
    confirmation.confirm(found)
    raced = found.confirmation
    assert {name: len(values) for name, values in raced.values.items()} == {
        "trial 1": 4,
        "trial 2": 16,
        "trial 0": 4,
        "defaults": 16,
    }
    seeds = {}
    for learned, seed in trained.runs:
        seeds.setdefault(learned, []).append(seed)
    duel = seeds[1e-3][16:]
    assert seeds[1e-3] == seeds[rate(found, 2)]
    assert seeds[rate(found, 0)] == seeds[rate(found, 1)] == seeds[1e-3][:4]
    assert len(duel) == 16
    assert len(set(seeds[1e-3])) == 32
    assert (found.best_trial.number, raced.best) == (2, 2)
    assert raced.tuned == pytest.approx([1.5] * 16, abs=0.1)


def test_where_time_is_short_fewer_take_part_and_have_fewer_runs(found, trained):
    class Short(Budget):
        most = 24

        def holds(self, trainings):
            return trainings <= self.most

    trained.values[rate(found, 2)] = 1.5
    confirmation.confirm(found, budget=Short())
    assert {len(values) for values in found.confirmation.values.values()} == {4}
    assert len(found.confirmation.values) == 4
    assert len(found.confirmation.tuned) == 12
    assert found.verdict.better
    Short.most = 16
    confirmation.confirm(found, top=2, budget=Short())
    assert found.confirmation.values.keys() == {"trial 1", "defaults"}


def test_runs_that_diverge_for_all_leave_the_others_to_decide(found, trained):
    trained.values[rate(found, 2)] = 1.5
    plain = trained.loss
    trained.loss = lambda rate: math.nan if trained.runs[-1][1] % 7 == 0 else plain(rate)
    confirmation.confirm(found)
    assert found.best_trial.number == 2
    assert found.verdict.better
    assert len({seed for _, seed in trained.runs}) == 32  # there was a duel


def test_a_gain_that_is_not_certain_is_given_more_runs(task):
    """Twice and four times as many where it is small beside the luck of seeds."""
    rng = np.random.default_rng(0)

    class Noise(Course):
        def values(self, entrants, runs, on_progress=None):
            losses = {"defaults": 1.0, "tuned": 1.0 - self.seed / 100}
            return {n: rng.normal(loss, 0.3, len(runs)).tolist() for n, loss in losses.items()}

    pair = [Entrant(name, Configuration("adam", {})) for name in ("defaults", "tuned")]

    def runs(percent):
        return {len(duel(Noise(task, LOSS, percent), pair)["tuned"]) for _ in range(40)}

    assert runs(10) == {16, 32, 64}
    assert runs(90) == runs(-90) == {16}


def test_better_settings_are_the_result_and_others_leave_the_defaults(found, trained):
    trained.values[rate(found, 2)] = 1.5
    confirmation.confirm(found)
    assert found.verdict.better
    assert found.best_params == {**RATES, "learning_rate": rate(found, 2)}
    assert found.best_optimizer().get_config()["learning_rate"] == rate(found, 2)
    trained.values[1e-3] = 1.0
    found.more()
    assert found.verdict is None
    assert found.best_params["learning_rate"] == rate(found, 3)
    confirmation.confirm(found)
    assert str(found.verdict).startswith("no better: keep the defaults")
    assert found.best_params == {**RATES, "learning_rate": 1e-3}
    assert found.best_optimizer().get_config()["learning_rate"] == 1e-3
    assert found.best_trial.number == 2  # what the race saw


def test_a_race_is_kept_with_the_study_and_not_repeated(found, trained, task):
    confirmation.confirm(found, top=2)
    runs = len(trained.runs)
    loaded = TuningResult.load("found", task=task)
    assert loaded.confirmation == found.confirmation
    assert str(loaded.verdict) == str(found.verdict)
    confirmation.confirm(loaded, top=2)
    assert len(trained.runs) == runs
    confirmation.confirm(loaded, top=3)
    assert len(trained.runs) > runs


def test_a_trial_that_diverges_in_the_race_is_not_the_best(found, trained):
    trained.values[rate(found, 1)] = math.nan
    confirmation.confirm(found, top=2)
    assert found.best_trial.number == 2


def test_of_several_optimizers_all_defaults_take_part_and_the_best_is_kept(trained, task):
    result = TuningResult.create(task, ["momentum", "adam"], name="both", sampler="random")
    result.run(4, engine=Formula())
    default = kol.Momentum().get_config()["learning_rate"]
    trained.values |= {default: 0.5, 1e-3: 1.0}
    confirmation.confirm(result)
    assert {"momentum by default", "adam by default"} < result.confirmation.values.keys()
    assert result.confirmation.reference == "momentum"
    assert not result.verdict.better
    assert result.best_name == "momentum"
    assert result.best_params["learning_rate"] == default


def test_what_a_version_before_has_confirmed_is_read(found):
    found.study.set_user_attr(
        "confirmation", {"finished": 3, "values": {"1": [3.0, math.nan], "2": [4.0, 5.0]}}
    )
    assert found.best_trial.number == 2
    assert found.verdict is None
    assert not confirmation.is_confirmed(found, 2)


def test_a_study_ends_with_a_verdict_unless_it_is_told_not_to(by_formula, trained):
    by_formula()
    assert kol.tune(small_task(), "adam", trials=2, confirm=0).verdict is None
    assert trained.runs == []
    assert kol.tune(small_task(), "adam", trials=2).verdict is not None


def test_a_study_without_a_complete_trial_ends_without_a_race(by_formula):
    by_formula(loss=lambda settings: math.nan)
    result = kol.tune(small_task(), "adam", trials=3)
    assert result.verdict is None
    json.dumps(result.study.user_attrs)


# The shortlist.


def study_of(losses, name="list"):
    """A study of the learning rate whose trials have these losses."""
    space = {**RATES, "learning_rate": (1e-5, 1.0)}
    result = TuningResult.create(
        small_task(), "adam", name=name, space=space, pruner="none", start="none"
    )
    for learning_rate in losses:
        result.study.enqueue_trial({"learning_rate": learning_rate})
    values = iter(losses.values())
    result.run(len(losses), engine=Formula(loss=lambda settings: next(values)))
    return result


def test_a_lucky_trial_among_bad_neighbours_is_one_candidate_beside_good_ones():
    near = {10 ** (-4 + k / 10): 9.0 + k / 100 for k in range(10)}
    good = {10 ** (-2 + k / 10): 2.0 + k / 100 for k in range(8)}
    losses = {**near, 10**-3.55: 1.0, **good}
    result = study_of(losses)
    assert result.ranked_trials[0].params["learning_rate"] == 10**-3.55
    first, lucky, *others = (each.params["learning_rate"] for each in shortlist(result, 4))
    assert lucky == 10**-3.55
    assert {first, *others} <= good.keys()


def test_what_learns_slowly_and_ends_best_is_a_candidate_though_its_neighbours_were_stopped():
    ended = {10 ** (-2 + k / 10): 2.0 + k / 100 for k in range(12)}
    result = study_of({**ended, 10**-3.5: 1.0})
    space = result.space.distributions
    for k in range(14):
        stopped = optuna.trial.create_trial(
            state=optuna.trial.TrialState.PRUNED,
            params={"learning_rate": 10 ** (-4.2 + k / 10)},
            distributions=space,
            intermediate_values={0: 9.0},
        )
        result.study.add_trial(stopped)
    assert 10**-3.5 in [each.params["learning_rate"] for each in shortlist(result, 4)]
    slow, worst = Smoothed(result).estimates([{"learning_rate": 10**-3.5}, {"learning_rate": 0.1}])
    assert slow < worst


def test_diverged_trials_speak_against_their_neighbours():
    """The best trial of a row is not the most promising one where the next ones diverge."""
    losses = {10 ** (-3 + k / 10): 2.0 + (14 - k) % 3 / 10 for k in range(15)}
    diverged = {10 ** (-1.5 + k / 10): math.nan for k in range(5)}
    edge = max(losses)
    places = []
    for name, every in (("alone", losses), ("beside", losses | diverged)):
        result = study_of(every, name)
        estimates = Smoothed(result).estimates([{"learning_rate": rate} for rate in losses])
        places.append(np.argsort(np.argsort(estimates))[[*losses].index(edge)])
    assert places[0] < places[1]


def test_the_good_region_ends_where_trials_are_worse_than_luck_explains():
    """A valley with walls at η = 10⁻³ and 10⁻¹."""
    rng = np.random.default_rng(0)
    rates = 10 ** np.linspace(-4.9, -0.1, 49)
    losses = {rate: (1.0 if 1e-3 < rate < 1e-1 else 9.0) + rng.normal(0, 0.2) for rate in rates}
    result = study_of(losses)
    inside = {"learning_rate": 1e-2}
    ((low, high),) = Smoothed(result).region(inside).values()
    assert 10**-3.3 < low < 10**-2.3
    assert 10**-1.7 < high < 10**-0.7


def test_the_good_region_of_epochs_is_one_of_whole_numbers():
    space = {"learning_rate": 0.1, "epochs": (1, 40)}
    result = TuningResult.create(small_task(), "gradient_descent", space=space, start="none")
    rng = np.random.default_rng(0)

    def loss(chosen):
        return (1.0 if chosen["epochs"] > 6 else 9.0) + rng.normal(0, 0.2)

    result.run(24, engine=Formula(loss, lambda loss, _: {"loss": loss, "val_loss": loss}))
    ((low, high),) = Smoothed(result).region({"epochs": 20}).values()
    assert low in range(5, 14)
    assert high == 40
