"""Tables that come with scikit-learn: breast cancer (Wisconsin, 1995), diabetes (Efron, 2004)."""

from functools import partial

import numpy as np

from keras_optim_lab.tasks.built_in.classification import classification, dense, split
from keras_optim_lab.tasks.built_in.declaration import BuiltInTask
from keras_optim_lab.tasks.built_in.extras import require
from keras_optim_lab.tasks.splits import Pair, stratified

BREAST_CANCER_SAMPLES = (341, 114, 114)
DIABETES_SAMPLES = (266, 88, 88)


def standardized(train: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Scales each column to mean 0 and deviation 1 over the training samples alone."""
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    return [((part - mean) / deviation).astype("float32") for part in (train, *others)]


def breast_cancer() -> tuple[Pair, Pair, Pair]:
    """Loads 30 measurements of each tumour, and 0 for malignant or 1 for benign."""
    datasets = require("sklearn.datasets", package="scikit-learn", extra="tune")
    x, y = datasets.load_breast_cancer(return_X_y=True)
    xs, ys = zip(*split(x, y.astype("int32"), BREAST_CANCER_SAMPLES), strict=True)
    train, validation, test = zip(standardized(*xs), ys, strict=True)
    return train, validation, test


def diabetes() -> tuple[Pair, Pair, Pair]:
    """Loads 10 measurements of each patient and the progression a year later, both standardized.

    A model that always predicts the training mean has a squared error of 1.
    """
    datasets = require("sklearn.datasets", package="scikit-learn", extra="tune")
    # The scaled table is scaled by all its rows: the test set would leak into training.
    x, y = datasets.load_diabetes(return_X_y=True, scaled=False)
    parts = stratified(np.zeros(len(y)), DIABETES_SAMPLES)
    xs = standardized(*(x[part] for part in parts))
    ys = standardized(*(y[part, np.newaxis] for part in parts))
    train, validation, test = zip(xs, ys, strict=True)
    return train, validation, test


DECLARED = (
    classification(
        name="breast-cancer-mlp",
        summary="malignant or benign from 30 measurements, dense layers 32-32-2",
        weights=2_114,
        samples=BREAST_CANCER_SAMPLES,
        data=breast_cancer,
        model=partial(dense, 30, 32, 32, 2),
    ),
    BuiltInTask(
        name="diabetes-mlp",
        summary="progression of diabetes from 10 measurements (regression), dense layers 32-32-1",
        weights=1_441,
        samples=DIABETES_SAMPLES,
        data=diabetes,
        model=partial(dense, 10, 32, 32, 1),
        loss="mean_squared_error",
        metrics=("mean_absolute_error",),
    ),
)
