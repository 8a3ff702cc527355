"""A task's data against its model, before anything is trained.

What backends make of a class that the model has no output for differs: a loss of 0 on JAX, NaN on
TensorFlow, an IndexError on PyTorch. Only what is certainly wrong is refused: of a loss that is not
one of Keras's own, nothing is known.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_optim_lab.tasks.splits import Split

Shape = tuple[int | None, ...]


class Fault(NamedTuple):
    """What is wrong with an array of a split, and what to change."""

    received: str
    change: str


def check_fits(
    owner: str, model: keras.Model, splits: Mapping[str, Split], loss: Any, known: set[str]
) -> None:
    """Compares splits of arrays with a model, and notes in `known` those that fit such a model."""
    inputs = [tuple(each.shape) for each in getattr(model, "inputs", None) or []]
    weights = [tuple(each.shape) for each in model.weights]
    taken: str | None = None
    for name, split in splits.items():
        key = repr((name, inputs, weights))
        if key in known:
            continue
        x, y, _ = keras.utils.unpack_x_y_sample_weight(split)
        check_inputs(owner, name, model, x)
        if compares_outputs(model) and y is not None:
            shapes = output_shapes(owner, name, model, x, taken)
            if shapes is not None:
                taken = name
                check_targets(owner, name, shapes, loss, y)
        known.add(key)


def check_inputs(owner: str, split: str, model: keras.Model, x: Any) -> None:
    """Refuses data of other shapes than a model declares for its inputs, and unknown tokens."""
    declared = list(getattr(model, "inputs", None) or [])
    given = keras.tree.flatten(x)
    if not declared:
        return
    if isinstance(x, dict):  # Keras finds inputs by name
        pairs = [(each, x[each.name]) for each in declared if each.name in x]
    elif len(given) == len(declared):
        pairs = list(zip(declared, given, strict=True))
    else:
        raise ValueError(
            f"{owner}: x of `{split}` is {len(given)} arrays, and the model takes "
            f"{len(declared)}. Give it one array for each Input."
        )
    embeddings = [each for each in model.layers if type(each) is keras.layers.Embedding]
    for wanted, array in pairs:
        if not isinstance(array, np.ndarray):
            continue  # a structure of its own, or ragged
        if not _agree(_with_rank(array.shape, len(wanted.shape))[1:], wanted.shape[1:]):
            raise ValueError(
                f"{owner}: x of `{split}` has samples of shape {array.shape[1:]}, and the model "
                f"takes {tuple(wanted.shape[1:])}. Change the data, or the model's Input."
            )
        for layer in embeddings:
            if layer.input is wanted:
                _check_tokens(f"{owner}: x of `{split}`", array, layer)


def _with_rank(shape: Shape, rank: int) -> Shape:
    """The shape that Keras makes of an array that has an axis of one too few or too many."""
    if len(shape) == rank - 1:
        return (*shape, 1)
    return shape[:-1] if len(shape) == rank + 1 and shape[-1] == 1 else shape


def _check_tokens(owner: str, array: np.ndarray, layer: keras.layers.Embedding) -> None:
    if np.min(array) < 0 or np.max(array) >= layer.input_dim:
        raise ValueError(
            f"{owner} holds numbers from {np.min(array)} to {np.max(array)}, and the Embedding "
            f"{layer.name!r} has vectors for 0 … {layer.input_dim - 1}. Give it a larger "
            "input_dim, or count from 0."
        )


def output_shapes(owner: str, split: str, model: keras.Model, x: Any, taken: str | None) -> Any:
    """The shapes of the outputs in their structure, or None where only a training will tell.

    Args:
        taken: a split whose data the model takes, if there is one.

    Raises:
        TypeError: the model returns nothing.
        ValueError: it does not take this split.
    """
    outputs = getattr(model, "outputs", None)
    if outputs:
        names = getattr(model, "output_names", None) or []
        shapes = [tuple(each.shape) for each in outputs]
        return dict(zip(names, shapes, strict=True)) if len(names) == len(shapes) else shapes
    try:
        found = model.compute_output_spec(keras.tree.map_structure(_symbolic, x))
    except Exception as error:
        if taken is None:
            return None  # it may have no symbolic form
        shapes = [array.shape[1:] for array in keras.tree.flatten(x)]
        raise ValueError(
            f"{owner}: x of `{split}` has samples of shape {', '.join(map(str, shapes))}, and the "
            f"model, which takes those of `{taken}`, does not take them. Change the data."
        ) from error
    if found is None:
        raise TypeError(
            f"{owner}: the model {model.name!r} returned None for x of `{split}`. Does its `call` "
            "end in `return outputs`?"
        )
    return keras.tree.map_structure(lambda each: each.shape, found)


def _symbolic(array: np.ndarray) -> keras.KerasTensor:
    floating = np.issubdtype(array.dtype, np.floating)
    dtype = keras.config.floatx() if floating else keras.backend.standardize_dtype(array.dtype)
    return keras.KerasTensor((2, *array.shape[1:]), dtype)


def compares_outputs(model: keras.Model) -> bool:
    """Whether the loss of a model is what Keras makes of its targets and outputs."""
    return all(
        getattr(type(model), name).__module__.startswith(("keras.", "keras_optim_lab."))
        for name in ("compute_loss", "train_step", "test_step")
    )


def check_targets(owner: str, split: str, shapes: Any, loss: Any, y: Any) -> None:
    """Refuses targets that a loss of Keras's cannot compare with the outputs of these shapes."""
    for name, shape, own_loss, array in _outputs(shapes, loss, y):
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
            continue
        own_loss = keras.losses.get(own_loss) if isinstance(own_loss, str) else own_loss
        find = _FAULTS.get(_built_in(own_loss))
        fault = find(own_loss, shape, array) if find else None
        if fault is not None:
            part = "y" if name is None else f"y[{name!r}]"
            loss_name = getattr(own_loss, "__name__", type(own_loss).__name__)
            raise ValueError(
                f"{owner}: {part} of `{split}` {fault.received} (loss {loss_name}). {fault.change}"
            )


def _outputs(shapes: Any, loss: Any, y: Any) -> list[tuple[str | int | None, Shape, Any, Any]]:
    """Name, shape, loss and targets of every output, as far as they can be told apart."""
    by_name = shapes if isinstance(shapes, dict) else {}
    flat = list(by_name.values()) if by_name else _flat_shapes(shapes)
    losses, arrays = keras.tree.flatten(loss), keras.tree.flatten(y)
    if len(flat) == len(losses) == len(arrays) == 1:
        return [(None, flat[0], losses[0], arrays[0])]
    if len(flat) < 2:
        return []
    if isinstance(y, dict) and by_name and not isinstance(loss, list | tuple):
        of = loss if isinstance(loss, dict) else dict.fromkeys(by_name, loss)
        return [
            (name, shape, of[name], y[name])
            for name, shape in by_name.items()
            if of.get(name) is not None and name in y
        ]
    if isinstance(y, list | tuple) and not isinstance(loss, dict) and len(arrays) == len(flat):
        each = losses if isinstance(loss, list | tuple) else [loss] * len(flat)
        if len(each) == len(flat) == len(y):
            return [(i, *parts) for i, parts in enumerate(zip(flat, each, arrays, strict=True))]
    return []


def _flat_shapes(shapes: Any) -> list[Shape]:
    if isinstance(shapes, tuple) and all(size is None or isinstance(size, int) for size in shapes):
        return [shapes]
    return [shape for each in shapes for shape in _flat_shapes(each)]


def _built_in(loss: Any) -> str:
    """The name of Keras's own loss, whose classes and functions have it in common; or none."""
    kind = loss if hasattr(loss, "__name__") else type(loss)
    if not str(getattr(kind, "__module__", "")).startswith("keras."):
        return ""
    return str(kind.__name__).replace("_", "").lower()


def _classes_fault(loss: Any, shape: Shape, y: np.ndarray) -> Fault | None:
    axis = getattr(loss, "axis", -1)
    places = list(shape[1:])
    if axis not in (-1, len(shape) - 1):
        return None
    count = places.pop()
    if not _agree(_without_ones(y.shape[1:]), _without_ones(places)):
        return Fault(
            f"has samples of shape {y.shape[1:]}, and the outputs, of shape {shape[1:]}, take one "
            f"class each, samples of shape {(*places,)}",
            "Pass whole numbers; for one-hot rows there is categorical_crossentropy.",
        )
    if y.dtype.kind == "f" and not np.array_equal(y, np.round(y)):
        return Fault("holds numbers that are not whole", "Pass the numbers of classes.")
    ignored = getattr(loss, "ignore_class", None)
    classes = y if ignored is None else y[y != ignored]
    if count is None or not classes.size:
        return None
    for found in (int(np.min(classes)), int(np.max(classes))):
        if not 0 <= found < count:
            return Fault(
                f"holds the class {found}, and the model has {count} outputs, for the classes "
                f"0 … {count - 1}",
                "Give the last layer one output for each class, count classes from 0, or name what "
                "is no class to the loss, ignore_class=….",
            )
    return None


def _shape_fault(loss: Any, shape: Shape, y: np.ndarray, why: str, change: str) -> Fault | None:
    if _agree(_without_ones(y.shape[1:]), _without_ones(shape[1:])):
        return None
    outputs = f"the model has outputs of shape {shape[1:]}"
    return Fault(f"has samples of shape {y.shape[1:]}, and {outputs}{why}", change)


_one_hot_fault = partial(
    _shape_fault,
    why="",
    change="Pass one-hot rows as wide as the last layer; for whole numbers there is "
    "sparse_categorical_crossentropy.",
)
_numbers_fault = partial(
    _shape_fault,
    why=", which would be compared with each other all the same where one of them is repeated",
    change="Give the last layer as many outputs as y has numbers.",
)


def _binary_fault(loss: Any, shape: Shape, y: np.ndarray) -> Fault | None:
    fault = _numbers_fault(loss, shape, y)
    if fault is None and (np.min(y) < 0 or np.max(y) > 1):
        fault = Fault(
            f"holds numbers from {np.min(y)} to {np.max(y)}, and binary labels are 0 and 1",
            "Change the labels; for several classes there is sparse_categorical_crossentropy.",
        )
    return fault


_FAULTS: dict[str, Callable[[Any, Shape, np.ndarray], Fault | None]] = {
    "sparsecategoricalcrossentropy": _classes_fault,
    "categoricalcrossentropy": _one_hot_fault,
    "categoricalfocalcrossentropy": _one_hot_fault,
    "binarycrossentropy": _binary_fault,
    "binaryfocalcrossentropy": _binary_fault,
    **dict.fromkeys(
        (
            *("meansquarederror", "meanabsoluteerror", "meanabsolutepercentageerror"),
            *("meansquaredlogarithmicerror", "huber", "logcosh", "poisson", "kldivergence"),
            *("cosinesimilarity", "hinge", "squaredhinge", "categoricalhinge"),
        ),
        _numbers_fault,
    ),
}


def _without_ones(shape: Any) -> Shape:
    """The shape without the axes of one number at its end, which losses add and take away."""
    sizes = list(shape)
    while sizes and sizes[-1] == 1:
        sizes.pop()
    return tuple(sizes)


def _agree(one: Shape, other: Shape) -> bool:
    return len(one) == len(other) and all(
        None in (a, b) or a == b for a, b in zip(one, other, strict=True)
    )
