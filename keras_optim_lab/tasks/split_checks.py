"""The splits of a task, checked before anything is trained."""

from typing import Any

import keras
import numpy as np

from keras_optim_lab.tasks.pipelines import KINDS, Pipeline, check_pipeline, is_pipeline
from keras_optim_lab.tasks.splits import Arrays, Split


def check_split(name: str, split: Any) -> Split | Pipeline:
    """Returns a pipeline as it is and arrays as NumPy arrays, or says what is wrong with it."""
    if is_pipeline(split):
        check_pipeline(name, split)
        return split
    if hasattr(split, "__next__"):
        raise TypeError(
            f"{name}={split!r} can be read only once, and every epoch of every trial reads it "
            f"again: pass arrays, {KINDS}."
        )
    if not isinstance(split, tuple | list) or len(split) not in (2, 3):
        given = f"{len(split)} items" if isinstance(split, tuple | list) else type(split).__name__
        raise TypeError(
            f"{name} must be a tuple (x, y) or (x, y, sample_weight) of arrays, {KINDS}; "
            f"received {given}."
        )
    x, y, weights = keras.utils.unpack_x_y_sample_weight(split)
    x, y = _as_numpy(f"{name} x", x), _as_numpy(f"{name} y", y)
    if weights is None:
        _check_lengths(name, x=x, y=y)
        return x, y
    weights = _as_numpy(f"{name} sample_weight", weights)
    _check_lengths(name, x=x, y=y, sample_weight=weights)
    return x, y, _sample_weight(f"{name} sample_weight", weights, y)


def check_arrays(name: str, split: Split | Pipeline) -> None:
    if is_pipeline(split):
        raise TypeError(
            f"{name}={split!r} is a data pipeline, which has its own batches and order: use fit "
            f"and evaluate, or give the task arrays, {name}=(x, y)."
        )


def check_split_name(name: Any, splits: dict[str, Any]) -> None:
    if name not in splits:
        raise ValueError(
            f"split={name!r}: this task has {', '.join(splits)}."
            + (" Give the task test=(x, y)." if name == "test" else "")
        )


def _as_numpy(name: str, given: Any) -> Arrays:
    arrays = keras.tree.map_structure(np.asarray, given)
    leaves = keras.tree.flatten(arrays)
    if not leaves:
        raise ValueError(f"{name}={given!r} holds no array.")
    for array in leaves:
        if array.ndim == 0:
            raise TypeError(
                f"{name} must be an array or a dict or list of arrays, and a list of numbers is "
                f"read as many arrays: pass numpy.array({name.split()[-1]})."
            )
        if array.dtype == object:
            raise TypeError(
                f"{name} has dtype object, which no backend trains on; convert it to numbers."
            )
        if array.dtype.kind in ("SUmM" if name.endswith(" y") else "mM"):
            raise TypeError(f"{name} has dtype {array.dtype}; convert it to numbers.")
        if np.issubdtype(array.dtype, np.inexact) and not np.isfinite(array).all():
            bad = np.count_nonzero(~np.isfinite(array))
            raise ValueError(
                f"{name} holds {bad} NaN or infinite of {array.size} numbers; "
                "all must be finite. Drop or fill them before building the task."
            )
    return arrays


def _shapes(arrays: Arrays) -> str:
    return " and ".join(f"shape {array.shape}" for array in keras.tree.flatten(arrays))


def _check_lengths(name: str, **parts: Arrays) -> None:
    lengths = {len(array) for array in keras.tree.flatten(parts)}
    if len(lengths) > 1:
        received = " and ".join(f"{part} of {_shapes(arrays)}" for part, arrays in parts.items())
        raise ValueError(
            f"{name}=({', '.join(parts)}) must have equal first dimensions; received {received}. "
            "Every sample needs one of each."
        )
    if lengths == {0}:
        raise ValueError(f"{name}=({', '.join(parts)}) is empty; it must hold at least one sample.")


def _sample_weight(name: str, weights: Arrays, y: Arrays) -> Arrays:
    """Returns weights in the structure of y, as `Model.fit` makes them of arrays."""
    for array in keras.tree.flatten(weights):
        _check_weights(name, array)
    if keras.tree.is_nested(y) and isinstance(weights, np.ndarray):
        _check_one_for_all_outputs(name, weights)
        return keras.tree.map_structure(lambda _: weights, y)
    given, wanted = (keras.tree.map_structure(lambda _: "array", part) for part in (weights, y))
    if given != wanted:
        raise ValueError(
            f"{name} is {given}, and y is {wanted}: pass one array, or one for each output in the "
            "structure of y."
        )
    return weights


def _check_weights(name: str, array: np.ndarray) -> None:
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}; it must hold real numbers.")
    negative = np.count_nonzero(array < 0)
    if negative:
        raise ValueError(
            f"{name} holds {negative} negative of {array.size} numbers; all must be 0 or more. "
            "A weight of 0 leaves its sample out."
        )


def _check_one_for_all_outputs(name: str, weights: np.ndarray) -> None:
    if weights.size != len(weights):
        raise ValueError(
            f"{name} of shape {weights.shape} is one array for several outputs, which must hold "
            "one number per sample; or pass one array for each output in the structure of y."
        )


def check_same_structure(splits: dict[str, Split]) -> None:
    """Compares x and y; each split has sample weights or not, as it likes."""

    def kinds(split: Split) -> Any:
        return keras.tree.map_structure(lambda array: f"{array.ndim}-D", split[:2])

    for name, split in splits.items():
        first = next(iter(splits))
        if kinds(split) != kinds(splits[first]):
            raise ValueError(
                f"{name}=(x, y) is {kinds(split)}, and {first} is {kinds(splits[first])}; "
                "all splits must have the same structure and numbers of dimensions."
            )
