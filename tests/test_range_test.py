"""The range test finds where the loss falls and where it diverges, and leaves no trace."""

import keras
import numpy as np
import pytest

import keras_optim_lab as kol

X = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
Y = X @ np.array([[1.0], [-2.0], [0.5]], "float32")


def compiled_model(optimizer):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


@pytest.fixture(scope="module")
def model():
    return compiled_model(kol.optimizers.GradientDescent(0.5))


@pytest.fixture(scope="module")
def found(model):
    return kol.find_learning_rate(model, X, Y, low=1e-4, high=100.0, steps=60, smoothing=0.5)


def test_the_loss_falls_before_it_diverges(found):
    # With a mean of squares of unit inputs gradient descent diverges from η = 1 on.
    assert found.smoothed.min() < 0.5 * found.smoothed[0]
    assert found.steepest <= found.lowest < 3.0
    assert found.rates[-1] < 100.0, "it ended early"
    assert found.smoothed[-1] > 4.0 * found.smoothed.min()
    np.testing.assert_allclose(np.diff(np.log(found.rates)), np.log(1e6) / 59, rtol=1e-6)


def test_the_first_loss_is_that_of_the_untouched_model(model, found):
    kernel, bias = model.get_weights()
    batch = np.random.default_rng(0).choice(64, 32, replace=False)
    assert found.losses[0] == pytest.approx(
        np.mean((X[batch] @ kernel + bias - Y[batch]) ** 2), rel=1e-5
    )


def test_weights_optimizer_and_metrics_are_as_before():
    model = compiled_model(kol.optimizers.Adam(0.001))
    model.fit(X, Y, verbose=0)
    kept = [*model.trainable_variables, *model.optimizer.variables]
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in kept]
    kol.find_learning_rate(model, X, Y, steps=3)
    for variable, value in zip(kept, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)
    assert model.optimizer.get_config()["learning_rate"] == 0.001


def test_the_figure_shows_losses_over_a_logarithmic_axis(found):
    figure = found.figure()
    assert figure.layout.xaxis.type == "log"
    np.testing.assert_allclose(figure.data[1].y, found.smoothed)


@pytest.mark.once
@pytest.mark.parametrize(
    ("optimizer", "arguments", "message"),
    [
        (
            kol.optimizers.Adam(kol.schedules.InverseSquareRoot(0.1, 5)),
            {},
            "InverseSquareRoot.*with a number",
        ),
        (kol.optimizers.Adam(), {"low": 1.0, "high": 0.1}, "0 < low < high"),
        (kol.optimizers.Adam(), {"steps": 1}, "`steps` must be a whole number ≥ 2"),
        (kol.optimizers.Adam(), {"steps": 10**12}, "`steps` must be a whole number ≤ 100,000"),
        (kol.optimizers.Adam(), {"high": 10**400}, "0 < low < high"),
        (kol.optimizers.Adam(), {"batch_size": 0}, "`batch_size` must be a whole number ≥ 1"),
        (kol.optimizers.Adam(), {"smoothing": 1.0}, "`smoothing` must be in"),
    ],
)
def test_wrong_arguments_are_refused_before_any_step(optimizer, arguments, message):
    model = compiled_model(optimizer)
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        kol.find_learning_rate(model, X, Y, **arguments)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


@pytest.mark.once("torch")
def test_a_loss_that_is_never_finite_is_told_and_leaves_no_trace():
    model = compiled_model(kol.optimizers.Adam())
    before = model.get_weights()
    with pytest.raises(ValueError, match="not finite in step 1, with a learning rate of 1e-06"):
        kol.find_learning_rate(model, X * np.nan, Y)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


@pytest.mark.once
def test_a_frozen_model_is_refused():
    model = compiled_model(kol.optimizers.Adam())
    model.trainable = False
    with pytest.raises(ValueError, match="no trainable weights: all its layers are frozen"):
        kol.find_learning_rate(model, X, Y)
