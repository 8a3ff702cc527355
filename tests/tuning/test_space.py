"""Search spaces come from the optimizers' fields, can be changed, and decode what trials chose."""

import json
import math
import re

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

import keras_optim_lab as kol
from keras_optim_lab.optimizers import Optimizer, catalogue, entries, entry, names
from keras_optim_lab.optimizers.shell.numeric import DecayRate
from keras_optim_lab.tuning import SearchSpace
from keras_optim_lab.tuning.spaces.configuration import Configuration

pytestmark = pytest.mark.once


def log_uniform(low, high):
    return FloatDistribution(low, high, log=True)


EVERY = names() + names(needs_objective=True)
# Their whole step is the exact one, or they search along a line.
WITHOUT_RANGES = {"newton", "gauss_newton", "lbfgs", "newton_cg"}


@pytest.mark.parametrize("name", EVERY)
def test_the_default_space_is_the_ranges_of_the_fields(name):
    expected = {}
    for field in entry(name).cls.numeric.values():
        if field.search is not None:
            key = f"1-{field.name}" if isinstance(field, DecayRate) else field.name
            expected[key] = log_uniform(field.search.low, field.search.high)
    assert bool(expected) == (name not in WITHOUT_RANGES)
    assert kol.search_space(name) == expected


@pytest.mark.parametrize("name", EVERY)
def test_every_range_names_its_source_and_is_accepted_by_its_field(name):
    for field in entry(name).cls.numeric.values():
        if field.search is None:
            continue
        assert re.search(r"\d{4}, (arXiv:|Methods for Non-Linear)", field.search.source)
        assert 0 < field.search.low < field.search.high
        for bound in (field.search.low, field.search.high):
            number = 1 - bound if isinstance(field, DecayRate) else bound
            assert field.check(name, number) == number


def test_the_rates_and_decay_rates_of_adam_are_searched_with_epsilon():
    assert list(kol.search_space("adam")) == ["learning_rate", "1-beta_1", "1-beta_2", "epsilon"]


@pytest.mark.parametrize("row", entries(), ids=lambda row: row.name)
def test_what_a_trial_chooses_decodes_to_arguments_that_the_optimizer_accepts(row):
    space = SearchSpace(row.name)
    trial = optuna.trial.FixedTrial({n: d.low for n, d in space.distributions.items()})
    chosen = space.suggest(trial)
    assert chosen.name == row.name
    optimizer = chosen.optimizer(steps=None)
    assert isinstance(optimizer, row.cls)
    for key, low in trial.params.items():
        field = key.removeprefix("1-")
        expected = 1 - low if key != field else low
        assert chosen.hyperparameters[field] == expected
        assert float(optimizer.get_config()[field]) == pytest.approx(expected, rel=1e-12)


def test_decoding_a_decay_rate_undoes_the_complement():
    space = SearchSpace("momentum")
    params = {"learning_rate": 0.1, "1-beta": 0.25}
    assert space.decode(params) == Configuration("momentum", {"learning_rate": 0.1, "beta": 0.75})


# Changes to a space.


def test_a_distribution_replaces_the_range_of_a_field():
    linear = FloatDistribution(0.001, 0.1)
    space = kol.search_space("adam", learning_rate=linear)
    assert space["learning_rate"] == linear
    assert space["epsilon"] == kol.search_space("adam")["epsilon"]


def test_a_pair_is_log_uniform():
    assert kol.search_space("adam", epsilon=(1e-10, 1e-6))["epsilon"] == log_uniform(1e-10, 1e-6)


def test_a_pair_of_decay_rates_is_log_uniform_in_the_complement():
    space = kol.search_space("adam", beta_1=(0.5, 0.75))
    assert space["1-beta_1"] == log_uniform(0.25, 0.5)
    assert "beta_1" not in space


def test_a_pair_for_the_complement_of_a_decay_rate_is_taken_as_it_is():
    space = kol.search_space("adam", **{"1-beta_2": (1e-4, 1e-2)})
    assert space["1-beta_2"] == log_uniform(1e-4, 1e-2)


def test_a_distribution_of_a_decay_rate_replaces_its_complement():
    space = SearchSpace("adam", {"beta_1": FloatDistribution(0.8, 0.95)})
    assert space.distributions["beta_1"] == FloatDistribution(0.8, 0.95)
    assert "1-beta_1" not in space.distributions
    params = {"learning_rate": 1e-3, "beta_1": 0.85, "1-beta_2": 0.25, "epsilon": 1e-8}
    assert space.decode(params).settings["beta_1"] == 0.85


@pytest.mark.parametrize(
    ("label", "value"), [("beta_1", 0.5), ("1-beta_1", 0.5), ("amsgrad", True)]
)
def test_a_single_value_fixes_a_field(label, value):
    space = SearchSpace("adam", {label: value})
    field = label.removeprefix("1-")
    assert not {field, f"1-{field}"} & space.distributions.keys()
    trial = optuna.create_study().ask()
    assert space.suggest(trial).settings[field] == value


@pytest.mark.parametrize("value", [np.float32(0.25), np.float64(0.25), np.array([0.25])[0]])
def test_a_numpy_number_fixes_a_field_too(value):
    description = SearchSpace("adam", {"beta_1": value}).describe()
    assert description["fixed"] == {"adam": {"beta_1": 0.25}}
    assert type(description["fixed"]["adam"]["beta_1"]) is float


def test_fields_without_a_range_of_their_own_can_be_searched():
    space = SearchSpace(
        "rmsprop",
        {
            "weight_decay": (1e-4, 1e-1),
            "momentum": (0.5, 0.75),
            "centered": CategoricalDistribution([False, True]),
        },
    )
    assert space.distributions["weight_decay"] == log_uniform(1e-4, 1e-1)
    assert space.distributions["1-momentum"] == log_uniform(0.25, 0.5)
    chosen = {
        "learning_rate": 0.01,
        "1-rho": 0.1,
        "epsilon": 1e-7,
        "weight_decay": 0.01,
        "1-momentum": 0.5,
        "centered": True,
    }
    optimizer = space.suggest(optuna.trial.FixedTrial(chosen)).optimizer(steps=None)
    assert (optimizer.weight_decay, optimizer.momentum, optimizer.centered) == (0.01, 0.5, True)


# Several optimizers.


def test_several_optimizers_have_spaces_of_their_own_behind_the_choice_among_them():
    space = kol.search_space(["momentum", "adam"])
    assert list(space) == [
        *("optimizer", "momentum.learning_rate", "momentum.1-beta"),
        *("adam.learning_rate", "adam.1-beta_1", "adam.1-beta_2", "adam.epsilon"),
    ]
    assert space["optimizer"] == CategoricalDistribution(["momentum", "adam"])


def test_a_trial_gets_only_the_hyperparameters_of_the_optimizer_it_chose():
    space = SearchSpace(["momentum", "adam"])
    trial = optuna.trial.FixedTrial(
        {"optimizer": "momentum", "momentum.learning_rate": 0.1, "momentum.1-beta": 0.25}
    )
    assert space.suggest(trial) == Configuration("momentum", {"learning_rate": 0.1, "beta": 0.75})


def test_a_change_reaches_all_optimizers_or_the_one_that_it_names():
    space = SearchSpace(
        ["adam", "radam"], {"beta_2": 0.99, "adam.beta_1": (0.5, 0.75), "radam.beta_1": 0.8}
    )
    assert space.distributions["adam.1-beta_1"] == log_uniform(0.25, 0.5)
    assert space.fixed == {"adam": {"beta_2": 0.99}, "radam": {"beta_2": 0.99, "beta_1": 0.8}}


def test_of_two_changes_to_a_field_the_later_one_holds():
    space = SearchSpace(["adam", "radam"], {"beta_1": 0.8, "adam.beta_1": (0.5, 0.75)})
    assert space.fixed == {"adam": {}, "radam": {"beta_1": 0.8}}
    assert "adam.1-beta_1" in space.distributions


@pytest.mark.parametrize(
    ("optimizers", "overrides"),
    [
        ("adam", {}),
        (
            "adam",
            {"beta_1": (0.5, 0.75), "epsilon": 1e-7, "learning_rate": FloatDistribution(0, 1)},
        ),
        (["adam", "momentum"], {"adam.beta_1": 0.5, "momentum.beta": (0.5, 0.9)}),
        ("rmsprop", {"centered": CategoricalDistribution([False, True])}),
        ("adam", {"schedule": ["constant", "cosine"], "warmup": (0.0, 0.2)}),
        ("adam", {"schedule": "cosine", "warmup": CategoricalDistribution([0.0, 0.1])}),
        (["adam", "momentum"], {"schedule": "linear", "warmup": 0.1, "momentum.beta": 0.5}),
        (["adam", "momentum"], {"warmup": FloatDistribution(0, 0.5, step=0.1)}),
    ],
)
def test_a_description_brings_the_space_back(optimizers, overrides):
    space = SearchSpace(optimizers, overrides)
    again = SearchSpace.from_description(space.describe())
    assert again.describe() == space.describe()
    assert again.distributions == space.distributions
    assert (again.spaces, again.fixed) == (space.spaces, space.fixed)
    assert again.recipe == space.recipe
    stored = json.loads(json.dumps(space.describe()))
    assert SearchSpace.from_description(stored).describe() == space.describe()


# The schedule of the learning rate.


def test_names_of_decays_are_a_choice_and_a_pair_of_warmups_is_linear():
    space = kol.search_space("adam", schedule=["constant", "cosine"], warmup=(0, 0.25))
    assert space["schedule"] == CategoricalDistribution(["constant", "cosine"])
    assert space["warmup"] == FloatDistribution(0.0, 0.25)
    assert {name: space[name] for name in kol.search_space("adam")} == kol.search_space("adam")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schedule", CategoricalDistribution(["linear", "cosine"])),
        ("warmup", CategoricalDistribution([0.0, 0.1])),
        ("warmup", FloatDistribution(0.001, 0.1, log=True)),
        ("warmup", FloatDistribution(0.0, 0.3, step=0.1)),
    ],
)
def test_distributions_of_the_schedule_are_taken_as_they_are(key, value):
    assert kol.search_space("adam", **{key: value})[key] == value


def test_with_several_optimizers_there_is_one_schedule_for_all():
    space = SearchSpace(["momentum", "adam"], {"schedule": ("constant", "cosine"), "warmup": 0.1})
    assert [name for name in space.distributions if "schedule" in name] == ["schedule"]
    chosen = {"momentum.learning_rate": 0.1, "momentum.1-beta": 0.25, "schedule": "cosine"}
    configuration = space.suggest(optuna.trial.FixedTrial({"optimizer": "momentum", **chosen}))
    assert configuration.settings == {
        "learning_rate": 0.1,
        "beta": 0.75,
        "schedule": "cosine",
        "warmup": 0.1,
    }


def test_a_trial_chooses_its_schedule():
    space = SearchSpace("adam", {"schedule": ["constant", "cosine"], "warmup": (0.1, 0.2)})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    chosen = [space.suggest(study.ask()) for _ in range(20)]
    assert {configuration.recipe.schedule for configuration in chosen} == {"constant", "cosine"}
    assert all(0.1 <= configuration.recipe.warmup <= 0.2 for configuration in chosen)
    assert all({"schedule", "warmup"} <= c.settings.keys() for c in chosen)
    assert [space.decode(trial.params) for trial in study.trials] == chosen


def test_a_fixed_schedule_is_no_parameter():
    space = SearchSpace("adam", {"schedule": "cosine", "warmup": np.float32(0.25)})
    assert not {"schedule", "warmup"} & space.distributions.keys()
    configuration = space.suggest(optuna.create_study().ask())
    assert (configuration.recipe.schedule, configuration.recipe.warmup) == ("cosine", 0.25)


@pytest.mark.parametrize("overrides", [{}, {"schedule": "constant", "warmup": 0}])
def test_a_space_without_a_schedule_is_described_as_before_there_was_one(overrides):
    """Studies that were stored then go on."""
    space = SearchSpace("gradient_descent", overrides)
    assert space.describe() == {
        "optimizers": ["gradient_descent"],
        "distributions": {"learning_rate": distribution_to_json(log_uniform(3.9e-4, 0.164))},
        "fixed": {"gradient_descent": {}},
    }
    assert "schedule" not in space.suggest(optuna.create_study().ask()).settings


def test_an_optimizer_without_a_learning_rate_has_no_schedule(monkeypatch):
    class Rateless(Optimizer):
        """Steps of one."""

    monkeypatch.setitem(catalogue._ENTRIES, "rateless", catalogue.Entry("rateless", Rateless, 2000))
    assert SearchSpace(["adam", "rateless"])
    with pytest.raises(ValueError, match=r"'warmup' needs a learning rate.*Rateless has none"):
        SearchSpace(["adam", "rateless"], {"warmup": 0.1})


# In a study of one's own.


def test_suggest_makes_the_optimizer_of_an_ordinary_objective():
    seen = []

    def objective(trial):
        optimizer = kol.suggest(trial, "adam", space={"epsilon": 1e-7})
        assert isinstance(optimizer, kol.optimizers.Adam)
        seen.append(float(optimizer.learning_rate))
        return abs(math.log10(trial.params["learning_rate"]) + 2)

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=3)
    chosen = [trial.params["learning_rate"] for trial in study.trials]
    assert seen == pytest.approx(chosen, rel=1e-6)
    assert "epsilon" not in study.best_params


def test_suggest_chooses_among_several_optimizers():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    made = {type(kol.suggest(study.ask(), ["adam", "momentum"])) for _ in range(20)}
    assert made == {kol.optimizers.Adam, kol.optimizers.Momentum}


def test_two_optimizers_of_one_trial_choose_for_themselves_behind_a_prefix():
    optimizers = ["adam", "momentum"]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    made = {part: kol.suggest(trial, optimizers, prefix=part) for part in ("generator", "critic")}
    plain = kol.suggest(trial, "adam")
    assert len({float(each.learning_rate) for each in (*made.values(), plain)}) == 3
    for part, optimizer in made.items():
        name = trial.params[f"{part}.optimizer"]
        assert type(optimizer) is kol.optimizers.entry(name).cls
        rate = trial.params[f"{part}.{name}.learning_rate"]
        assert float(optimizer.learning_rate) == pytest.approx(rate)
    study.tell(trial, 1.0)
    again = kol.suggest(study.best_trial, optimizers, prefix="critic")
    assert again.get_config()["learning_rate"] == made["critic"].get_config()["learning_rate"]


@pytest.mark.parametrize("prefix", ["", "critic"])
@pytest.mark.parametrize("second", ["adam", "radam", ["adam", "momentum"]])
def test_a_second_optimizer_of_the_same_names_is_refused(prefix, second):
    trial = optuna.create_study().ask()
    kol.suggest(trial, second if isinstance(second, list) else "adam", prefix=prefix)
    chosen = dict(trial.params)
    name = "optimizer" if isinstance(second, list) else "learning_rate"
    with pytest.raises(ValueError, match=rf"chosen '({prefix}\.)?{name}'.* prefix=\"critic\" or"):
        kol.suggest(trial, second, prefix=prefix)
    assert trial.params == chosen
    with pytest.raises(TypeError, match=r"`prefix` must be a name such as \"critic\"\. .*prefix=3"):
        kol.suggest(trial, "adam", prefix=3)


SCHEDULED = {"schedule": ["linear", "cosine"], "warmup": 0.1}


def test_suggest_makes_a_schedule_of_the_trainings_length():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(5):
        trial = study.ask()
        optimizer = kol.suggest(trial, "adam", SCHEDULED, steps=120)
        schedule = type(optimizer).numeric["learning_rate"].given(optimizer)
        assert schedule.get_config() == {
            "learning_rate": trial.params["learning_rate"],
            "steps": 120,
            "warmup": 0.1,
            "decay": trial.params["schedule"],
        }


@pytest.mark.parametrize(
    ("space", "steps", "error", "message"),
    [
        (
            SCHEDULED,
            None,
            ValueError,
            r"'schedule' and 'warmup' needs .*suggest\(..., steps=batches",
        ),
        ({"schedule": "cosine"}, None, ValueError, r"how many steps the training has"),
        (SCHEDULED, 0, ValueError, "`steps` must be a whole number ≥ 1.*steps=0"),
        (None, 2.5, TypeError, r"`steps` must be a whole number.*steps=2\.5"),
    ],
)
def test_a_schedule_of_unknown_length_is_refused_before_anything_is_suggested(
    space, steps, error, message
):
    trial = optuna.create_study().ask()
    with pytest.raises(error, match=message):
        kol.suggest(trial, "adam", space, steps=steps)
    assert trial.params == {}


def test_a_step_of_a_distribution_is_kept():
    space = SearchSpace("adam", {"beta_1": FloatDistribution(0.5, 0.9, step=0.2)})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    values = {round(space.suggest(study.ask()).settings["beta_1"], 9) for _ in range(30)}
    assert values == {0.5, 0.7, 0.9}


# Bad input.


@pytest.mark.parametrize(
    ("optimizers", "overrides", "error", "message"),
    [
        ("adm", None, ValueError, r"no optimizer 'adm'.*Did you mean 'adam'"),
        (["adam", "radm"], None, ValueError, r"'radm'.*Did you mean .*'radam'"),
        ([], None, ValueError, r"at least one optimizer"),
        (["adam", "Adam"], None, ValueError, r"names one twice"),
        (Optimizer, None, TypeError, r"`optimizer` must be a name .*Received: optimizer="),
        ([Optimizer], None, TypeError, r"`optimizer` must be a name"),
        (None, None, TypeError, r"Received: optimizer=None"),
        ("adam", ["beta_1"], TypeError, r"`space` must be a dict.*\['beta_1'\]"),
        ("adam", {"beta1": 0.9}, ValueError, r"'beta1'.*Did you mean 'beta_1'.*It has: learn"),
        ("adam", {"rho": 0.9}, ValueError, r"Adam has no hyperparameter 'rho'"),
        ("adam", {"use_ema": True}, ValueError, r"no hyperparameter 'use_ema'"),
        (["adam", "radam"], {"adm.beta_1": 0.9}, ValueError, r"'adm'.*Did you mean 'adam'"),
        ("adam", {"1-epsilon": 0.5}, ValueError, r"only a decay rate"),
        ("adam", {"beta_1": 1.0}, ValueError, r"`beta_1` must be a number in \[0, 1\).*1\.0"),
        ("adam", {"1-beta_1": 0.0}, ValueError, r"`beta_1` must be a number in \[0, 1\)"),
        ("adam", {"learning_rate": -1e-3}, ValueError, r"`learning_rate` must be .*-0.001"),
        ("adam", {"learning_rate": math.nan}, ValueError, r"learning_rate=nan"),
        ("adam", {"learning_rate": (-1e-3, 1.0)}, ValueError, r"learning_rate=-0.001"),
        ("adam", {"learning_rate": (1e-3, math.inf)}, ValueError, r"learning_rate=inf"),
        ("adam", {"learning_rate": (math.nan, 1.0)}, ValueError, r"learning_rate=nan"),
        ("adam", {"learning_rate": (0.0, 1.0)}, ValueError, r"0 < low ≤ high"),
        ("adam", {"learning_rate": (1.0, 0.1)}, ValueError, r"0 < low ≤ high.*1\.0, 0\.1"),
        ("adam", {"beta_1": (0.9, 1.5)}, ValueError, r"beta_1=1\.5"),
        ("adam", {"beta_1": FloatDistribution(0.5, 1.0)}, ValueError, r"beta_1=1\.0"),
        ("adam", {"learning_rate": (1, 2, 3)}, TypeError, r"\(low, high\) pair.*\(1, 2, 3\)"),
        ("adam", {"learning_rate": ("a", 2)}, TypeError, r"\(low, high\) pair"),
        ("adam", {"learning_rate": "0.1"}, TypeError, r"number or bool.*'0\.1'"),
        ("adam", {"1-beta_1": "0.1"}, TypeError, r"number or bool.*'0\.1'"),
        ("adam", {"learning_rate": lambda: 0.1}, TypeError, r"number or bool"),
        ("adam", {"weight_decay": None}, TypeError, r"number or bool.*None"),
        ("adam", {"learning_rate": IntDistribution(1, 3)}, TypeError, r"IntDistribution"),
        ("adam", {"amsgrad": 1}, TypeError, r"`amsgrad` must be True or False.*1"),
        ("adam", {"schedule": "cosin"}, ValueError, r"schedule='cosin'.*Did you mean 'cosine'"),
        ("adam", {"lr": 0.1}, ValueError, r"no hyperparameter 'lr'\. Did you mean 'learning_rate'"),
        ("adam", {"schedule": ["linear", "cosin"]}, ValueError, r"Did you mean 'cosine'"),
        (
            "adam",
            {"schedule": CategoricalDistribution(["linea", "cosine"])},
            ValueError,
            r"schedule='linea'.*Did you mean 'linear'",
        ),
        ("adam", {"schedule": CategoricalDistribution([1, 2])}, TypeError, r"schedule=1"),
        ("adam", {"schedule": FloatDistribution(0, 1)}, TypeError, r"list or Categorical.*Float"),
        ("adam", {"schedule": []}, TypeError, r"list or CategoricalDistribution.*\[\]"),
        ("adam", {"schedule": None}, TypeError, r"constant, linear, cosine.*None"),
        ("adam", {"schedule": ["cosine", "cosine"]}, ValueError, r"names one twice"),
        ("adam", {"warmup": 1.0}, ValueError, r"`warmup` must be a number in \[0, 1\).*1\.0"),
        ("adam", {"warmup": -0.1}, ValueError, r"warmup=-0\.1"),
        ("adam", {"warmup": (0.0, 1.0)}, ValueError, r"warmup=1\.0"),
        ("adam", {"warmup": (0.2, 0.1)}, ValueError, r"low ≤ high.*0\.2, 0\.1"),
        ("adam", {"warmup": (0.0, 0.1, 0.2)}, TypeError, r"'warmup' must be a \(low, high\) pair"),
        ("adam", {"warmup": FloatDistribution(0, 1)}, ValueError, r"warmup=1\.0"),
        ("adam", {"warmup": CategoricalDistribution([0.0, 2.0])}, ValueError, r"warmup=2\.0"),
        ("adam", {"warmup": IntDistribution(0, 1)}, TypeError, r"IntDistribution"),
        ("adam", {"warmup": True}, TypeError, r"warmup=True"),
        ("adam", {"warmup": "0.1"}, TypeError, r"warmup='0\.1'"),
        ("adam", {"schedul": "cosine"}, ValueError, r"'schedul'.*Did you mean 'schedule'"),
        ("adam", {"warm_up": 0.1}, ValueError, r"'warm_up'.*Did you mean 'warmup'"),
        (["adam", "radam"], {"adam.warmup": 0.1}, ValueError, r"belongs to the study.*'warmup'"),
        (
            "adam",
            {"amsgrad": CategoricalDistribution(["yes", "no"])},
            TypeError,
            r"`amsgrad` must be True or False.*'yes'",
        ),
    ],
)
def test_a_wrong_space_is_refused_with_what_is_accepted(optimizers, overrides, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        SearchSpace(optimizers, overrides)


def test_a_space_knows_the_forms_that_its_trials_may_choose():
    assert [each.name for each in SearchSpace(["adam", "radam"]).structures] == ["adam", "radam"]
    space = SearchSpace(
        ["rmsprop", "adam"],
        {
            "rmsprop.centered": CategoricalDistribution([True, False]),
            "adam.weight_decay": CategoricalDistribution([None, 0.01, 0.1]),
            "schedule": ["linear", "cosine"],
        },
    )
    chosen = [
        (each.name, each.hyperparameters.get("centered"), each.hyperparameters.get("weight_decay"))
        for each in space.structures
    ]
    assert chosen == [
        ("rmsprop", True, None),
        ("rmsprop", False, None),
        ("adam", None, None),
        ("adam", None, 0.01),
    ]
