"""Every bad argument is refused before anything is trained, with the change to make."""

import keras
import numpy as np
import pytest

ONES = np.ones((10, 2), "float32")
BAD = {
    "a model instead of its builder": (
        {"model": keras.Sequential([keras.layers.Dense(1)])},
        TypeError,
        r"model=build instead of model=build\(\)",
    ),
    "no function": ({"model": 3}, TypeError, r"model=3 must be a function"),
    "a builder with arguments": (
        {"model": lambda width: None},
        TypeError,
        r"callable without arguments \(missing a required argument: 'width'\).*lambda",
    ),
    "an array instead of a pair": ({"train": ONES}, TypeError, r"train must be.*\(x, y\).*ndarray"),
    "three items": ({"test": (ONES, ONES, ONES)}, TypeError, r"test must be.*received 3 items"),
    "no samples": ({"validation": (ONES[:0], ONES[:0])}, ValueError, r"validation=.* is empty"),
    "no array": ({"train": ({}, ONES)}, ValueError, r"train x=\{\} holds no array"),
    "different lengths": (
        {"train": (ONES, ONES[:9])},
        ValueError,
        r"train=.* equal first dimensions; received x of shape \(10, 2\) and y of shape \(9, 2\)",
    ),
    "different lengths within x": (
        {"train": ({"a": ONES, "b": ONES[:3]}, ONES)},
        ValueError,
        r"shape \(10, 2\) and shape \(3, 2\)",
    ),
    "lists of numbers": (
        {"train": ([1.0, 2.0], [1.0, 2.0])},
        TypeError,
        r"train x .*numpy\.array\(x\)",
    ),
    "objects": ({"train": (np.array([{}]), ONES[:1])}, TypeError, r"train x has dtype object"),
    "NaN in x": (
        {"validation": (ONES * np.nan, ONES)},
        ValueError,
        r"validation x holds 20 NaN or infinite of 20 numbers",
    ),
    "infinity in y": ({"test": (ONES, ONES * np.inf)}, ValueError, r"test y holds 20 NaN"),
    "splits of different structure": (
        {"test": ({"a": ONES}, ONES)},
        ValueError,
        r"test=\(x, y\) is \(\{'a': '2-D'\}, '2-D'\), and train is \('2-D', '2-D'\)",
    ),
    "splits of different rank": (
        {"validation": (ONES[:, :, None], ONES)},
        ValueError,
        r"validation=.*3-D.*numbers of dimensions",
    ),
    "no loss": ({"loss": None}, TypeError, r"loss=None must be a name"),
    "an unknown loss": (
        {"loss": "mean_square_error"},
        ValueError,
        r"loss='mean_square_error'.*Did you mean 'mean_squared_error'",
    ),
    "a loss class": ({"loss": keras.losses.Huber}, TypeError, r"pass an instance, Huber\(...\)"),
    "a loss of no use": ({"loss": 3}, TypeError, r"loss=3 must be a name, an instance"),
    "one metric without a list": ({"metrics": "mse"}, TypeError, r"metrics=\['mse'\]"),
    "an unknown metric": (
        {"metrics": ["mean_absolut_error"]},
        ValueError,
        r"metrics='mean_absolut_error'.*'mean_absolute_error'",
    ),
    "no samples in a batch": ({"batch_size": 0}, ValueError, r"batch_size=0 must be 1 or more"),
    "a fractional batch": ({"batch_size": 2.0}, TypeError, r"batch_size=2.0 .* whole number"),
    "a batch of True": ({"batch_size": True}, TypeError, r"batch_size=True .* whole number"),
    "no epochs": ({"epochs": -1}, ValueError, r"epochs=-1 must be 1 or more"),
    "no name": ({"name": ""}, TypeError, r"name='' must be a string"),
    "an unknown order": (
        {"shuffle": "each epoch"},
        ValueError,
        r"shuffle='each epoch' must be 'every epoch', 'once' or 'never'\. Did you mean 'every epo",
    ),
    "an order of True": ({"shuffle": True}, ValueError, r"shuffle=True must be 'every epoch'"),
    "a remainder of 1": ({"drop_remainder": 1}, TypeError, r"drop_remainder=1 must be True or F"),
    "no whole batch": (
        {"batch_size": 10, "drop_remainder": True},
        ValueError,
        r"batch_size=10 .* 9 samples of validation: lower batch_size",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_task_refuses(case, make_task):
    changes, error, message = BAD[case]
    with pytest.raises(error, match=message):
        make_task(**changes)


def test_a_metric_that_cannot_be_copied_is_refused(make_task):
    class Counter(keras.metrics.Metric):
        def __init__(self, limit):
            super().__init__()

    with pytest.raises(TypeError, match=r"from_config\(get_config\(\)\) can copy"):
        make_task(metrics=[Counter(3)])


def test_a_builder_that_forgets_to_return_is_named(make_task):
    with pytest.raises(
        TypeError, match=r"returned None; it must return a keras\.Model.*return mod"
    ):
        make_task(model=lambda: None).build("sgd", seed=0)


def test_a_builder_that_returns_the_same_model_twice_is_refused(make_task, arguments):
    model = arguments["model"]()
    task = make_task(model=lambda: model)
    task.build("sgd", seed=0)
    with pytest.raises(ValueError, match="must return a fresh, uncompiled one at every call"):
        task.build("sgd", seed=0)


def test_an_optimizer_of_another_model_is_refused(make_task):
    optimizer = keras.optimizers.SGD()
    task = make_task()
    task.fit(task.build(optimizer, seed=0), seed=0, epochs=1)
    with pytest.raises(ValueError, match=r"already belongs to another model: pass a fresh one"):
        task.build(optimizer, seed=0)
