"""Data pipelines: splits that come in batches of their own, which Keras reads as they are."""

from typing import Any, TypeAlias

import keras

from keras_optim_lab.tasks.splits import Split, length, take

Pipeline: TypeAlias = Any  # a PyDataset, a tf.data.Dataset or a torch DataLoader

KINDS = "a keras.utils.PyDataset, a tf.data.Dataset or a torch DataLoader"
_FOREIGN = (("DatasetV2", "tensorflow."), ("DataLoader", "torch.utils.data"))
_ENDLESS = -1  # what tf.data.Dataset.cardinality() says of an infinite one; -2 is unknown


def is_pipeline(data: Any) -> bool:
    """Recognises the classes of the frameworks by name, since importing one takes seconds."""
    return isinstance(data, keras.utils.PyDataset) or any(
        parent.__name__ == name and str(parent.__module__).startswith(module)
        for parent in type(data).__mro__
        for name, module in _FOREIGN
    )


def batch_count(pipeline: Pipeline) -> int | None:
    """Returns the number of batches, or None if it is known only by reading them."""
    if isinstance(pipeline, keras.utils.PyDataset):
        return pipeline.num_batches
    if hasattr(pipeline, "cardinality"):
        batches = int(pipeline.cardinality())
        return batches if batches >= 0 else None
    try:
        return len(pipeline)
    except TypeError:  # a DataLoader over an IterableDataset
        return None


def size(split: Split | Pipeline) -> str:
    """Says how much a split holds, in samples or batches."""
    if not is_pipeline(split):
        return str(length(split))
    batches = batch_count(split)
    return "batches" if batches is None else f"{batches} batches"


def some_batch(split: Split | Pipeline, size: int = 1) -> Split:
    """Returns the first samples, or the first batch of a pipeline, as NumPy arrays."""

    def numpy(tensor: Any) -> Any:
        return keras.ops.convert_to_numpy(tensor) if hasattr(tensor, "__array__") else tensor

    batch = next(iter(split)) if is_pipeline(split) else take(split, slice(size))
    return keras.tree.map_structure(numpy, batch)


def check_pipeline(argument: str, pipeline: Pipeline) -> None:
    if _is_endless(pipeline):
        raise ValueError(
            f"{argument}={pipeline!r} never ends, and neither would an epoch: drop .repeat(), cut "
            "it with .take(batches), or give the PyDataset a __len__."
        )
    if batch_count(pipeline) == 0:
        raise ValueError(f"{argument}={pipeline!r} is empty; it must hold at least one batch.")


def _is_endless(pipeline: Pipeline) -> bool:
    if isinstance(pipeline, keras.utils.PyDataset):
        try:
            return pipeline.num_batches is None
        except NotImplementedError:
            return True
    return hasattr(pipeline, "cardinality") and int(pipeline.cardinality()) == _ENDLESS
