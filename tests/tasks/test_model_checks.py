"""Data that a model cannot be trained with are refused before a study is stored; others are not."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_optim_lab as kol
from keras_optim_lab.tasks import Task

X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
CLASSES = np.array([0, 1, 2, 0, 1, 2])
ONE_HOT = np.eye(3, dtype="float32")[CLASSES]
SPARSE = "sparse_categorical_crossentropy"


def of(units, activation=None, **given):
    inputs = given or {"shape": (4,)}
    return lambda: keras.Sequential(
        [keras.Input(**inputs), layers.Dense(units, activation=activation)]
    )


class Subclass(keras.Model):
    def __init__(self, units=3):
        super().__init__()
        self.dense = layers.Dense(units)

    def call(self, x):
        return self.dense(x)


class OwnLoss(Subclass):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean(ops.square(y_pred))


class Stream(keras.utils.PyDataset):
    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return 1

    def __getitem__(self, i):
        return self.arrays


def two_outputs():
    x = keras.Input((4,))
    return keras.Model(x, {"a": layers.Dense(3, name="a")(x), "b": layers.Dense(1, name="b")(x)})


def embedding():
    return keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            layers.Embedding(5, 2),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


def two_inputs():
    x, z = keras.Input((3,), name="z"), keras.Input((4,), name="a")
    return keras.Model([x, z], layers.Dense(1)(layers.Concatenate()([x, z])))


def task_of(model, loss, y, validation=None, x=X, **changes):
    split = (x, y)
    return Task(
        **{
            "model": model,
            "train": split,
            "validation": split if validation is None else validation,
            "loss": loss,
            "epochs": 1,
            **changes,
        }
    )


def shifted(model=None, **changes):
    return task_of(model or of(3), SPARSE, CLASSES + 1, **changes)


MISFITS = {
    "a class too many": (
        shifted,
        r"y of `train` holds the class 3, and the model has 3 outputs, for the classes 0 … 2",
    ),
    "a class too many in validation alone": (
        lambda: task_of(of(3), SPARSE, CLASSES, (X, CLASSES + 1)),
        r"y of `validation` holds the class 3",
    ),
    "a class too many in the test alone": (
        lambda: task_of(of(3), SPARSE, CLASSES, test=(X, CLASSES + 7)),
        r"y of `test` holds the class 7",
    ),
    "a class below 0": (
        lambda: task_of(of(3), keras.losses.SparseCategoricalCrossentropy(), CLASSES - 1),
        r"holds the class -1, .*count classes from 0, or name .* ignore_class",
    ),
    "a class of a subclassed model": (
        lambda: shifted(Subclass),
        r"holds the class 3, and the model has 3 outputs",
    ),
    "a class in a pipeline": (
        lambda: shifted(train=Stream(X, CLASSES + 1), validation=(X, CLASSES)),
        r"y of `train` holds the class 3",
    ),
    "a class of one of two outputs": (
        lambda: task_of(two_outputs, {"a": SPARSE, "b": "mse"}, {"a": CLASSES + 1, "b": X[:, :1]}),
        r"y\['a'\] of `train` holds the class 3",
    ),
    "classes for one output": (
        lambda: task_of(of(1), SPARSE, CLASSES),
        r"holds the class 2, and the model has 1 outputs",
    ),
    "fractions of classes": (
        lambda: task_of(of(3), SPARSE, CLASSES / 2),
        r"holds numbers that are not whole",
    ),
    "one-hot rows in place of classes": (
        lambda: task_of(of(3), SPARSE, ONE_HOT),
        r"shape \(3,\), and the outputs.*take one class each.*there is categorical_crossentropy",
    ),
    "classes in place of one-hot rows": (
        lambda: task_of(of(3), "categorical_crossentropy", CLASSES),
        r"shape \(\), and the model has outputs of shape \(3,\).*sparse_categorical_crossentropy",
    ),
    "one-hot rows of another width": (
        lambda: task_of(of(2), keras.losses.CategoricalCrossentropy(), ONE_HOT),
        r"shape \(3,\), and the model has outputs of shape \(2,\)",
    ),
    "binary labels of 1 and 2": (
        lambda: task_of(of(1, "sigmoid"), "binary_crossentropy", CLASSES[:, None]),
        r"holds numbers from 0 to 2, and binary labels are 0 and 1",
    ),
    "binary labels for two outputs": (
        lambda: task_of(of(2, "sigmoid"), "bce", CLASSES % 2),
        r"shape \(\), and the model has outputs of shape \(2,\)",
    ),
    "numbers that would be repeated": (
        lambda: task_of(of(1), "mse", X[:, :3]),
        r"y of `train` has samples of shape \(3,\), and the model has outputs of shape \(1,\), wh",
    ),
    "outputs that would be repeated": (
        lambda: task_of(of(3), keras.losses.Huber(), X[:, :1]),
        r"shape \(1,\), and the model has outputs of shape \(3,\), which",
    ),
    "samples of another width": (
        lambda: task_of(of(3), SPARSE, CLASSES, (X[:, 1:], CLASSES)),
        r"x of `validation` has samples of shape \(3,\), and the model takes \(4,\)",
    ),
    "samples of another rank": (
        lambda: task_of(of(3), SPARSE, CLASSES, x=X[:, :, None] * np.ones(2, "float32")),
        r"x of `train` has samples of shape \(4, 2\), and the model takes \(4,\)",
    ),
    "two arrays for one input": (
        lambda: task_of(of(3), SPARSE, CLASSES, x=[X, X]),
        r"x of `train` is 2 arrays, and the model takes 1",
    ),
    "tokens without a vector": (
        lambda: task_of(embedding, SPARSE, CLASSES, x=np.full((6, 4), 5)),
        r"holds numbers from 5 to 5, and the Embedding '\w+' has vectors for 0 … 4",
    ),
    "a builder without return": (lambda: task_of(lambda: None, "mse", X), r"returned None"),
    "a builder for trials without return": (
        lambda: task_of(lambda trial: None, "mse", X),
        r"returned None",
    ),
    "classes of a model built from the trial": (
        lambda: shifted(lambda trial: of(trial.suggest_int("units", 3, 3))()),
        r"holds the class 3, and the model has 3 outputs",
    ),
}


def compiled():
    model = of(3)()
    model.compile("sgd", SPARSE)
    return model


MISFITS["a model that is compiled"] = (
    lambda: task_of(compiled, SPARSE, CLASSES),
    r"returned the compiled model",
)


@pytest.mark.parametrize("case", MISFITS)
def test_a_study_is_refused_before_anything_is_stored(case, tmp_path):
    make, message = MISFITS[case]
    with pytest.raises((TypeError, ValueError), match=f"(?s){message}"):
        kol.tune(make(), trials=1, storage=str(tmp_path / "s.journal"))
    assert not [*tmp_path.iterdir()]


FITS = {
    "columns of classes": lambda: task_of(of(3), SPARSE, CLASSES[:, None].astype("float32")),
    "classes that are ignored": lambda: task_of(
        of(2), keras.losses.SparseCategoricalCrossentropy(ignore_class=2), CLASSES
    ),
    "fewer classes than outputs": lambda: task_of(of(7), SPARSE, CLASSES),
    "soft labels": lambda: task_of(of(3), "categorical_crossentropy", ONE_HOT * 0.8 + 0.1),
    "probabilities": lambda: task_of(of(4, "sigmoid"), "bce", 1 / (1 + np.exp(X))),
    "numbers without an axis": lambda: task_of(of(1), "mse", X[:, 0]),
    "numbers with an axis more": lambda: task_of(of(3), "mae", X[:, :3, None]),
    "classes at every place": lambda: task_of(
        of(3, shape=(None, 4)), SPARSE, np.stack([CLASSES] * 5, 1), x=np.stack([X] * 5, 1)
    ),
    "a loss of one's own": lambda: task_of(of(1), lambda y, p: ops.mean(y - p), X[:, :3]),
    "a loss inside the model": lambda: task_of(OwnLoss, "mse", CLASSES),
    "two outputs and one loss": lambda: task_of(two_outputs, "mse", {"a": X[:, :3], "b": X[:, :1]}),
    "inputs by name": lambda: task_of(two_inputs, "mse", X[:, 0], x={"a": X, "z": X[:, :3]}),
    "an axis that the model adds": lambda: task_of(of(1, shape=(1,)), "mse", X[:, 0], x=X[:, 0]),
    "tokens": lambda: task_of(embedding, SPARSE, CLASSES, x=np.full((6, 4), 4)),
}


@pytest.mark.parametrize("case", FITS)
def test_what_a_model_can_be_trained_with_is_not_refused(case):
    task = FITS[case]()
    task.check_pipelines(task.build_model(0))


def measuring(*metrics, **changes):
    return task_of(
        of(3, "softmax"), "categorical_crossentropy", ONE_HOT, metrics=metrics, **changes
    )


@pytest.mark.parametrize(
    ("make", "objective", "message"),
    [
        (
            lambda: measuring(keras.metrics.F1Score(name="f1")),
            "val_f1",
            r"objective='val_f1' has several numbers, .*F1Score\(average=\"macro\"\)",
        ),
        (
            lambda: measuring(keras.metrics.F1Score(), train=Stream(X, ONE_HOT)),
            ("f1_score", "maximize"),
            r"objective='f1_score' has several numbers",
        ),
        (
            lambda: task_of(
                two_outputs,
                {"a": SPARSE, "b": "mse"},
                {"a": CLASSES, "b": X[:, :1]},
                metrics={"b": ["mae"]},
            ),
            "val_a_mae",
            r"not among what task 'task' measures\. Did you mean .*'val_b_mae'",
        ),
    ],
)
def test_an_objective_that_is_not_one_number_is_refused_before_anything_is_stored(
    make, objective, message, tmp_path
):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        kol.tune(make(), trials=1, objective=objective, storage=str(tmp_path / "s.journal"))
    assert not [*tmp_path.iterdir()]


def test_metrics_of_several_numbers_are_left_out_of_what_evaluate_returns():
    task = measuring(keras.metrics.F1Score(), "accuracy")
    assert task.evaluate(task.build("sgd", 0), "validation").keys() == {"loss", "accuracy"}
