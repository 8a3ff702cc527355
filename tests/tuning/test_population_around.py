"""What Keras does around a step, done in rows: the numbers are those of `fit`."""

import keras
import numpy as np
import pytest

from keras_optim_lab import backend
from keras_optim_lab.optimizers import Adam, AdamW, Momentum
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from keras_optim_lab.tuning.engines.sequential_engine import SequentialEngine
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.spaces.settings import as_params
from keras_optim_lab.tuning.spaces.space import SearchSpace
from tests.studies import small_task
from tests.tuning.populations import (
    BACKEND,
    FORMS,
    Rows,
    assert_same_as_fit,
    assert_same_trials,
    search,
    ten_steps,
    variables,
)
from tests.tuning.test_population_rows import assert_close, fitted, normalized

PREFERRED = FORMS[0 if backend.rows().prefers_vectorized() else 1]
ALL = {
    "gradient_accumulation_steps": 2,
    "global_clipnorm": 0.2,
    "use_ema": True,
    "ema_momentum": 0.5,
    "ema_overwrite_frequency": 5,  # the last time after the last step, as at the end of `fit`
    "loss_scale_factor": 8.0,
}
AROUND = [
    {"clipnorm": 0.1},
    {"clipvalue": 0.05},
    {"global_clipnorm": 0.2},
    {"gradient_accumulation_steps": 3},
    {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2},
    ALL,
]
# Compiling takes most of the time: all is tried on PyTorch, which need not, and together elsewhere.
TRIED = [
    (arguments, form)
    for arguments in AROUND
    for form in FORMS
    if BACKEND == "torch" or (form == PREFERRED and arguments in (ALL, {"clipnorm": 0.1}))
]


def trained(task, optimizer, form, *others):
    """The rows of an optimizer, and of it with other settings, from the same seed."""
    rows = Rows(task, optimizer, 1 + len(others), form)
    return rows.train([(Configuration("adamw", dict(each)), 7) for each in ({}, *others)])


@pytest.mark.parametrize(
    ("arguments", "form"), TRIED, ids=lambda part: part if isinstance(part, str) else "+".join(part)
)
def test_the_first_ten_steps_with_an_argument_of_keras_are_those_of_fit(arguments, form):
    number = next((name for name in ("clipnorm", "clipvalue") if name in arguments), "ema_momentum")
    arguments = {**arguments, "learning_rate": 0.01}
    task = ten_steps(normalized)
    # A number is one of a row, as those of the method are.
    other = {number: arguments[number] / 2} if number in arguments else {}
    found = trained(task, AdamW(**arguments), form, other)
    plain, _ = fitted(task, AdamW(0.01), 7)
    for (weights, logs), changes in zip(found, ({}, other), strict=True):
        expected, fit = fitted(task, AdamW(**{**arguments, **changes}), 7)
        assert_close(weights, expected)
        assert (np.abs(weights[0] - plain[0]) > 1e-4).any()
        assert logs["val_loss"] == pytest.approx(fit["val_loss"], rel=1e-5)


@pytest.mark.parametrize("form", FORMS if BACKEND == "torch" else FORMS[:1])
def test_weights_that_are_excluded_do_not_decay(form):
    def make():
        optimizer = AdamW(0.01, weight_decay=5.0)
        optimizer.exclude_from_weight_decay(var_names=["norm"])
        return optimizer

    task = ten_steps(normalized)
    ((weights, _),) = trained(task, make(), form)
    assert_close(weights, fitted(task, make(), 7)[0])
    decayed, _ = fitted(task, AdamW(0.01, weight_decay=5.0), 7)
    assert not np.allclose(weights[1], decayed[1])


@pytest.fixture
def policy(request):
    former = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(former)


# XLA rounds to bfloat16 in other places than TensorFlow's own kernels.
ROUNDED = 5e-3 if BACKEND == "tensorflow" else 1e-5


@pytest.mark.parametrize(
    ("policy", "arguments"),
    [
        ("mixed_bfloat16", {"state_dtype": "bfloat16", "clipnorm": 0.1}),
        ("bfloat16", {"global_clipnorm": 0.2}),
    ],
    indirect=["policy"],
)
def test_rows_of_half_precision_are_those_of_fit(policy, arguments):
    task = ten_steps(normalized)
    ((weights, logs),) = trained(task, AdamW(0.01, **arguments), PREFERRED)
    expected, fit = fitted(task, AdamW(0.01, **arguments), 7)
    tolerance = 0.01 if policy == "bfloat16" else ROUNDED
    expected = [np.asarray(values, "float32") for values in expected]
    assert_close([*map(np.float32, weights)], expected, rtol=tolerance, atol=tolerance / 5)
    assert logs["loss"] == pytest.approx(fit["loss"], rel=tolerance)


def constrained():
    """A constraint that the first weights do not meet, and no step that is left out."""
    model = normalized()
    model.layers[-1].kernel.constraint = keras.constraints.NonNeg()
    return model


@pytest.mark.parametrize("policy", ["mixed_float16"], indirect=True)
def test_a_factor_on_a_loss_of_float16_falls_and_grows_as_in_fit(policy, monkeypatch):
    scaled = keras.optimizers.LossScaleOptimizer.__init__
    monkeypatch.setattr(
        keras.optimizers.LossScaleOptimizer,
        "__init__",
        lambda self, inner, **given: scaled(self, inner, dynamic_growth_steps=3, **given),
    )
    x, y = ten_steps(normalized).train
    task = ten_steps(constrained, train=(x, 20 * y))  # it overflows at first
    rows = Rows(task, Momentum(1e-4), 1, PREFERRED)
    ((weights, logs),) = rows.train([(Configuration("momentum", {}), 7)])
    model = task.build(Momentum(1e-4), 7)
    model.run_eagerly = BACKEND == "tensorflow"
    fit = task.fit(model, 7).history
    assert_close(weights, variables(model), rtol=1e-4)
    assert logs["loss"] == pytest.approx(fit["loss"][0], rel=1e-4)
    found, wrapper = rows.state["optimizer"], model.optimizer
    assert 2 < int(found.step[0]) == int(wrapper.inner_optimizer.iterations) < 10
    assert float(found.shared["factor on the loss"][0]) == float(wrapper.dynamic_scale)
    assert int(found.shared["finite steps"][0]) == int(wrapper.step_counter)


def test_a_bound_of_gradients_is_searched_as_any_number():
    space = {"global_clipnorm": (0.05, 1.0), "learning_rate": 0.1}
    task = small_task(epochs=2)
    assert assert_same_as_fit(task, "momentum", space=space)["engine"] == "population"
    found = search(SequentialEngine(), task, "momentum", space=space)
    assert_same_trials(found, search(PopulationEngine(2), task, "momentum", space=space))
    assert len({trial.params["global_clipnorm"] for trial in found.study.trials}) == 3


def test_gradients_are_clipped_in_one_way():
    for optimizer in ("adam", Adam(clipnorm=1.0)):
        with pytest.raises(ValueError, match="'clipnorm' and 'clipvalue' of Adam exclude"):
            SearchSpace(optimizer, {"clipvalue": (0.1, 1.0), "clipnorm": (0.1, 1.0)})
    with pytest.raises(ValueError, match="has no hyperparameter 'ema_momentum'"):
        SearchSpace("adam", {"ema_momentum": (0.9, 0.99)})
    assert "1-ema_momentum" not in SearchSpace(Adam(use_ema=True), {"ema_momentum": 0.9}).spaces
    # What a list does not speak of is nearest to no bound at all.
    space = SearchSpace("adam", {"clipnorm": (0.1, 10.0)})
    assert as_params(space, {"learning_rate": 1e-3}, "start")["clipnorm"] == 10.0
