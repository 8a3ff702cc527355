"""Schedule-free optimizers train at one point and show another, without the user doing anything."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_optim_lab.optimizers import ScheduleFreeAdamW, ScheduleFreeSGD
from tests.frameworks import arrays


def loss_of(weights, x, y):
    kernel, bias, head, offset = weights
    return np.mean((np.tanh(x @ kernel + bias) @ head + offset - y) ** 2)


def average(optimizer):
    """x from y and z, as NumPy arrays."""
    beta = float(getattr(optimizer, optimizer.average_field))
    pairs = zip(optimizer._trainable_variables, optimizer._slot_variables["fast"], strict=True)
    return [y + (1 - 1 / beta) * (z - y) for y, z in (arrays(pair) for pair in pairs)]


class Watch(keras.callbacks.Callback):
    """What the variables hold and what the model shows at the end of every epoch."""

    def __init__(self):
        super().__init__()
        self.held, self.shown, self.expected = [], [], []

    def on_epoch_end(self, epoch, logs=None):
        optimizer = self.model.optimizer
        self.held.append(arrays([*optimizer._trainable_variables]))
        self.expected.append(average(optimizer))
        self.shown.append(self.model.get_weights())


@pytest.mark.parametrize("make", [lambda: ScheduleFreeSGD(0.3), lambda: ScheduleFreeAdamW(0.1)])
def test_validation_checkpoints_and_the_end_of_fit_see_the_average(
    make, make_model, data, tmp_path
):
    x, y = data
    model, watch = make_model(make()), Watch()
    saved = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True)
    history = model.fit(
        x,
        y,
        batch_size=4,
        epochs=2,
        shuffle=False,
        validation_data=data,
        callbacks=[watch, saved],
        verbose=0,
    ).history
    other = make_model(make())
    other.optimizer.build(other.trainable_variables)
    for i in range(2):
        assert np.any(np.abs(watch.held[i][0] - watch.shown[i][0]) > 1e-3)
        for shown, expected in zip(watch.shown[i], watch.expected[i], strict=True):
            np.testing.assert_allclose(shown, expected, rtol=1e-5, atol=1e-6)
        assert history["val_loss"][i] == pytest.approx(loss_of(watch.shown[i], x, y), rel=1e-4)
        other.load_weights(tmp_path / f"{i + 1}.weights.h5")
        np.testing.assert_allclose(arrays(other.layers[0].kernel), watch.shown[i][0], rtol=1e-6)
    for weight, last in zip(arrays(model.trainable_variables), watch.shown[1], strict=True):
        np.testing.assert_allclose(weight, last, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        model.predict(x, verbose=0), ops.convert_to_numpy(model(x)), rtol=1e-5, atol=1e-6
    )


def test_two_fits_are_one(make_model, data, tmp_path):
    """Training goes on from where gradients are taken, also in a model that was saved between."""
    whole, parts = make_model(ScheduleFreeAdamW(0.1)), make_model(ScheduleFreeAdamW(0.1))
    whole.fit(*data, batch_size=8, epochs=4, verbose=0)
    parts.fit(*data, batch_size=8, epochs=2, verbose=0)
    parts.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for model in (parts, loaded):
        model.evaluate(*data, verbose=0)
        model.fit(*data, batch_size=8, epochs=2, verbose=0)
        for weight, expected in zip(model.get_weights(), whole.get_weights(), strict=True):
            np.testing.assert_allclose(weight, expected, rtol=1e-4, atol=1e-5)


def test_a_loop_of_ones_own_moves_the_weights_itself():
    optimizer = ScheduleFreeSGD(0.5, momentum=0.5)
    weight = keras.Variable(np.ones(2, "float32"))
    for g in (1.0, -2.0):
        optimizer.apply([ops.full((2,), g)], [weight])
    (expected,), held = average(optimizer), arrays(weight)
    optimizer.finalize_variable_values([weight])
    optimizer.finalize_variable_values([weight])
    np.testing.assert_allclose(arrays(weight), expected, rtol=1e-6)
    optimizer.to_gradient_point([weight])
    np.testing.assert_allclose(arrays(weight), held, rtol=1e-6)


def test_another_optimizer_on_the_same_model_leaves_its_weights_alone(make_model, data):
    model = make_model(ScheduleFreeSGD(0.3))
    model.fit(*data, verbose=0)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = model.get_weights()
    model.evaluate(*data, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
