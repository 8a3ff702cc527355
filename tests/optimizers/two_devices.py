"""`tf.distribute.MirroredStrategy` on two logical CPUs; `test_distribute.py` runs this file."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_optim_lab.optimizers import (
    Adam,
    GradientDescent,
    Lookahead,
    Nadam,
    SkipNonFinite,
    groups,
)

CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(CPU, [tf.config.LogicalDeviceConfiguration()] * 2)

SHARES = tf.constant([0.75, 0.25])  # of a gradient, on the first device and on the second


def is_vector(weight):
    return len(weight.shape) == 1


@pytest.fixture(scope="module")
def strategy():
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture
def mirrored_walk(strategy):
    """Moves fresh mirrored weights along gradients of which each device has a share."""

    def mirrored_walk(make, start, gradients):
        with strategy.scope():
            optimizer = make()
            weights = [keras.Variable(w) for w in start]
            optimizer.build(weights)

        def apply(step):
            share = SHARES[tf.distribute.get_replica_context().replica_id_in_sync_group]
            optimizer.apply([share * g for g in step], weights)

        path = []
        for step in gradients:
            strategy.run(apply, args=(step,))
            copies = [strategy.experimental_local_results(w.value) for w in weights]
            for first, second in copies:
                np.testing.assert_array_equal(first, second)
            path.append([first.numpy() for first, _ in copies])
        return path

    return mirrored_walk


@pytest.mark.shell
def test_a_loop_on_two_devices_equals_one_device(
    case, mirrored_walk, walk, start, gradients, assert_same_path
):
    def make():
        return case.make(weight_decay=0.1)

    path = mirrored_walk(make, start, gradients[:2])
    assert_same_path(path, walk(make(), start, gradients[:2]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Nadam(0.1, gradient_accumulation_steps=2),
        lambda: Nadam(0.1, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2),
        lambda: Nadam(0.1, loss_scale_factor=8.0),
        lambda: keras.optimizers.LossScaleOptimizer(Nadam(0.1), initial_scale=8.0),
        lambda: SkipNonFinite(groups({is_vector: Adam(0.2)}, default=Lookahead(Nadam(0.1)))),
    ],
    ids=["accumulation", "average", "loss-scale", "dynamic-loss-scale", "composed"],
)
def test_what_keras_does_around_a_step_works_on_two_devices(
    make, mirrored_walk, walk, start, gradients, assert_same_path
):
    path = mirrored_walk(make, start, gradients[:4])
    assert_same_path(path, walk(make(), start, gradients[:4]))


def test_each_device_clips_its_own_share(mirrored_walk, start, gradients):
    """As with Keras's own optimizers: clipping comes before the gradients are added up."""
    path = mirrored_walk(lambda: GradientDescent(1.0, clipvalue=0.1), start, gradients[:1])
    shares = [np.clip(share * gradients[0][0], -0.1, 0.1) for share in SHARES.numpy()]
    np.testing.assert_allclose(path[0][0], start[0] - sum(shares), rtol=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Nadam(0.1, weight_decay=0.1, use_ema=True, ema_overwrite_frequency=3),
        lambda: keras.optimizers.LossScaleOptimizer(Adam(0.1, amsgrad=True), initial_scale=8.0),
    ],
    ids=["nadam-average", "amsgrad-loss-scale"],
)
def test_fit_on_two_devices_equals_one_device(make, strategy, make_model, data):
    def fitted():
        model = make_model(make())
        model.fit(*data, batch_size=4, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    alone = fitted()
    with strategy.scope():
        mirrored = fitted()
    for weight, other in zip(mirrored, alone, strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-4, atol=1e-6)


def test_changing_a_number_reaches_both_devices_without_a_new_trace(
    strategy, make_model, data, monkeypatch
):
    calls = []
    rule = Adam.rule
    monkeypatch.setattr(Adam, "rule", lambda *args: calls.append(1) or rule(*args))
    with strategy.scope():
        model = make_model(Adam(0.1))
    model.fit(*data, batch_size=8, verbose=0)
    before, weights = len(calls), model.get_weights()
    model.optimizer.learning_rate = 0.0
    model.fit(*data, batch_size=8, verbose=0)
    assert 0 < before == len(calls)
    np.testing.assert_array_equal(model.get_weights()[0], weights[0])


def test_layers_that_are_frozen_between_fits_on_two_devices_train_as_on_one(
    strategy, make_model, data
):
    def fitted(model):
        for trainable in (True, False, True):
            model.layers[0].trainable = trainable
            model.fit(*data, batch_size=4, shuffle=False, verbose=0)
        return model.get_weights()

    alone = fitted(make_model(Lookahead(Adam(0.1))))
    with strategy.scope():
        model = make_model(Lookahead(Adam(0.1)))
    for weight, other in zip(fitted(model), alone, strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-4, atol=1e-6)
