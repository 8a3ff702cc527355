"""A configuration is one trial's choice, and makes its optimizer."""

import pytest

import keras_optim_lab as kol
from keras_optim_lab.schedules import WarmupDecay
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.spaces.recipe import Recipe

pytestmark = pytest.mark.once


def schedule(optimizer, name="learning_rate"):
    return type(optimizer).numeric[name].given(optimizer)


def test_without_a_schedule_the_learning_rate_is_a_plain_number():
    configuration = Configuration("adam", {"learning_rate": 0.25, "beta_1": 0.5})
    optimizer = configuration.optimizer(steps=None)
    assert isinstance(optimizer, kol.optimizers.Adam)
    config = optimizer.get_config()
    assert (config["learning_rate"], config["beta_1"]) == (0.25, 0.5)
    assert not configuration.scheduled
    optimizer.learning_rate = 0.125  # only a number can be set


@pytest.mark.parametrize(
    ("decay", "warmup"), [("cosine", 0.0), ("constant", 0.25), ("linear", 0.1)]
)
def test_a_decay_or_a_warmup_makes_a_schedule_whose_peak_is_the_learning_rate(decay, warmup):
    configuration = Configuration("momentum", {"learning_rate": 0.25}, Recipe(decay, warmup))
    assert configuration.scheduled
    made = schedule(configuration.optimizer(steps=40))
    assert isinstance(made, WarmupDecay)
    assert made.get_config() == {
        "learning_rate": 0.25,
        "steps": 40,
        "warmup": warmup,
        "decay": decay,
    }


def test_the_peak_is_the_optimizers_default_where_the_rate_is_not_chosen():
    made = schedule(Configuration("adam", {}, Recipe("cosine")).optimizer(steps=40))
    assert made.learning_rate == 1e-3


def test_a_schedule_scales_every_learning_rate_of_an_optimizer():
    """AdaBound's second rate is a lower bound, which would hold the first one up."""
    configuration = Configuration("adabound", {"learning_rate": 0.25}, Recipe("linear"))
    assert configuration.peaks == {"learning_rate": 0.25, "final_learning_rate": 0.1}
    optimizer = configuration.optimizer(steps=40)
    assert schedule(optimizer).learning_rate == 0.25
    assert schedule(optimizer, "final_learning_rate").learning_rate == 0.1


def test_a_schedule_without_a_number_of_steps_is_refused():
    with pytest.raises(ValueError, match=r"schedule='cosine'.*pass steps=batches per epoch"):
        Configuration("adam", {}, Recipe("cosine")).optimizer(steps=None)


def test_every_optimizer_is_a_new_one_and_leaves_the_configuration_as_it_was():
    configuration = Configuration("adam", {"learning_rate": 0.25}, Recipe("cosine"))
    assert configuration.optimizer(4) is not configuration.optimizer(4)
    assert configuration == Configuration("adam", {"learning_rate": 0.25}, Recipe("cosine"))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({}, {}),
        ({"recipe": Recipe("cosine")}, {"schedule": "cosine"}),
        ({"recipe": Recipe(warmup=0.1)}, {"warmup": 0.1}),
        ({"stated": ("schedule",)}, {"schedule": "constant"}),
        ({"recipe": Recipe(batch_size=64)}, {"batch_size": 64}),
        ({"stated": ("schedule", "warmup")}, {"schedule": "constant", "warmup": 0.0}),
    ],
)
def test_settings_hold_the_schedule_where_it_is_searched_or_no_default(schedule, expected):
    configuration = Configuration("adam", {"learning_rate": 0.25}, **schedule)
    assert configuration.settings == {"learning_rate": 0.25, **expected}


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("adam", {"amsgrad": True}, {"amsgrad": False}),
        ("adam", {"weight_decay": None}, {"weight_decay": 0.0}),
        ("adam", {"weight_decay": 0.0}, {"weight_decay": 0.1}),
    ],
)
def test_what_a_program_is_made_for_tells_structures_apart(name, one, other):
    assert Configuration(name, one).structure != Configuration(name, other).structure


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("adam", {"learning_rate": 0.1}, {"learning_rate": 0.2, "amsgrad": False}),
        ("adam", {"weight_decay": 0.1}, {"weight_decay": 0.2}),
        ("adagrad", {"initial_accumulator_value": 0.1}, {"initial_accumulator_value": 0.0}),
    ],
)
def test_numbers_that_come_into_a_program_do_not_tell_structures_apart(name, one, other):
    assert Configuration(name, one).structure == Configuration(name, other).structure
