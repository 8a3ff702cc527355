"""`kol.Model`: training with curvature methods inside `fit`, and what a plain model says."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_optim_lab as kol

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 3)).astype("float32")
Y = np.sin(X.sum(axis=1, keepdims=True)).astype("float32")
FULL = {"batch_size": len(X), "verbose": 0, "shuffle": False}


def network(make=kol.Model, between=()):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    x = layers.Dense(4, activation="tanh")(inputs)
    for layer in between:
        x = layer(x)
    return make(inputs, layers.Dense(1)(x))


def fitted(model, optimizer, epochs=2, **arguments):
    model.compile(optimizer=optimizer, loss="mse")
    return model.fit(X, Y, epochs=epochs, **{**FULL, **arguments}).history["loss"]


def count_traces(model):
    step, calls = model.train_step, []

    def counted(*arguments):
        calls.append(1)
        return step(*arguments)

    model.train_step = counted
    return calls


def test_a_curvature_step_inside_fit_is_traced_once_and_the_loss_falls():
    model = network()
    model.compile(optimizer=kol.LBFGS(full_batch=True), loss="mse")
    calls = count_traces(model)
    seen = []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs))
    history = model.fit(X, Y, epochs=6, validation_data=(X, Y), callbacks=[callback], **FULL)
    losses = history.history["loss"]
    assert all(after < before for before, after in itertools.pairwise(losses))
    assert len(calls) == (6 if keras.backend.backend() == "torch" else 1)
    assert int(model.optimizer.iterations) == 6
    assert [logs["val_loss"] for logs in seen] == history.history["val_loss"]
    # The loss shown is that before the step: validation after a step sees the next one.
    np.testing.assert_allclose(history.history["val_loss"][:-1], losses[1:], rtol=1e-4)


def test_levenberg_marquardt_takes_the_damped_gauss_newton_step_of_the_formula():
    keras.utils.set_random_seed(0)
    model = kol.Sequential([keras.Input((3,)), layers.Dense(1)])
    kernel, bias = (np.array(ops.convert_to_numpy(v)) for v in model.trainable_variables)
    weights = np.linspace(0.5, 1.5, len(X)).astype("float32")
    x = X * np.float32([1.0, 1.0, 1e-2])  # the last weight hardly matters
    model.compile(optimizer=kol.LevenbergMarquardt(damping=0.1), loss="mse")
    model.fit(x, Y, epochs=1, sample_weight=weights, **FULL)
    jacobian = np.concatenate([x, np.ones((len(X), 1))], axis=1)
    residuals = (x @ kernel + bias - Y)[:, 0]
    hessian = jacobian.T @ (2 * weights[:, None] / len(X) * jacobian)
    gradient = jacobian.T @ (2 * weights / len(X) * residuals)
    damped = np.diag(np.maximum(np.diag(hessian), 0.01 * np.diag(hessian).max()))
    step = np.linalg.solve(hessian + 0.1 * damped, gradient)
    found = np.concatenate([ops.convert_to_numpy(v).ravel() for v in model.trainable_variables])
    np.testing.assert_allclose(found, np.append(kernel[:, 0], bias) - step, rtol=1e-3, atol=1e-4)


def test_batch_statistics_and_dropout_are_the_same_in_all_evaluations_of_a_step():
    normalization = layers.BatchNormalization(momentum=0.9)
    model = network(between=(normalization, layers.Dropout(0.5)))
    hidden = keras.Model(model.inputs, model.layers[1].output)
    inside = ops.convert_to_numpy(hidden(X))
    losses = fitted(model, kol.LBFGS(step_rule="armijo"), epochs=1)
    assert np.isfinite(losses).all()
    # Moved once by one step, however often the line search has evaluated the loss.
    np.testing.assert_allclose(
        ops.convert_to_numpy(normalization.moving_mean), 0.1 * inside.mean(axis=0), atol=1e-5
    )


def test_a_first_order_method_trains_as_on_a_keras_model():
    for make in (network(), kol.Sequential(network().layers), network(Subclass)):
        ours = fitted(make, kol.optimizers.Adam(0.01))
        assert ours == pytest.approx(fitted(network(keras.Model), kol.optimizers.Adam(0.01)))


def test_newton_trains_a_network_by_default():
    losses = fitted(network(), kol.Newton(), epochs=12)
    assert all(after <= before for before, after in itertools.pairwise(losses))
    assert losses[-1] < 0.5 * losses[0]


class Subclass(kol.Model):
    """Made from inputs and outputs by a constructor of its own."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs)


class Called(kol.Model):
    """A model with a call of its own, whose loss is an equation: uˈˈ = −u."""

    def __init__(self):
        super().__init__()
        self.hidden, self.head = layers.Dense(4, activation="tanh"), layers.Dense(1)

    def call(self, x):
        return self.head(self.hidden(x))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean((kol.derivative(self, x, order=2) + y_pred) ** 2) + ops.mean(
            (self(ops.ones_like(x)) - 1.0) ** 2
        )


def test_a_model_with_a_call_and_a_loss_of_its_own_is_trained():
    keras.utils.set_random_seed(1)
    model = Called()
    model.compile(optimizer=kol.LBFGS(full_batch=True))
    losses = model.fit(X[:, :1], epochs=25, **FULL).history["loss"]
    assert losses[-1] < 0.5 * losses[0]


def test_training_goes_on_where_a_saved_model_stopped(tmp_path):
    through, saved = network(), network()
    expected = fitted(through, kol.LBFGS(history=3, full_batch=True, step_rule="armijo"), epochs=5)
    fitted(saved, kol.LBFGS(history=3, full_batch=True, step_rule="armijo"), epochs=3)
    saved.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, kol.Model)
    assert loaded.optimizer.get_config() == saved.optimizer.get_config()
    again = loaded.fit(X, Y, epochs=2, **FULL).history["loss"]
    np.testing.assert_allclose(again, expected[3:], rtol=1e-4)


def test_the_losses_of_several_outputs_are_shown_beside_their_sum():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    model = kol.Model(inputs, {name: layers.Dense(1, name=name)(inputs) for name in ("a", "b")})
    optimizer = kol.LBFGS(1e-2, step_rule="fixed")
    model.compile(
        optimizer=optimizer, loss={"a": "mse", "b": "mae"}, loss_weights={"a": 1.0, "b": 0.5}
    )
    first = model.predict(X, verbose=0)
    logs = model.fit(X, {"a": Y, "b": Y}, **FULL).history
    assert logs["a_loss"] == pytest.approx([np.mean((first["a"] - Y) ** 2)], rel=1e-4)
    assert logs["b_loss"] == pytest.approx([np.mean(np.abs(first["b"] - Y))], rel=1e-4)
    assert logs["loss"][0] == pytest.approx(logs["a_loss"][0] + 0.5 * logs["b_loss"][0], rel=1e-4)


def test_half_precision_weights_are_moved_by_arithmetic_in_float32():
    keras.utils.set_random_seed(0)
    model = kol.Sequential([keras.Input((3,)), layers.Dense(1, dtype="bfloat16")])
    losses = fitted(model, kol.GaussNewton(), epochs=2)
    assert losses[1] < losses[0]
    assert model.trainable_variables[0].dtype == "bfloat16"


@pytest.mark.parametrize("make", [keras.Model, lambda i, o: keras.Sequential([i, layers.Dense(1)])])
def test_a_plain_keras_model_says_which_line_to_change(make):
    inputs = keras.Input((3,))
    model = make(inputs, layers.Dense(1)(inputs))
    with pytest.raises(TypeError, match=r"keras.Model\(inputs, outputs\) to kol.Model"):
        fitted(model, kol.Newton())


@pytest.mark.parametrize("make", [kol.LBFGS, lambda: kol.SAM("adam")], ids=["lbfgs", "sam"])
def test_a_frozen_network_says_that_it_has_no_trainable_weights(make):
    model = kol.Sequential([keras.Input((3,)), layers.Dense(1, trainable=False)])
    with pytest.raises(ValueError, match="no trainable weights: all its layers are frozen"):
        fitted(model, make())


FREEZABLE = [
    lambda: kol.LBFGS(full_batch=True),
    pytest.param(kol.Newton, marks=pytest.mark.once("torch")),  # which compiles no matrices
    pytest.param(kol.LevenbergMarquardt, marks=pytest.mark.once("torch")),
    lambda: kol.AdaHessian(0.01),
    lambda: kol.SAM(kol.optimizers.Adam(0.01)),
]


@pytest.mark.parametrize("make", FREEZABLE)
def test_layers_may_be_frozen_and_unfrozen_between_fits(make):
    model, optimizer = network(), make()
    fitted(model, optimizer)
    losses = []
    for trains, compiles in ((False, False), (True, True)):
        before = model.get_weights()
        model.layers[1].trainable = trains
        if compiles:
            model.compile(optimizer=optimizer, loss="mse")
        losses += model.fit(X, Y, epochs=2, **FULL).history["loss"]
        moved = [np.any(a != b) for a, b in zip(model.get_weights(), before, strict=True)]
        assert moved == [trains, trains, True, True]
    assert int(optimizer.iterations) == 6
    assert all(after <= before * (1 + 1e-5) for before, after in itertools.pairwise(losses))


def test_another_network_is_refused():
    first, second, optimizer = network(), network(), kol.LBFGS()
    fitted(first, optimizer)
    before = second.get_weights()
    with pytest.raises(ValueError, match="state would be lost"):
        fitted(second, optimizer)
    for weight, expected in zip(second.weights, before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(weight), expected)
    fitted(first, optimizer)


def test_weights_that_stay_keep_their_slots_and_weights_that_join_begin():
    model, optimizer = network(), kol.AdaHessian(0.1, hessian_power=0.0, epsilon=0.0)
    model.layers[1].trainable = False
    fitted(model, optimizer, epochs=3)
    held = ops.convert_to_numpy(optimizer._state_variables["momentum"]).copy()
    model.layers[1].trainable = True
    optimizer.build(model.trainable_variables)
    momentum = ops.convert_to_numpy(optimizer._state_variables["momentum"])
    np.testing.assert_array_equal(momentum[:16], np.zeros(16))
    np.testing.assert_array_equal(momentum[16:], held)
    weights = model.get_weights()
    other = network()
    other.set_weights(weights)
    model.fit(X, Y, **FULL)  # the scale is 1: the first step is along the gradient itself
    fitted(other, kol.optimizers.GradientDescent(0.1), epochs=1)
    np.testing.assert_allclose(model.get_weights()[0], other.get_weights()[0], rtol=1e-4)


def test_a_network_that_is_too_large_for_a_full_hessian_is_refused_before_training():
    model = kol.Sequential([keras.Input((100,)), layers.Dense(60)])
    model.compile(optimizer=kol.Newton(), loss="mse")
    before = ops.convert_to_numpy(model.trainable_variables[0])
    with pytest.raises(ValueError, match="NewtonCG or LBFGS"):
        model.fit(np.ones((4, 100)), np.ones((4, 60)), verbose=0)
    np.testing.assert_array_equal(ops.convert_to_numpy(model.trainable_variables[0]), before)
    assert not model.optimizer.built  # it is refused again


CURVATURE = kol.optimizers.entries(needs_objective=True)


@pytest.mark.once
@pytest.mark.parametrize("entry", CURVATURE, ids=lambda entry: entry.name)
def test_a_configuration_makes_the_same_optimizer_again(entry):
    optimizer = entry.cls(learning_rate=0.25)
    again = entry.cls.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    assert repr(again) == repr(optimizer)


@pytest.mark.once
@pytest.mark.parametrize("entry", CURVATURE, ids=lambda entry: entry.name)
def test_what_keras_applies_to_gradients_is_refused(entry):
    with pytest.raises(ValueError, match="`clipnorm` changes gradients"):
        entry.cls(clipnorm=1.0)
    with pytest.raises(ValueError, match=r"kol\.minimize\(fun, x0, optimizer\)"):
        kol.functional.Functional(entry.cls())


@pytest.mark.once
def test_choices_and_counts_are_checked():
    with pytest.raises(ValueError, match="one of 'fixed', 'armijo', 'strong_wolfe'"):
        kol.LBFGS(step_rule="wolfe")
    with pytest.raises(ValueError, match="an integer ≥ 1"):
        kol.LBFGS(history=0)
