"""Our search spaces as hyperparameters of KerasTuner's."""

import keras_tuner
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

import keras_optim_lab as kol
from keras_optim_lab.keras_tuner.parameters import parameter
from keras_optim_lab.optimizers import entry, names


def declared(*arguments, **options):
    """What a call declares, and the optimizer that it returns for the defaults."""
    hp = keras_tuner.HyperParameters()
    return hp, kol.keras_tuner.optimizer(hp, *arguments, **options)


def distributions(hp):
    """What a study behind an `OptunaOracle` searches."""
    parameters = filter(
        None, (parameter(declaration, declaration.name) for declaration in hp.space)
    )
    return {asked.name: asked.distribution for asked in parameters}


@pytest.mark.parametrize("name", names())
def test_the_space_of_an_optimizer_is_that_of_suggest_and_its_defaults_are_the_first_values(name):
    hp, optimizer = declared(name)
    assert distributions(hp) == kol.search_space(name)
    cls = entry(name).cls
    assert type(optimizer) is cls
    given, default = optimizer.get_config(), cls().get_config()
    for field, range_ in ((f, f.search) for f in cls.numeric.values() if f.search is not None):
        value = hp.values.get(field.name, hp.values.get(f"1-{field.name}"))
        if value == range_.low:  # where the default lies outside of the range
            continue
        assert given[field.name] == default[field.name]


@pytest.mark.parametrize("space", [None, {"beta_2": 0.99, "radam.1-beta_1": (0.01, 0.1)}])
def test_of_several_optimizers_each_has_its_conditional_scope(space):
    hp, optimizer = declared(["adam", "radam"], space)
    assert distributions(hp) == kol.search_space(["adam", "radam"], **(space or {}))
    assert type(optimizer) is kol.optimizers.Adam
    for declaration in hp.space:
        owner = declaration.name.partition(".")[0]
        scopes = [(condition.name, condition.values) for condition in declaration.conditions]
        assert scopes == ([] if declaration.name == "optimizer" else [("optimizer", [owner])])
    hp.values["optimizer"] = "radam"
    hp.ensure_active_values()
    chosen = kol.keras_tuner.optimizer(hp, ["adam", "radam"], space)
    assert type(chosen) is kol.optimizers.RAdam
    assert chosen.beta_1 == 1.0 - hp.values["radam.1-beta_1"]
    assert "adam.learning_rate" not in hp.values


def test_the_values_that_were_chosen_are_those_of_the_optimizer():
    hp, _ = declared("adam", {"epsilon": 1e-7})
    hp.values.update({"learning_rate": 0.02, "1-beta_1": 0.25, "1-beta_2": 0.001})
    config = kol.keras_tuner.optimizer(hp, "adam", {"epsilon": 1e-7}).get_config()
    assert [config[name] for name in ("learning_rate", "beta_1", "beta_2", "epsilon")] == [
        *(0.02, 0.75, 0.999, 1e-7)
    ]


CHANGES = [
    {"centered": CategoricalDistribution([False, True])},
    {"momentum": CategoricalDistribution([0.0, 0.5, 0.9])},
    {"rho": FloatDistribution(0.5, 0.9, step=0.1), "epsilon": (1e-10, 1e-6)},
    {"schedule": ["constant", "cosine"], "warmup": (0.0, 0.25)},
]


@pytest.mark.parametrize("space", CHANGES, ids=lambda space: "+".join(space))
def test_changes_of_the_space_are_declared(space):
    hp, optimizer = declared("rmsprop", space, steps=100)
    assert distributions(hp) == kol.search_space("rmsprop", **space)
    assert isinstance(optimizer, kol.optimizers.RMSprop)


def test_a_choice_of_one_bool_is_fixed_and_whole_numbers_are_numbers():
    space = {
        "centered": CategoricalDistribution([True]),
        "weight_decay": CategoricalDistribution([0, 0.1]),
    }
    hp, optimizer = declared("rmsprop", space)
    assert optimizer.centered is True
    assert distributions(hp)["weight_decay"] == CategoricalDistribution([0.0, 0.1])


def test_two_optimizers_of_one_model_choose_for_themselves_behind_a_prefix():
    hp = keras_tuner.HyperParameters()
    for prefix in ("generator", "critic"):
        kol.keras_tuner.optimizer(hp, ["adam", "momentum"], prefix=prefix)
    hp.values["critic.adam.learning_rate"] = 0.25
    made = [
        kol.keras_tuner.optimizer(hp, ["adam", "momentum"], prefix=prefix)
        for prefix in ("generator", "critic")
    ]
    assert [float(each.learning_rate) for each in made] == [pytest.approx(1e-3), 0.25]


def test_names_stand_below_the_name_scope_of_the_model():
    hp = keras_tuner.HyperParameters()
    with hp.name_scope("student"):
        optimizer = kol.keras_tuner.optimizer(hp, ["adam", "momentum"])
    assert isinstance(optimizer, kol.optimizers.Adam)
    assert {"student/optimizer", "student/adam.learning_rate"} <= hp.values.keys()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("adm",), ValueError, r"no optimizer 'adm'.*Did you mean 'adam'"),
        (("adam", {"beta_3": 0.5}), ValueError, r"no hyperparameter 'beta_3'"),
        (("adam", {"beta_1": IntDistribution(1, 2)}), TypeError, r"IntDistribution"),
        (("adam", {"schedule": "cosine"}), ValueError, r"Pass optimizer\(\.\.\., steps="),
        (("adam", None, 0), ValueError, r"steps=0"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_declared(arguments, error, message):
    hp = keras_tuner.HyperParameters()
    with pytest.raises(error, match=message):
        kol.keras_tuner.optimizer(hp, *arguments)
    assert hp.space == []


def test_an_optuna_trial_in_place_of_hyperparameters_is_refused():
    with pytest.raises(TypeError, match=r"`hp` must be a keras_tuner.HyperParameters"):
        kol.keras_tuner.optimizer({}, "adam")
