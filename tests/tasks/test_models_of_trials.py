"""A builder of one argument is given the trial, and every model comes fresh from its seed."""

from functools import partial

import keras
import numpy as np
import pytest


class Trial:
    """Suggests one width, as a trial of a study would."""

    def __init__(self, units):
        self.units = units

    def suggest_int(self, name, low, high):
        assert low <= self.units <= high
        return self.units


def layer(trial):
    units = trial.suggest_int("units", 1, 8)
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(units), keras.layers.Dense(1)])


def with_default(trial=None):
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


def of_two(width, trial):
    return layer(trial)


class Builder:
    def build(self, trial):
        return layer(trial)

    def __call__(self):
        return with_default()


@pytest.mark.parametrize(
    "builder", [layer, lambda t: layer(t), partial(of_two, 3), Builder().build, lambda t, /: t]
)
def test_one_required_argument_asks_for_the_trial(make_task, builder):
    assert make_task(model=builder).depends_on_trial


@pytest.mark.parametrize("builder", [with_default, lambda *all: None, partial(layer, 3), Builder()])
def test_no_required_argument_asks_for_nothing(make_task, builder):
    assert not make_task(model=builder).depends_on_trial


@pytest.mark.parametrize("units", [2, 5])
def test_the_model_is_built_from_the_trial(make_task, units):
    task = make_task(model=layer)
    model = task.build("sgd", seed=0, trial=Trial(units))
    assert model.layers[0].units == units
    assert np.isfinite(task.fit(model, seed=0).history["loss"]).all()


@pytest.mark.parametrize("method", ["build", "build_model"])
def test_a_model_that_needs_a_trial_is_not_built_without_one(make_task, method):
    arguments = {"seed": 0, **({"optimizer": "sgd"} if method == "build" else {})}
    with pytest.raises(
        TypeError, match=r"trial=None, and model=<function layer .* pass trial=\.\."
    ):
        getattr(make_task(model=layer), method)(**arguments)


def test_a_model_that_needs_no_trial_is_built_with_one_all_the_same(make_task):
    assert make_task().build("sgd", seed=0, trial=Trial(3)).count_params() == 3


def test_build_model_leaves_the_model_uncompiled(make_task):
    assert not make_task().build_model(seed=0).compiled


@pytest.mark.parametrize("inputs", [[], [keras.Input((2,))]])
def test_build_model_draws_the_weights_of_build(make_task, inputs):
    task = make_task(model=lambda: keras.Sequential([*inputs, keras.layers.Dense(1)]))
    bare, compiled = task.build_model(seed=4), task.build("sgd", seed=4)
    assert bare.count_params() == 3
    for one, other in zip(bare.get_weights(), compiled.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_weights_are_those_that_the_builder_draws_after_the_seed(make_task):
    task = make_task()
    keras.utils.set_random_seed(7)
    expected = task.model().get_weights()
    for one, other in zip(task.build_model(seed=7).get_weights(), expected, strict=True):
        np.testing.assert_array_equal(one, other)
