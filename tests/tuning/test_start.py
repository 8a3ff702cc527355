"""A study begins with the defaults and with what is known to be good, once, and checks it first."""

import logging
import multiprocessing

import pytest
from optuna.trial import TrialState

import keras_optim_lab as kol
from keras_optim_lab.optimizers import names
from keras_optim_lab.tuner import TuningResult
from keras_optim_lab.tuning import SearchSpace, start
from keras_optim_lab.tuning import study as study_module
from keras_optim_lab.tuning.plan import PLAN
from keras_optim_lab.tuning.spaces import portfolios
from keras_optim_lab.tuning.spaces.settings import as_params, default_params
from tests.studies import Formula, small_task

pytestmark = [pytest.mark.usefixtures("by_formula"), pytest.mark.once]

ADAM = [{"learning_rate": 1e-2, "beta_1": 0.8}, {"learning_rate": 3e-3, "epsilon": 1e-3}]
MOMENTUM = [{"learning_rate": 0.5, "beta": 0.8}, {"learning_rate": 0.1, "beta": 0.99}]


@pytest.fixture(autouse=True)
def portfolio(monkeypatch):
    """Lists that the tests know, whatever the shipped file holds."""
    tables = {"adam": {"settings": ADAM}, "momentum": {"settings": MOMENTUM}}
    monkeypatch.setattr(portfolios, "_tables", lambda: tables)


def begun(result):
    """Origin and settings of the trials that were known before the sampler chose."""
    first = [trial for trial in result.study.trials if start.START in trial.user_attrs]
    return [(trial.user_attrs[start.START], settings(result, trial)) for trial in first]


def settings(result, trial):
    return result.space.decode(trial.params).settings


def defaults(**changes):
    return {"learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8, **changes}


def approximately(found):
    return [(origin, pytest.approx(chosen)) for origin, chosen in found]


# What a study starts with.


def test_the_first_trial_is_the_default_and_then_come_settings_of_the_portfolio(task):
    result = kol.tune(task, "adam", trials=8)
    wanted = [("defaults", defaults())] + [("portfolio", defaults(**each)) for each in ADAM]
    assert begun(result) == approximately(wanted)
    assert [trial.number for trial in result.study.trials][:3] == [0, 1, 2]
    assert len(result.study.trials) == 8
    assert begun(kol.tune(task, "adam", trials=8, start="defaults")) == approximately(wanted[:1])
    assert begun(kol.tune(task, "adam", trials=8, start="none")) == []


def test_a_portfolio_has_a_share_of_the_trials(task, monkeypatch):
    many = [{"learning_rate": 1e-3 + 1e-5 * i} for i in range(1, 99)]
    monkeypatch.setattr(portfolios, "_tables", lambda: {"adam": {"settings": many}})
    for trials, known in ((1, 1), (2, 2), (3, 3), (8, 3), (64, 8), (100, 12)):
        assert len(begun(kol.tune(task, "adam", trials=trials))) == known, trials


def test_of_several_optimizers_each_begins_with_its_defaults_and_portfolios_take_turns(task):
    found = begun(kol.tune(task, ["adam", "momentum", "lion"], trials=16))
    assert [origin for origin, _ in found] == ["defaults"] * 3 + ["portfolio"] * 2
    rates = [each["learning_rate"] for _, each in found]
    assert rates == pytest.approx([1e-3, 0.1, 1e-4, 1e-2, 0.5])


def test_an_optimizer_that_was_given_is_trial_0_and_its_main_members_portfolio_is_used(task):
    (first, *_) = begun(kol.tune(task, kol.Adam(0.02), trials=3))
    assert first == ("defaults", pytest.approx(defaults(learning_rate=0.02)))
    found = begun(kol.tune(task, "lookahead(adam)", trials=8))
    assert [origin for origin, _ in found] == ["defaults", "portfolio", "portfolio"]
    assert found[1][1] == pytest.approx({**defaults(**ADAM[0]), "lookahead.share": 0.5})


def test_what_a_narrower_space_does_not_have_is_left_out_and_said(task, caplog):
    with caplog.at_level(logging.INFO, "keras_optim_lab"):
        result = kol.tune(task, "adam", trials=8, space={"beta_1": 0.9, "learning_rate": (2e-3, 1)})
    assert begun(result) == [
        ("portfolio", pytest.approx(defaults(**ADAM[1]))),
    ]
    (said,) = [each.getMessage() for each in caplog.records if "begin" in each.getMessage()]
    assert "the defaults of adam: learning_rate=0.001 is outside" in said
    assert "0.002 … 1" in said


def test_a_list_of_settings_comes_after_the_defaults_and_may_name_a_schedule(task):
    space = {"schedule": ["constant", "cosine"], "warmup": (0.0, 0.3)}
    mine = [{"learning_rate": 5e-3, "schedule": "cosine"}, {"beta_1": 0.8, "warmup": 0.1}]
    found = begun(kol.tune(task, "adam", trials=3, space=space, start=mine))
    plain = defaults(schedule="constant", warmup=0.0)
    assert found == [
        ("defaults", plain),
        ("given", pytest.approx({**plain, **mine[0]})),
        ("given", pytest.approx({**plain, **mine[1]})),
    ]


def test_settings_of_several_optimizers_name_theirs_in_one_way_or_the_other():
    space = SearchSpace(["adam", "momentum"])
    by_label = as_params(space, {"adam.beta_1": 0.8}, "start")
    assert by_label == as_params(space, {"optimizer": "adam", "beta_1": 0.8}, "start")
    assert by_label == as_params(space, {"optimizer": "adam", "1-beta_1": 0.2}, "start")
    assert space.decode(by_label).settings == pytest.approx(defaults(beta_1=0.8))


def test_an_earlier_result_gives_its_best_settings_and_then_its_next_bests(task, caplog):
    earlier = kol.tune(task, ["adam", "momentum"], trials=12, sampler="random", pruner="none")
    of_adam = [
        settings(earlier, trial)
        for trial in earlier.ranked_trials
        if trial.params["optimizer"] == "adam"
    ]
    with caplog.at_level(logging.INFO, "keras_optim_lab"):
        found = begun(kol.tune(task, "adam", trials=12, start=earlier))
    wanted = [("earlier", each) for each in of_adam if each != pytest.approx(defaults())][:3]
    assert found[0][0] == "defaults"
    assert found[1:] == approximately(wanted)
    assert "is left out of start: the optimizer 'momentum' is not searched" in caplog.text


@pytest.mark.parametrize("name", names())
def test_the_defaults_of_every_optimizer_are_in_its_space(name):
    space = SearchSpace(name)
    if name == "schedule_free_adamw":  # its own have no weight decay, and trials search it
        with pytest.raises(ValueError, match=r"weight_decay=None is outside .* 0\.005 … 1"):
            default_params(space, name)
        return
    chosen = space.decode(default_params(space, name))
    assert chosen.structure == chosen.default.structure
    values = chosen.template.defaults
    assert chosen.settings == pytest.approx({each: values[each] for each in chosen.settings})


# Once, whoever begins.


@pytest.mark.parametrize("trials", [5, 6])
def test_a_continued_study_begins_nothing_again(task, storage, trials):
    first = kol.tune(task, "adam", trials=4, name="s", storage=storage)
    assert len(begun(first)) == 3
    more = kol.tune(task, "adam", trials=trials, name="s", storage=storage)
    assert begun(more) == approximately(begun(first))
    assert len(more.study.trials) == trials
    assert all(trial.state.is_finished() for trial in more.study.trials)


def test_processes_that_begin_a_study_at_once_begin_with_one_list(storage, monkeypatch):
    monkeypatch.setattr(study_module, "check_model", lambda *arguments: None)
    fork = multiprocessing.get_context("fork")
    barrier = fork.Barrier(3)

    def process():
        barrier.wait()
        result = TuningResult.create(small_task(), "adam", name="s", storage=storage)
        barrier.wait()
        result.run(9, Formula())

    processes = [fork.Process(target=process) for _ in range(3)]
    for each in processes:
        each.start()
    for each in processes:
        each.join(60)
    result = TuningResult.load("s", storage, task=small_task())
    assert [origin for origin, _ in begun(result)] == ["defaults", "portfolio", "portfolio"]
    assert len(result.finished_trials) == 9


def test_what_a_study_starts_with_is_trained_by_who_first_runs_it_also_a_worker(task):
    TuningResult.create(task, "adam", name="s")
    result = TuningResult.load("s", task=task)
    result.run(4, Formula())
    assert [origin for origin, _ in begun(result)] == ["defaults", "portfolio", "portfolio"]


@pytest.mark.parametrize("other", ["defaults", "none", ADAM, ADAM[:1]])
def test_a_study_is_not_continued_with_another_start(task, other, in_empty_folder):
    kol.tune(task, "adam", trials=2, name="s", start=[{"beta_1": 0.8}])
    before = (in_empty_folder / "studies" / "s.journal").read_bytes()
    with pytest.raises(ValueError, match="'s' exists with another start: 1 given settings, not"):
        kol.tune(task, "adam", trials=4, name="s", start=other)
    assert (in_empty_folder / "studies" / "s.journal").read_bytes() == before
    kol.tune(task, "adam", trials=4, name="s", start=[{"beta_1": 0.8}])


def test_a_study_from_before_there_was_a_start_goes_on_without_one(task):
    result = TuningResult.create(task, "adam", name="s")
    plan = dict(result.study.user_attrs[PLAN])
    del plan[start.START]
    result.study.set_user_attr(PLAN, plan)
    assert begun(kol.tune(task, "adam", trials=4, name="s")) == []
    with pytest.raises(ValueError, match="another start: none, not 2 given settings"):
        kol.tune(task, "adam", trials=4, name="s", start=ADAM)


def test_settings_that_were_enqueued_by_hand_are_trained_too(make_study):
    result = make_study(start="portfolio")
    result.study.enqueue_trial({"learning_rate": 0.02})
    result.run(5, Formula())
    assert result.study.trials[0].params["learning_rate"] == 0.02
    assert len(begun(result)) == 3
    assert not result.study.get_trials(states=[TrialState.WAITING])


# Bad input.


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("portfollio", ValueError, r"start='portfollio'.*Did you mean 'portfolio'.*Known: port"),
        (3, TypeError, r"`start` must be one of 'portfolio'.*start=3"),
        ({"learning_rate": 1e-3}, TypeError, r"`start` must be .* a list of settings"),
        ([3], TypeError, r"start\[0\]: settings are a dict such as .*Received: 3"),
        ([{}, {"beta1": 0.9}], ValueError, r"start\[1\]: Adam has no .*Did you mean 'beta_1'"),
        ([{"adamw.beta_1": 0.9}], ValueError, r"Adam has no hyperparameter 'adamw.beta_1'"),
        ([{"optimizer": "adamw"}], ValueError, r"'adamw' is not searched.*Did you mean 'adam'"),
        ([{"learning_rate": 2.0}], ValueError, r"learning_rate=2.0 is outside .*7.6e-05 … 0.053"),
        ([{"beta_1": 0.999}], ValueError, r"beta_1=0.999 is outside .* 0.5 … 0.98"),
        ([{"beta_1": 2.0}], ValueError, r"start\[0\]: Adam: `beta_1` must be"),
        ([{"beta_1": "high"}], TypeError, r"start\[0\]: Adam: `beta_1` must be"),
        ([{"amsgrad": True}], ValueError, r"amsgrad=True, and the study does not search amsgrad"),
        ([{"schedule": "cosine"}], ValueError, r"schedule='cosine', and the study does not search"),
        ([{"warmup": 2}], ValueError, r"start\[0\]: `?warmup`? must be .*2"),
    ],
)
def test_a_start_is_checked_before_anything_is_stored(task, given, error, message, in_empty_folder):
    with pytest.raises(error, match=f"(?s){message}"):
        kol.tune(task, "adam", trials=1, start=given)
    assert list(in_empty_folder.iterdir()) == []


def test_settings_of_several_optimizers_that_name_none_are_refused(task, in_empty_folder):
    with pytest.raises(ValueError, match=r"so settings name theirs: .*'adam'"):
        kol.tune(task, ["adam", "lion"], trials=1, start=[{"learning_rate": 1e-3}])
    assert list(in_empty_folder.iterdir()) == []


def test_the_shipped_portfolios_are_of_their_optimizers(monkeypatch):
    monkeypatch.undo()
    for name, table in portfolios._tables().items():
        space = SearchSpace(name) if name != "made" else None
        for settings in table["settings"] if space else []:
            assert as_params(space, settings, name)
