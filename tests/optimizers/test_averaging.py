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


class At(keras.callbacks.Callback):
    """Does something to the model when a fit begins, or an epoch."""

    def __init__(self, act, epoch=None):
        super().__init__()
        self.act, self.epoch = act, epoch

    def on_train_begin(self, logs=None):
        if self.epoch is None:
            self.act(self.model)

    def on_epoch_begin(self, epoch, logs=None):
        if self.epoch == epoch:
            self.act(self.model)


def interrupt(model):
    raise KeyboardInterrupt


def backup(folder):
    return keras.callbacks.BackupAndRestore(folder / "backup", delete_checkpoint=False)


RESUMES = {
    "a backup": lambda model, folder: {"epochs": 4, "callbacks": [backup(folder)]},
    "weights loaded when training begins": lambda model, folder: {
        "callbacks": [At(lambda model: model.load_weights(folder / "state.weights.h5"))]
    },
    "weights loaded before": lambda model, folder: model.load_weights(folder / "state.weights.h5"),
}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    return tmp_path_factory.mktemp("stopped")


@pytest.fixture
def interrupted(make_model, data, stopped):
    """A folder with what is left of a fit that was interrupted in the middle."""
    if not (stopped / "state.weights.h5").exists():
        model = make_model(ScheduleFreeAdamW(0.3, 0.5))
        with pytest.raises(KeyboardInterrupt):
            model.fit(*data, epochs=4, callbacks=[backup(stopped), At(interrupt, 2)], **FIT)
        model.save_weights(stopped / "state.weights.h5")
        model.save(stopped / "model.keras")
    return stopped


@pytest.fixture
def whole(make_model, data, stopped):
    """The weights after the same fit, not interrupted."""
    if not (stopped / "whole.npz").exists():
        model = make_model(ScheduleFreeAdamW(0.3, 0.5))
        model.fit(*data, epochs=4, **FIT)
        np.savez(stopped / "whole.npz", *model.get_weights())
    return [*np.load(stopped / "whole.npz").values()]


FIT = {"batch_size": 4, "shuffle": False, "verbose": 0}


@pytest.mark.parametrize("built", ["by hand", "by fit"])
@pytest.mark.parametrize("way", RESUMES)
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(
    way, built, make_model, data, interrupted, whole
):
    model = make_model(ScheduleFreeAdamW(0.3, 0.5), build=built == "by fit")
    if built == "by hand":
        model.optimizer.build(model.trainable_variables)
    elif keras.backend.backend() == "jax":
        model._symbolic_build(data_batch=data)
    model.fit(*data, **FIT, **{"epochs": 2, **(RESUMES[way](model, interrupted) or {})})
    for weight, expected in zip(model.get_weights(), whole, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_a_backup_is_restored_in_a_model_whose_optimizer_nothing_has_built(
    make_model, data, tmp_path
):
    def fit(*callbacks):
        model = make_model(ScheduleFreeAdamW(0.3, 0.9), build=False)
        model.fit(*data, epochs=4, callbacks=callbacks, **FIT)
        return model.get_weights()

    with pytest.raises(KeyboardInterrupt):
        fit(backup(tmp_path), At(interrupt, 2))
    for weight, expected in zip(fit(backup(tmp_path)), fit(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_a_look_at_the_model_changes_no_bit_of_its_training(make_model, data, interrupted, whole):
    looked = make_model(ScheduleFreeAdamW(0.3, 0.5))
    looks = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: looks.model.get_weights()
    )
    looked.fit(*data, epochs=4, validation_data=data, callbacks=[looks], **FIT)
    loaded = keras.saving.load_model(interrupted / "model.keras")
    x, y = data
    for batch in [slice(0, 4), slice(4, 8)] * 2:
        loaded.train_on_batch(x[batch], y[batch])
        loaded.evaluate(*data, verbose=0)
    for model in (looked, loaded):
        for weight, expected in zip(model.get_weights(), whole, strict=True):
            np.testing.assert_array_equal(weight, expected)


REPLACES = {
    "set_weights": lambda model, weights, folder: model.set_weights(weights),
    "load_weights": lambda model, weights, folder: model.load_weights(folder / "w.weights.h5"),
    "set_state_tree": lambda model, weights, folder: model.set_state_tree(
        {"trainable_variables": {v.path: w for v, w in zip(model.weights, weights, strict=True)}}
    ),
}


@pytest.mark.filterwarnings("ignore:Skipping variable loading")
@pytest.mark.parametrize("way", REPLACES)
def test_weights_that_come_from_outside_in_a_fit_are_an_average(way, make_model, data, tmp_path):
    model, other = make_model(ScheduleFreeAdamW(0.1)), make_model()
    other.save_weights(tmp_path / "w.weights.h5")
    weights, seen = other.get_weights(), []

    def replace(model):
        REPLACES[way](model, weights, tmp_path)
        fast = arrays(model.optimizer._slot_variables["fast"])
        seen.append((arrays(model.trainable_variables), model.get_weights(), fast))

    model.fit(*data, epochs=2, callbacks=[At(replace, 1)], **FIT)
    (held, shown, fast), *_ = seen
    for y, x, z, weight in zip(held, shown, fast, weights, strict=True):
        np.testing.assert_allclose(x, weight, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(y, 0.1 * z + 0.9 * weight, rtol=1e-5, atol=1e-6)


def test_the_best_weights_are_restored_as_the_average_that_they_are(make_model, data):
    model, watch = make_model(ScheduleFreeSGD(20.0)), Watch()
    stop = keras.callbacks.EarlyStopping("loss", patience=2, restore_best_weights=True)
    losses = model.fit(*data, epochs=9, callbacks=[watch, stop], **FIT).history["loss"]
    assert len(losses) < 9
    for weight, best in zip(arrays(model.weights), watch.shown[np.argmin(losses)], strict=True):
        np.testing.assert_array_equal(weight, best)


def freeze(model):
    model.layers[0].trainable = False


def adapt(model):
    model.layers[0].enable_lora(2)  # its kernel is frozen, beside two new ones
    model.layers[0].bias.trainable = False


@pytest.mark.parametrize(
    ("ends", "change", "compiles"),
    [(True, freeze, True), (True, adapt, False), (False, freeze, False), (False, adapt, True)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_weight_that_is_frozen_stays_at_its_average(ends, change, compiles, make_model, data):
    model = make_model(ScheduleFreeAdamW(0.1, 0.5))
    if ends:
        model.fit(*data, epochs=2, **FIT)
    else:
        with pytest.raises(KeyboardInterrupt):
            model.fit(*data, epochs=2, callbacks=[At(interrupt, 1)], **FIT)
    before = model.get_weights()
    change(model)
    if compiles:
        model.compile(model.optimizer, "mse")
    model.fit(*data, epochs=2, validation_data=data, **FIT)
    layer, head = model.layers
    held = [layer._kernel if change is adapt else layer.kernel, layer.bias, head.kernel]
    for weight, expected in zip(arrays(held[:2]), before[:2], strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert np.all(arrays(head.kernel) != before[2])
    if change is freeze:
        layer.trainable = True
        model.fit(*data, epochs=1, **FIT)
        assert np.all(arrays(layer.kernel) != before[0])


@pytest.mark.once
def test_an_average_that_could_not_be_told_is_refused():
    with pytest.raises(ValueError, match="`momentum` must be > 0"):
        ScheduleFreeSGD(momentum=0.0)


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
