"""The arguments of a task, checked before anything is trained."""

import inspect
import operator
from typing import Any, Literal, TypeAlias, get_args

import keras
import numpy as np

from keras_optim_lab.optimizers.fields import near_matches
from keras_optim_lab.tasks.splits import Arrays, Split, length

Shuffle: TypeAlias = Literal["every epoch", "once", "never"]


def check_builder(model: Any) -> None:
    if isinstance(model, keras.Model):
        raise TypeError(
            f"model={model!r} is a model: every trial needs a fresh one, so pass the function "
            "that builds it, model=build instead of model=build()."
        )
    if not callable(model):
        raise TypeError(
            f"model={model!r} must be a function without arguments that returns a keras.Model."
        )
    try:
        signature = inspect.signature(model)
    except ValueError:  # some callables written in C have no signature
        return
    try:
        signature.bind()
    except TypeError as error:
        raise TypeError(
            f"model={model!r} must be callable without arguments ({error}): "
            "wrap it, model=lambda: build(...)."
        ) from error


def check_model(model: Any) -> None:
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"model() returned {model!r}; it must return a keras.Model. "
            "Does the function end in `return model`?"
        )
    if model.compiled:
        raise ValueError(
            f"model() returned the compiled model {model.name!r}; it must return a fresh, "
            "uncompiled one at every call: leave compile to the task."
        )


def check_optimizer(optimizer: Any) -> None:
    if getattr(optimizer, "built", False):
        raise ValueError(
            f"optimizer={optimizer!r} already belongs to another model: pass a fresh one, "
            "for instance type(optimizer).from_config(optimizer.get_config())."
        )


def check_split(name: str, split: Any) -> Split:
    """Returns the split as NumPy arrays, or says what is wrong with it."""
    if not isinstance(split, tuple | list) or len(split) != 2:
        given = f"{len(split)} items" if isinstance(split, tuple | list) else type(split).__name__
        raise TypeError(f"{name} must be a tuple (x, y) of arrays; received {given}.")
    x, y = (_as_numpy(f"{name} {part}", given) for part, given in zip("xy", split, strict=True))
    lengths = {len(array) for array in keras.tree.flatten((x, y))}
    if len(lengths) > 1:
        raise ValueError(
            f"{name}=(x, y) must have equal first dimensions; received x of {_shapes(x)} and y of "
            f"{_shapes(y)}. Every sample needs its target."
        )
    if lengths == {0}:
        raise ValueError(f"{name}=(x, y) is empty; it must hold at least one sample.")
    return x, y


def _as_numpy(name: str, given: Any) -> Arrays:
    arrays = keras.tree.map_structure(np.asarray, given)
    leaves = keras.tree.flatten(arrays)
    if not leaves:
        raise ValueError(f"{name}={given!r} holds no array.")
    for array in leaves:
        if array.ndim == 0:
            raise TypeError(
                f"{name} must be an array or a dict or list of arrays, and a list of numbers is "
                f"read as many arrays: pass numpy.array({name[-1]})."
            )
        if array.dtype == object:
            raise TypeError(
                f"{name} has dtype object, which no backend trains on; convert it to numbers."
            )
        if np.issubdtype(array.dtype, np.inexact) and not np.isfinite(array).all():
            bad = np.count_nonzero(~np.isfinite(array))
            raise ValueError(
                f"{name} holds {bad} NaN or infinite of {array.size} numbers; "
                "all must be finite. Drop or fill them before building the task."
            )
    return arrays


def _shapes(arrays: Arrays) -> str:
    return " and ".join(f"shape {array.shape}" for array in keras.tree.flatten(arrays))


def check_same_structure(splits: dict[str, Split]) -> None:
    def kinds(split: Split) -> Any:
        return keras.tree.map_structure(lambda array: f"{array.ndim}-D", split)

    for name, split in splits.items():
        if kinds(split) != kinds(splits["train"]):
            raise ValueError(
                f"{name}=(x, y) is {kinds(split)}, and train is {kinds(splits['train'])}; "
                "all splits must have the same structure and numbers of dimensions."
            )


def check_loss(loss: Any) -> None:
    leaves = keras.tree.flatten(loss)
    if not leaves or loss is None:
        raise TypeError(f"loss={loss!r} must be a name, a keras.losses.Loss or a function.")
    for leaf in leaves:
        _check_known("loss", leaf, keras.losses)


def copies(metrics: Any) -> Any:
    """Copies what holds state, so that models do not add up their results in one metric."""

    def copy(metric: Any) -> Any:
        if not isinstance(metric, keras.metrics.Metric):
            return metric
        return type(metric).from_config(metric.get_config())

    copied = keras.tree.map_structure(copy, metrics)
    return list(copied) if isinstance(copied, tuple) else copied


def check_metrics(metrics: Any) -> None:
    if not isinstance(metrics, tuple | list | dict):
        raise TypeError(
            f"metrics={metrics!r} must be a list, a tuple or a dict: metrics=[{metrics!r}]."
        )
    for leaf in keras.tree.flatten(metrics):
        if leaf not in ("accuracy", "acc", "crossentropy", "ce"):  # compile knows these itself
            _check_known("metrics", leaf, keras.metrics)
    try:
        copies(metrics)
    except Exception as error:
        raise TypeError(
            f"metrics={metrics!r} must be metrics that from_config(get_config()) can copy, since "
            f"every model needs its own ({type(error).__name__}: {error})."
        ) from error


def _check_known(argument: str, given: Any, module: Any) -> None:
    """Checks that Keras knows the name, or that it is a function."""
    if isinstance(given, str):
        try:
            module.get(given)
        except ValueError as error:
            known = [name for name in dir(module) if name.islower() and not name.startswith("_")]
            raise ValueError(
                f"{argument}={given!r}: {module.__name__} knows no such name."
                f"{near_matches(given, known)} Pass one of its names, an instance or a function."
            ) from error
    elif inspect.isclass(given):
        raise TypeError(
            f"{argument}={given!r} is a class: pass an instance, {given.__name__}(...)."
        )
    elif not callable(given):
        raise TypeError(f"{argument}={given!r} must be a name, an instance or a function.")


def check_count(argument: str, value: Any) -> int:
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        raise TypeError(f"{argument}={value!r} must be a whole number, 1 or more.")
    if value < 1:
        raise ValueError(f"{argument}={value!r} must be 1 or more.")
    return operator.index(value)


def check_name(name: Any) -> None:
    if not isinstance(name, str) or not name:
        raise TypeError(f"name={name!r} must be a string of at least one character.")


def check_shuffle(shuffle: Any) -> None:
    accepted = get_args(Shuffle)
    if shuffle not in accepted:
        raise ValueError(
            f"shuffle={shuffle!r} must be {', '.join(map(repr, accepted[:-1]))} or "
            f"{accepted[-1]!r}.{near_matches(str(shuffle), accepted)}"
        )


def check_drop_remainder(drop: Any, batch_size: int, splits: dict[str, Split]) -> None:
    if not isinstance(drop, bool):
        raise TypeError(f"drop_remainder={drop!r} must be True or False.")
    for name, split in splits.items():
        if drop and length(split) < batch_size:
            raise ValueError(
                f"batch_size={batch_size} with drop_remainder=True leaves nothing of the "
                f"{length(split)} samples of {name}: lower batch_size or pass "
                "drop_remainder=False."
            )
