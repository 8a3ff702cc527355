"""Class weights: every training sample weighs what its class weighs."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_optim_lab.arguments import as_float, as_whole, is_number
from keras_optim_lab.tasks.pipelines import is_pipeline
from keras_optim_lab.tasks.splits import Split


def weighted_by_class(split: Split, class_weight: Mapping[int, float]) -> Split:
    """Adds the sample weights that `Model.fit` makes of `class_weight`.

    Args:
        split: (x, y), with y as `check_class_weight` accepts it.
        class_weight: the weights of some classes; every other class weighs 1.
    """
    x, y = split[:2]
    classes, members = np.unique(_labels(np.asarray(y)), return_inverse=True)
    weights = [class_weight.get(int(label), 1.0) for label in classes]
    return x, y, np.array(weights, keras.config.floatx())[members]


def check_class_weight(class_weight: Any, train: Any) -> None:
    """Checks the weights, and that the targets of the training split are classes."""
    if class_weight is None:
        return
    if not isinstance(class_weight, Mapping):
        raise TypeError(
            f"class_weight={class_weight!r} must be a dict of classes and their weights, "
            "such as {0: 1.0, 1: 5.0}."
        )
    for label, weight in class_weight.items():
        _check_entry(label, weight)
    if is_pipeline(train):
        raise ValueError(
            "class_weight is for arrays, and train is a data pipeline: "
            "let it yield (x, y, sample_weight)."
        )
    if len(train) == 3:
        raise ValueError(
            "class_weight and the sample_weight of train exclude each other: "
            "multiply the weights of the classes into sample_weight."
        )
    _check_classes(train[1])


def _check_entry(label: Any, weight: Any) -> None:
    if as_whole(label) is None:
        raise TypeError(f"class_weight names the class {label!r}; a class is a whole number.")
    if not is_number(weight):
        raise TypeError(f"class_weight[{label}]={weight!r} must be a number.")
    if not 0 <= as_float(weight) < np.inf:
        raise ValueError(f"class_weight[{label}]={weight!r} must be finite and 0 or more.")


def _check_classes(y: Any) -> None:
    if keras.tree.is_nested(y):
        raise ValueError(
            "class_weight is for models of one output, and the y of train is a "
            f"{type(y).__name__}: pass sample_weight, train=(x, y, sample_weight)."
        )
    if y.ndim > 2:
        raise ValueError(
            f"class_weight asks for one class per sample, y of shape (n,), (n, 1) or one-hot "
            f"(n, classes); received y of shape {y.shape}: pass sample_weight instead."
        )
    if _is_one_hot(y):
        proper, wanted = np.allclose(y.sum(axis=-1), 1, atol=1e-3), "rows that add up to 1"
    else:
        proper, wanted = np.array_equal(y, np.round(y)), "whole numbers"
    if not proper:
        raise ValueError(
            f"class_weight asks for classes, {wanted}, and the y of train, of shape {y.shape}, "
            "holds others: pass sample_weight instead."
        )


def _is_one_hot(y: np.ndarray) -> bool:
    return y.ndim == 2 and y.shape[1] > 1


def _labels(y: np.ndarray) -> np.ndarray:
    labels = np.argmax(y, axis=-1) if _is_one_hot(y) else y.reshape(len(y))
    return np.round(labels).astype("int32")
