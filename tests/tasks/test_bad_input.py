"""Every bad argument is refused before anything is trained, with the change to make."""

import keras
import numpy as np
import pytest

ONES = np.ones((10, 2), "float32")
INDEX = np.arange(10)


def keyword_only(*, trial):
    return trial


BAD = {
    "a model instead of its builder": (
        {"model": keras.Sequential([keras.layers.Dense(1)])},
        TypeError,
        r"model=build instead of model=build\(\)",
    ),
    "no function": ({"model": 3}, TypeError, r"model=3 must be a function"),
    "a builder of more than the trial": (
        {"model": lambda trial, width: None},
        TypeError,
        r"takes \(trial, width\); .* without arguments, or with the trial .* wrap it, model=lambda",
    ),
    "a builder that takes the trial by name": (
        {"model": keyword_only},
        TypeError,
        r"takes \(\*, trial\); .* model=lambda trial: build\(trial, \.\.\.\)",
    ),
    "an array instead of a pair": ({"train": ONES}, TypeError, r"train must be.*\(x, y\).*ndarray"),
    "four items": (
        {"test": (ONES, ONES, ONES, ONES)},
        TypeError,
        r"test must be a tuple \(x, y\) or \(x, y, sample_weight\).*received 4 items",
    ),
    "a generator": (
        {"train": (pair for pair in [])},
        TypeError,
        r"train=<generator .* read only once.*pass arrays, a keras\.utils\.PyDataset",
    ),
    "an iterator": ({"test": iter([])}, TypeError, r"test=<list_iterator .* read only once"),
    "weights of another length": (
        {"validation": (ONES, ONES, ONES[:9, 0])},
        ValueError,
        r"validation=\(x, y, sample_weight\) .* equal first dim.*sample_weight of shape \(9,\)",
    ),
    "negative weights": (
        {"train": (ONES, ONES, -ONES[:, 0])},
        ValueError,
        r"train sample_weight holds 10 negative of 10 numbers; .* 0 leaves its sample out",
    ),
    "NaN weights": (
        {"train": (ONES, ONES, np.nan * ONES[:, 0])},
        ValueError,
        r"train sample_weight holds 10 NaN or infinite",
    ),
    "weights of no numbers": (
        {"train": (ONES, ONES, np.array(["heavy"] * 10))},
        TypeError,
        r"train sample_weight has dtype <U5; it must hold real numbers",
    ),
    "a list of weights": (
        {"train": (ONES, ONES, [1.0] * 10)},
        TypeError,
        r"train sample_weight must be an array .*numpy\.array\(sample_weight\)",
    ),
    "weights for two outputs of one": (
        {"train": (ONES, ONES, {"a": ONES[:, 0], "b": ONES[:, 0]})},
        ValueError,
        r"train sample_weight is \{'a': 'array', 'b': 'array'\}, and y is array: pass one array",
    ),
    "weights of another structure": (
        {"train": (ONES, {"a": ONES, "b": ONES}, {"a": ONES[:, 0]})},
        ValueError,
        r"is \{'a': 'array'\}, and y is \{'a': 'array', 'b': 'array'\}",
    ),
    "several numbers per sample for several outputs": (
        {"train": (ONES, [ONES, ONES], ONES)},
        ValueError,
        r"sample_weight of shape \(10, 2\) is one array for several outputs",
    ),
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
    "names of classes": (
        {"train": (ONES, np.array(["cat"] * 10))},
        TypeError,
        r"train y has dtype <U3; convert it to numbers",
    ),
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
    "a weight for each of two losses of one": (
        {"loss_weights": [1.0, 2.0]},
        ValueError,
        r"loss_weights=\[1\.0, 2\.0\] must hold one number for each loss of loss='mean_squared",
    ),
    "a weight for a loss that is not there": (
        {"loss": {"a": "mse", "b": "mse"}, "loss_weights": {"a": 1.0, "c": 1.0}},
        ValueError,
        r"loss_weights=\{'a': 1\.0, 'c': 1\.0\} must hold one number for each loss.*same names",
    ),
    "a loss weight of no number": (
        {"loss_weights": {"a": "1"}},
        TypeError,
        r"loss_weights=\{'a': '1'\} must be a finite number, or a list or dict",
    ),
    "a loss weight of infinity": ({"loss_weights": np.inf}, TypeError, r"loss_weights=inf must be"),
    "a loss weight beyond floats": ({"loss_weights": 10**400}, TypeError, r"loss_weights=10000"),
    "a class weight beyond floats": (
        {"class_weight": {0: 10**400}},
        ValueError,
        r"class_weight\[0\]=10000.* must be finite",
    ),
    "epochs without end": (
        {"epochs": 10**12},
        ValueError,
        "≤ 2,147,483,647.*epochs=10000",
    ),
    "a name of half a character": ({"name": "\udcff"}, ValueError, r"name='\\udcff' holds a surro"),
    "a weighted metric without a list": (
        {"weighted_metrics": "mse"},
        TypeError,
        r"weighted_metrics=\['mse'\]",
    ),
    "an unknown weighted metric": (
        {"weighted_metrics": ["mean_absolut_error"]},
        ValueError,
        r"weighted_metrics='mean_absolut_error'.*'mean_absolute_error'",
    ),
    "one metric without a list": ({"metrics": "mse"}, TypeError, r"metrics=\['mse'\]"),
    "an unknown metric": (
        {"metrics": ["mean_absolut_error"]},
        ValueError,
        r"metrics='mean_absolut_error'.*'mean_absolute_error'",
    ),
    "no samples in a batch": (
        {"batch_size": 0},
        ValueError,
        "whole number ≥ 1.*batch_size=0",
    ),
    "a fractional batch": ({"batch_size": 2.0}, TypeError, r"whole number ≥ 1.*batch_size=2\.0"),
    "a batch of True": ({"batch_size": True}, TypeError, "whole number ≥ 1.*batch_size=True"),
    "no epochs": ({"epochs": -1}, ValueError, "`epochs` must be a whole number ≥ 1.*epochs=-1"),
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


BAD_CLASS_WEIGHTS = {
    "a list": ([1.0, 2.0], INDEX, TypeError, r"class_weight=\[1\.0, 2\.0\] must be a dict"),
    "a name": ({"cat": 1.0}, INDEX, TypeError, r"names the class 'cat'; a class is a whole number"),
    "a class of True": ({True: 1.0}, INDEX, TypeError, r"names the class True"),
    "no number": ({0: "1"}, INDEX, TypeError, r"class_weight\[0\]='1' must be a number"),
    "a negative weight": ({0: -1.0}, INDEX, ValueError, r"class_weight\[0\]=-1\.0 must be finite"),
    "NaN": ({1: np.nan}, INDEX, ValueError, r"class_weight\[1\]=nan must be finite and 0 or more"),
    "targets of two outputs": (
        {0: 2.0},
        [INDEX, INDEX],
        ValueError,
        r"class_weight is for models of one output, and the y of train is a list: pass sample_weig",
    ),
    "targets between the classes": (
        {0: 2.0},
        INDEX / 3,
        ValueError,
        r"class_weight asks for classes, whole numbers, .* shape \(10,\), holds others",
    ),
    "rows that are not one-hot": (
        {0: 2.0},
        ONES,
        ValueError,
        r"rows that add up to 1, and the y of train, of shape \(10, 2\)",
    ),
    "a class for each pixel": (
        {0: 2.0},
        np.zeros((10, 4, 4), int),
        ValueError,
        r"one class per sample, .* received y of shape \(10, 4, 4\): pass sample_weight instead",
    ),
}


@pytest.mark.parametrize("case", BAD_CLASS_WEIGHTS)
def test_class_weights_are_refused(case, make_task):
    class_weight, y, error, message = BAD_CLASS_WEIGHTS[case]
    split = (ONES, y)
    with pytest.raises(error, match=message):
        make_task(train=split, validation=split, test=None, class_weight=class_weight)


def test_weights_of_classes_and_of_samples_exclude_each_other(make_task):
    with pytest.raises(ValueError, match=r"exclude each other: multiply"):
        make_task(train=(ONES, ONES[:, :1], ONES[:, 0]), class_weight={1: 2.0})


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


@pytest.mark.parametrize("callbacks", [[3], [print, None], keras.callbacks.History()])
def test_callbacks_that_are_not_keras_are_refused_before_training(make_task, callbacks):
    task = make_task()
    with pytest.raises(TypeError, match=r"callbacks=.* must be a list"):
        task.fit(task.build("sgd", seed=0), seed=0, callbacks=callbacks)


def test_a_builder_of_a_frozen_model_is_refused(make_task, arguments):
    def build():
        model = arguments["model"]()
        model.trainable = False
        return model

    with pytest.raises(ValueError, match="no trainable weights: all its layers are frozen"):
        make_task(model=build).build("sgd", seed=0)


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
