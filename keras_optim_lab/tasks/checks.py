"""The arguments of a task, checked before anything is trained."""

import inspect
import math
from typing import Any, Literal, TypeAlias, get_args

import keras

from keras_optim_lab.arguments import as_float, is_number, near_matches
from keras_optim_lab.tasks.splits import Split, length

Shuffle: TypeAlias = Literal["every epoch", "once", "never"]


def check_builder(model: Any) -> None:
    if isinstance(model, keras.Model):
        raise TypeError(
            f"model={model!r} is a model: every trial needs a fresh one, so pass the function "
            "that builds it, model=build instead of model=build()."
        )
    if not callable(model):
        raise TypeError(
            f"model={model!r} must be a function without arguments, or of the trial alone, that "
            "returns a keras.Model."
        )
    if not accepts(model) and not takes_trial(model):
        raise TypeError(
            f"model={model!r} takes {inspect.signature(model)}; it must be callable without "
            "arguments, or with the trial as its only one: wrap it, model=lambda: build(...) or "
            "model=lambda trial: build(trial, ...)."
        )


def takes_trial(model: Any) -> bool:
    """Tells whether a builder requires one positional argument, which is the trial."""
    return not accepts(model) and accepts(model, "trial")


def accepts(function: Any, *arguments: Any) -> bool:
    """Tells whether a function can be called with these arguments, as far as can be seen."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # some callables written in C have no signature
        return True
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def check_trial(model: Any, trial: Any) -> None:
    if trial is None and takes_trial(model):
        raise TypeError(
            f"trial=None, and model={model!r} builds its model from the trial: "
            "pass trial=..., such as the optuna.Trial of a study."
        )


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


def check_loss(loss: Any) -> None:
    leaves = keras.tree.flatten(loss)
    if not leaves or loss is None:
        raise TypeError(f"loss={loss!r} must be a name, a keras.losses.Loss or a function.")
    for leaf in leaves:
        _check_known("loss", leaf, keras.losses)


def check_loss_weights(loss_weights: Any, loss: Any) -> Any:
    """Returns the weights as floats, one for each loss."""
    if loss_weights is None:
        return None
    leaves = keras.tree.flatten(loss_weights)
    for leaf in leaves:
        if not is_number(leaf) or not math.isfinite(as_float(leaf)):
            raise TypeError(
                f"loss_weights={loss_weights!r} must be a finite number, or a list or dict of "
                "them in the structure of loss."
            )
    named = isinstance(loss_weights, dict) and isinstance(loss, dict)
    if (named and set(loss_weights) != set(loss)) or len(leaves) != len(keras.tree.flatten(loss)):
        raise ValueError(
            f"loss_weights={loss_weights!r} must hold one number for each loss of loss={loss!r}; "
            "give both as lists of equal length or as dicts of the same names."
        )
    return keras.tree.map_structure(float, loss_weights)


def copies(metrics: Any) -> Any:
    """Copies what holds state, so that models do not add up their results in one metric."""

    def copy(metric: Any) -> Any:
        if not isinstance(metric, keras.metrics.Metric):
            return metric
        return type(metric).from_config(metric.get_config())

    copied = keras.tree.map_structure(copy, metrics)
    return list(copied) if isinstance(copied, tuple) else copied


def check_metrics(argument: str, metrics: Any) -> None:
    if not isinstance(metrics, tuple | list | dict):
        raise TypeError(
            f"{argument}={metrics!r} must be a list, a tuple or a dict: {argument}=[{metrics!r}]."
        )
    for leaf in keras.tree.flatten(metrics):
        if leaf not in ("accuracy", "acc", "crossentropy", "ce"):  # compile knows these itself
            _check_known(argument, leaf, keras.metrics)
    try:
        copies(metrics)
    except Exception as error:
        raise TypeError(
            f"{argument}={metrics!r} must be metrics that from_config(get_config()) can copy, "
            f"since every model needs its own ({type(error).__name__}: {error})."
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


def check_callbacks(callbacks: Any) -> None:
    """Checks what is to be called by `fit`."""
    listed = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
    for callback in listed:
        if not isinstance(callback, keras.callbacks.Callback):
            raise TypeError(
                f"callbacks={callbacks!r} must be a list of instances of keras.callbacks.Callback."
            )
    if listed is not callbacks:
        raise TypeError(f"callbacks={callbacks!r} must be a list: callbacks=[...].")


def check_name(name: Any) -> None:
    if not isinstance(name, str) or not name:
        raise TypeError(f"name={name!r} must be a string of at least one character.")
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        raise ValueError(
            f"name={name!r} holds a surrogate, half of a character, which no file can."
        )


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
