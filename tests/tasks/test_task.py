"""A task keeps what it is given, checks it at once, and trains the same way from the same seed."""

import keras
import numpy as np
import pytest

from keras_optim_lab.tasks import Task


def weights(model):
    return np.concatenate([np.ravel(array) for array in model.get_weights()])


def test_only_model_train_validation_and_loss_are_required(arguments):
    required = {name: arguments[name] for name in ("model", "train", "validation", "loss")}
    task = Task(**required)
    assert (task.test, task.metrics, task.batch_size, task.epochs) == (None, (), 32, 20)
    assert (task.name, task.shuffle, task.drop_remainder) == ("task", "every epoch", False)
    assert (task.class_weight, task.loss_weights, task.weighted_metrics) == (None, None, ())


def test_a_task_cannot_be_changed(make_task):
    with pytest.raises(AttributeError):
        make_task().batch_size = 8


def test_its_repr_shows_sizes_and_no_arrays(make_task):
    expected = "<Task 'line': train=10, validation=9, test=8, batch_size=4, epochs=2>"
    assert repr(make_task(name="line")) == expected


def test_lists_of_arrays_and_dicts_of_arrays_are_splits(make_task):
    x = {"left": [[1.0], [2.0]], "right": np.ones((2, 3))}

    def unpack(split):
        return {name: np.asarray(column) for name, column in split.items()}

    x, y = unpack(x), [np.zeros(2), np.ones((2, 1))]
    task = make_task(train=(x, y), validation=(x, y), test=None, shuffle="once")
    (shuffled_x, shuffled_y) = task.training_data(seed=0)
    assert list(shuffled_x) == ["left", "right"]
    assert [array.shape for array in shuffled_y] == [(2,), (2, 1)]


def named(parts):
    return dict(zip("ab", parts, strict=True))


@pytest.mark.parametrize("container", [list, tuple, named])
def test_fit_trains_a_model_of_several_inputs_and_outputs(make_task, container):
    def model():
        inputs = [keras.Input((2,), name=name) for name in "ab"]
        return keras.Model(container(inputs), container([keras.layers.Dense(1)(x) for x in inputs]))

    split = tuple(container([np.ones((10, n), "float32")] * 2) for n in (2, 1))
    task = make_task(model=model, train=split, validation=split, test=split)
    built = task.build("sgd", seed=0)
    history = task.fit(built, seed=0).history
    assert task.evaluate(built, "test")["loss"] == pytest.approx(history["val_loss"][-1])


def test_the_same_seed_draws_the_same_weights_and_another_seed_draws_others(make_task):
    task = make_task()
    first, again, other = (weights(task.build("sgd", seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("shuffle", ["every epoch", "once", "never"])
def test_the_same_seed_trains_the_same_model(make_task, shuffle):
    task = make_task(shuffle=shuffle)

    def trained():
        model = task.build("sgd", seed=3)
        task.fit(model, seed=3)
        return weights(model)

    np.testing.assert_array_equal(trained(), trained())


def test_a_model_that_learns_its_input_shape_from_data_gets_its_weights_at_build(make_task):
    task = make_task(model=lambda: keras.Sequential([keras.layers.Dense(1)]))
    assert task.build("sgd", seed=0).count_params() == 3


def test_fit_trains_for_the_epochs_of_the_task_unless_told_otherwise(make_task):
    task = make_task()
    model = task.build("sgd", seed=0)
    assert len(task.fit(model, seed=0).history["val_loss"]) == 2
    assert len(task.fit(model, seed=0, epochs=1).history["val_loss"]) == 1
    with pytest.raises(ValueError, match="epochs=0"):
        task.fit(model, seed=0, epochs=0)


def test_fit_calls_the_callbacks(make_task):
    seen = []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    task = make_task()
    task.fit(task.build("sgd", seed=0), seed=0, callbacks=[callback])
    assert seen == [0, 1]


@pytest.mark.parametrize("shuffle", ["every epoch", "once", "never"])
def test_without_dropping_every_epoch_uses_every_sample_once(make_task, shuffle):
    task = make_task(shuffle=shuffle)
    assert all(sorted(task.order(seed=0, epoch=epoch)) == list(range(10)) for epoch in range(3))


def test_shuffle_once_draws_one_permutation_per_seed(make_task):
    task = make_task(shuffle="once")
    (first, _), (again, _), (other, _) = (task.training_data(seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert sorted(first[:, 0]) == sorted(task.train[0][:, 0])


def test_x_and_y_are_shuffled_together(make_task):
    numbers = np.arange(10.0)
    task = make_task(
        train=(numbers, 2 * numbers), validation=(numbers, numbers), test=None, shuffle="once"
    )
    x, y = task.training_data(seed=0)
    np.testing.assert_array_equal(y, 2 * x)


def samples_seen(task, epochs):
    """The first number of each sample, in the order in which they reach the model, by epoch."""
    seen = []

    @keras.saving.register_keras_serializable("tests")
    class Eye(keras.layers.Layer):
        def call(self, x, training=False):
            if training:
                seen.extend(keras.ops.convert_to_numpy(x)[:, 0].tolist())
            return x

    def model():
        return keras.Sequential([keras.Input((2,)), Eye(), keras.layers.Dense(1)])

    changed = Task(
        model=model,
        train=task.train,
        validation=task.validation,
        loss=task.loss,
        batch_size=task.batch_size,
        shuffle=task.shuffle,
        drop_remainder=task.drop_remainder,
    )
    built = changed.build("sgd", seed=0)
    built.run_eagerly = True
    seen.clear()
    changed.fit(built, seed=0, epochs=epochs)
    return np.split(np.array(seen), epochs)


@pytest.mark.parametrize("drop_remainder", [False, True])
@pytest.mark.parametrize("shuffle", ["every epoch", "once", "never"])
def test_fit_takes_the_samples_in_the_order_of_the_task(make_task, shuffle, drop_remainder):
    task = make_task(shuffle=shuffle, drop_remainder=drop_remainder)
    first, second = samples_seen(task, epochs=2)
    np.testing.assert_array_equal(first, task.training_data(seed=0, epoch=0)[0][:, 0])
    np.testing.assert_array_equal(second, task.training_data(seed=0, epoch=1)[0][:, 0])


def test_shuffle_once_repeats_its_order_and_every_epoch_draws_a_new_one(make_task):
    first, second = (make_task(shuffle="once").order(seed=0, epoch=epoch) for epoch in (0, 1))
    np.testing.assert_array_equal(first, second)
    first, second = (make_task().order(seed=0, epoch=epoch) for epoch in (0, 1))
    assert not np.array_equal(first, second)


def test_shuffle_never_keeps_the_order_of_the_data(make_task):
    np.testing.assert_array_equal(make_task(shuffle="never").order(seed=5), np.arange(10))


def test_the_remainder_is_dropped_after_permuting(make_task):
    task = make_task(shuffle="once", drop_remainder=True)
    x, y = task.training_data(seed=0)
    assert (len(x), len(y)) == (8, 8)
    order = np.random.RandomState(0).permutation(10)
    np.testing.assert_array_equal(x, task.train[0][order[:8]])


def test_with_a_new_order_every_epoch_other_samples_are_dropped(make_task):
    task = make_task(drop_remainder=True)
    assert len({frozenset(task.order(seed=0, epoch=epoch)) for epoch in range(20)}) > 1


def test_without_shuffling_the_last_samples_are_dropped(make_task):
    task = make_task(shuffle="never", drop_remainder=True)
    np.testing.assert_array_equal(task.training_data(seed=5)[0], task.train[0][:8])


@pytest.mark.parametrize(("drop", "samples"), [(False, 9), (True, 8)])
def test_evaluate_drops_the_remainder_where_training_does(make_task, drop, samples):
    task = make_task(drop_remainder=drop)
    model = task.build("sgd", seed=0)
    x, y = (part[:samples] for part in task.validation)
    expected = np.mean((model.predict(x, verbose=0) - y) ** 2)
    loss = task.evaluate(model, "validation")["loss"]
    assert isinstance(loss, float)
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("drop", "steps"), [(False, 3), (True, 2)])
def test_steps_counts_the_batches_of_an_epoch(make_task, drop, steps):
    task = make_task(drop_remainder=drop)
    assert task.steps == steps
    model = task.build("sgd", seed=0)
    task.fit(model, seed=0, epochs=1)
    assert int(model.optimizer.iterations) == steps


@pytest.mark.parametrize(("drop", "sizes"), [(False, (10, 9, 8)), (True, (10, 8, 8))])
def test_arrays_are_all_of_train_and_of_the_others_what_evaluate_takes(make_task, drop, sizes):
    task = make_task(drop_remainder=drop)
    for split, size in zip(("train", "validation", "test"), sizes, strict=True):
        x, y, sample_weight = task.arrays(split)
        np.testing.assert_array_equal(x, getattr(task, split)[0][:size])
        np.testing.assert_array_equal(y, getattr(task, split)[1][:size])
        assert sample_weight is None


def test_the_order_picks_the_training_data_from_the_arrays(make_task):
    task = make_task(drop_remainder=True)
    order = task.order(seed=3, epoch=1)
    for all_of_it, ordered in zip(task.arrays("train"), task.training_data(3, 1), strict=False):
        np.testing.assert_array_equal(all_of_it[order], ordered)


def test_arrays_names_the_splits_that_there_are(make_task):
    with pytest.raises(ValueError, match=r"split='test'.*train, validation.*Give the task test="):
        make_task(test=None).arrays("test")


def test_evaluate_names_the_splits_that_there_are(make_task):
    task = make_task(test=None)
    model = task.build("sgd", seed=0)
    with pytest.raises(ValueError, match=r"split='test'.*train, validation.*Give the task test="):
        task.evaluate(model, "test")


def test_each_model_counts_in_its_own_copy_of_a_metric(make_task):
    metric = keras.metrics.MeanSquaredError(name="mse")
    task = make_task(metrics=[metric, "mae"])
    first, second = task.build("sgd", seed=0), task.build("sgd", seed=1)
    task.fit(first, seed=0)
    task.fit(second, seed=1)
    assert metric.result() == 0
    results = task.evaluate(first, "test")
    assert set(results) == {"loss", "mse", "mae"}
    assert results["mse"] == pytest.approx(results["loss"], rel=1e-6)


def double(y_true, y_pred):
    return 2 * keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


@pytest.mark.parametrize("loss", ["mse", keras.losses.Huber(), double, [double], {"out": "mse"}])
def test_a_loss_is_a_name_an_instance_a_function_or_a_container_of_them(make_task, loss):
    assert make_task(loss=loss).loss is loss
