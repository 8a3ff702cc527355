"""Sample, class and loss weights give the numbers that Keras gives with them."""

import keras
import numpy as np
import pytest

RNG = np.random.default_rng(0)
X = RNG.normal(size=(10, 2)).astype("float32")
Y = RNG.normal(size=(10, 1)).astype("float32")
WEIGHTS = RNG.uniform(size=10).astype("float32")
CLASSES = np.arange(10) % 3
CLASS_WEIGHT = {0: 5.0, np.int64(2): 0.25}
TARGETS = {
    "integers": CLASSES,
    "a column of integers": CLASSES[:, None],
    "whole floats": CLASSES.astype("float32"),
    "one-hot": np.eye(3, dtype="float32")[CLASSES],
    "smoothed one-hot": 0.9 * np.eye(3, dtype="float32")[CLASSES] + np.float32(0.1 / 3),
}


def classifier():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])


def heads():
    x = keras.Input((2,))
    return keras.Model(x, {name: keras.layers.Dense(1, name=name)(x) for name in "ab"})


def fitted_by_keras(task, **options):
    """The weights after an epoch of Keras's own fit on the arrays of the task."""
    model = task.build("sgd", seed=0)
    x, y, *_ = task.train
    model.fit(x, y, batch_size=task.batch_size, shuffle=False, verbose=0, **options)
    return model.get_weights()


def fitted(task):
    model = task.build("sgd", seed=0)
    task.fit(model, seed=0, epochs=1)
    return model.get_weights()


def check_equal(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.fixture
def make_weighted(make_task):
    """A task of weighted samples in the order of the data, for a test to change."""
    split = (X, Y, WEIGHTS)
    kept = {"train": split, "validation": split, "test": split, "shuffle": "never"}
    return lambda **changes: make_task(**{**kept, **changes})


@pytest.fixture
def make_classifier(make_task):
    def make(y, **changes):
        indices = y.ndim == 1 or y.shape[1] == 1
        loss = keras.losses.SparseCategoricalCrossentropy if indices else None
        loss = (loss or keras.losses.CategoricalCrossentropy)(from_logits=True)
        kept = {"model": classifier, "loss": loss, "test": None, "shuffle": "never"}
        return make_task(train=(X, y), validation=(X, y), **{**kept, **changes})

    return make


@pytest.mark.parametrize(
    "weights", [WEIGHTS, WEIGHTS[:, None], np.arange(10), np.arange(10) > 3, WEIGHTS.astype(float)]
)
def test_fit_weighs_the_samples_as_keras_does(make_weighted, weights):
    task = make_weighted(train=(X, Y, weights))
    check_equal(fitted(task), fitted_by_keras(task, sample_weight=weights))
    assert not np.allclose(fitted(task)[0], fitted(make_weighted(train=(X, Y)))[0])


def test_a_sample_of_weight_0_counts_for_nothing(make_weighted):
    silent = np.where(np.arange(10) < 4, 0, WEIGHTS)
    other = np.where(np.arange(10)[:, None] < 4, 100, Y).astype("float32")
    check_equal(*(fitted(make_weighted(train=(X, y, silent))) for y in (Y, other)))


def test_validation_and_evaluation_weigh_their_samples(make_weighted):
    task = make_weighted(validation=(X, Y, 3 * np.ones(10)), test=(X, Y))
    model = task.build("sgd", seed=0)
    history = task.fit(model, seed=0).history
    plain = task.evaluate(model, "test")["loss"]
    assert task.evaluate(model, "validation")["loss"] == pytest.approx(3 * plain, rel=1e-5)
    assert history["val_loss"][-1] == pytest.approx(3 * plain, rel=1e-5)


def test_every_split_has_weights_or_not(make_weighted):
    task = make_weighted(validation=(X, Y), test=(X, Y, None))
    assert [len(split) for split in (task.train, task.validation, task.test)] == [3, 2, 2]


def test_weights_follow_their_samples(make_weighted):
    numbers = np.arange(10.0)
    split = (numbers, numbers, numbers)
    task = make_weighted(train=split, validation=split, test=None, shuffle="once")
    x, _, weights = task.training_data(seed=0)
    np.testing.assert_array_equal(x, weights)
    np.testing.assert_array_equal(task.arrays("train")[2], numbers)


def test_the_remainder_is_cut_from_the_weights_too(make_weighted):
    x, y, weights = make_weighted(drop_remainder=True).arrays("test")
    assert (len(x), len(y), len(weights)) == (8, 8, 8)


@pytest.mark.parametrize("weights", [WEIGHTS, {"a": WEIGHTS, "b": 1 - WEIGHTS}])
def test_several_outputs_share_one_array_of_weights_or_have_one_each(make_weighted, weights):
    split = (X, {"a": Y, "b": 2 * Y}, weights)
    task = make_weighted(model=heads, train=split, validation=split, test=split)
    assert list(task.arrays("train")[2]) == ["a", "b"]
    check_equal(fitted(task), fitted_by_keras(task, sample_weight=weights))


@pytest.mark.parametrize("target", TARGETS)
def test_class_weights_are_those_of_keras(make_classifier, target):
    task = make_classifier(TARGETS[target], class_weight=CLASS_WEIGHT)
    check_equal(fitted(task), fitted_by_keras(task, class_weight=CLASS_WEIGHT))


def test_a_class_that_is_not_named_weighs_1(make_classifier):
    task = make_classifier(CLASSES, class_weight=CLASS_WEIGHT)
    weights = task.arrays("train")[2]
    np.testing.assert_array_equal(weights, np.array([5, 1, 0.25], "float32")[CLASSES])
    assert weights.dtype == keras.config.floatx()


def test_class_weights_are_made_once(make_classifier):
    task = make_classifier(CLASSES, class_weight=CLASS_WEIGHT)
    assert task.arrays("train")[2] is task.arrays("train")[2]


def test_class_weights_leave_the_task_its_own_data_and_act_in_training_alone(make_classifier):
    task = make_classifier(CLASSES, class_weight=CLASS_WEIGHT)
    assert len(task.train) == 2
    assert task.arrays("validation")[2] is None
    model = task.build("sgd", seed=0)
    assert task.evaluate(model, "train") == pytest.approx(task.evaluate(model, "validation"))


def test_loss_weights_weigh_the_losses(make_weighted):
    split = (X, {"a": Y, "b": 2 * Y})
    task = make_weighted(
        model=heads,
        train=split,
        validation=split,
        test=split,
        loss={"a": "mse", "b": "mae"},
        loss_weights={"a": 2, "b": 0.5},
    )
    model = task.build("sgd", seed=0)
    predicted = model.predict(X, verbose=0)
    squares, distances = (predicted["a"] - Y) ** 2, np.abs(predicted["b"] - 2 * Y)
    expected = 2 * squares.mean() + 0.5 * distances.mean()
    assert task.evaluate(model, "test")["loss"] == pytest.approx(expected, rel=1e-5)


def test_one_loss_is_scaled_by_its_weight(make_weighted):
    plain, doubled = make_weighted(), make_weighted(loss_weights=2)
    one, two = (task.evaluate(task.build("sgd", 0), "test")["loss"] for task in (plain, doubled))
    assert two == pytest.approx(2 * one, rel=1e-5)


def test_weighted_metrics_weigh_the_samples_and_metrics_do_not(make_weighted):
    task = make_weighted(metrics=["mse"], weighted_metrics=["mse"])
    model = task.build("sgd", seed=0)
    errors = ((model.predict(X, verbose=0) - Y) ** 2)[:, 0]
    logs = task.evaluate(model, "test")
    assert logs["mse"] == pytest.approx(errors.mean(), rel=1e-5)
    assert logs["weighted_mse"] == pytest.approx(np.average(errors, weights=WEIGHTS), rel=1e-5)


def test_each_model_counts_in_its_own_copy_of_a_weighted_metric(make_weighted):
    metric = keras.metrics.MeanSquaredError()
    task = make_weighted(weighted_metrics=[metric])
    task.fit(task.build("sgd", seed=0), seed=0)
    assert metric.result() == 0
