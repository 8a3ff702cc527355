"""A data pipeline goes to Keras as it is, whichever framework it comes from."""

import keras
import numpy as np
import pytest

RNG = np.random.default_rng(0)
X = RNG.normal(size=(10, 2)).astype("float32")
Y = RNG.normal(size=(10, 1)).astype("float32")
WEIGHTS = RNG.uniform(size=10).astype("float32")
BATCH = 4


class Reader(keras.utils.PyDataset):
    """Batches of arrays, in their order."""

    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return -(-len(self.arrays[0]) // BATCH)

    def __getitem__(self, step):
        return tuple(array[step * BATCH : (step + 1) * BATCH] for array in self.arrays)


def dataset(*arrays):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(arrays).batch(BATCH)


def loader(*arrays):
    import torch

    tensors = torch.utils.data.TensorDataset(*map(torch.as_tensor, arrays))
    return torch.utils.data.DataLoader(tensors, batch_size=BATCH)


def stream(*arrays):
    """A DataLoader that does not know its length."""
    import torch

    class Rows(torch.utils.data.IterableDataset):
        def __iter__(self):
            return zip(*map(torch.as_tensor, arrays), strict=True)

    return torch.utils.data.DataLoader(Rows(), batch_size=BATCH)


PIPELINES = [Reader, dataset, loader, stream]


@pytest.fixture(params=PIPELINES)
def pipeline(request):
    return request.param


@pytest.fixture
def make_streamed(make_task):
    def make(pipeline, *arrays, **changes):
        split = pipeline(*(arrays or (X, Y)))
        return make_task(**{"train": split, "validation": split, "test": split, **changes})

    return make


def trained(task):
    model = task.build("sgd", seed=0)
    logs = task.fit(model, seed=0).history
    return model, logs, task.evaluate(model, "test")


@pytest.mark.parametrize("arrays", [(X, Y), (X, Y, WEIGHTS)])
def test_a_pipeline_trains_as_its_arrays_in_their_order_do(
    make_streamed, make_task, pipeline, arrays
):
    stored = make_task(train=arrays, validation=arrays, test=arrays, shuffle="never")
    expected, expected_logs, expected_test = trained(stored)
    model, logs, test = trained(make_streamed(pipeline, *arrays))
    for one, other in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    assert logs["val_loss"] == pytest.approx(expected_logs["val_loss"], rel=1e-5)
    assert test == pytest.approx(expected_test, rel=1e-5)


def test_a_task_keeps_its_pipelines(make_task, pipeline):
    split = pipeline(X, Y)
    assert make_task(train=split).train is split


def test_steps_are_the_batches_of_the_pipeline_where_it_knows_them(make_streamed, pipeline):
    assert make_streamed(pipeline, batch_size=7).steps == (None if pipeline is stream else 3)


def test_a_dataset_that_does_not_know_its_length_is_trained_on_all_the_same(make_task):
    task = make_task(train=dataset(X, Y).filter(lambda x, y: True))
    assert task.steps is None
    assert np.isfinite(trained(task)[1]["loss"]).all()


def test_the_repr_counts_samples_or_batches(make_task):
    task = make_task(train=Reader(X, Y), validation=stream(X, Y))
    assert "train=3 batches, validation=batches, test=8, batch_size" in repr(task)


def test_a_task_streams_if_training_or_validation_does(make_task):
    assert not make_task().streams
    assert make_task(train=Reader(X, Y)).streams
    assert make_task(validation=Reader(X, Y)).streams
    assert not make_task(test=Reader(X, Y)).streams


@pytest.mark.parametrize("split", ["train", "validation"])
def test_arrays_and_pipelines_go_together(make_task, pipeline, split):
    task = make_task(**{split: pipeline(X, Y)})
    assert np.isfinite(trained(task)[1]["val_loss"]).all()


def test_the_checks_of_sizes_skip_pipelines(make_task):
    task = make_task(train=Reader(X, Y), batch_size=8, drop_remainder=True)
    assert task.steps == 3


def test_the_checks_of_structure_compare_the_arrays_that_there_are(make_task):
    with pytest.raises(ValueError, match=r"test=\(x, y\) is .*3-D.*, and validation is"):
        make_task(train=Reader(X, Y), test=(X[:, :, None], Y))


def test_arrays_of_a_pipeline_are_refused_by_name(make_streamed, pipeline):
    task = make_streamed(pipeline)
    for split in ("train", "validation", "test"):
        with pytest.raises(TypeError, match=rf"{split}=<.* is a data pipeline.*{split}=\(x, y\)"):
            task.arrays(split)


@pytest.mark.parametrize("method", ["order", "training_data"])
def test_a_pipeline_has_its_own_order(make_streamed, pipeline, method):
    with pytest.raises(TypeError, match=r"train=<.* has its own batches and order: use fit"):
        getattr(make_streamed(pipeline), method)(seed=0)


def test_arrays_beside_a_training_pipeline_can_be_had(make_task):
    x, _, sample_weight = make_task(train=Reader(X, Y)).arrays("validation")
    assert len(x) == 9
    assert sample_weight is None


def test_a_model_that_learns_its_input_shape_is_built_on_the_first_batch(make_streamed, pipeline):
    task = make_streamed(pipeline, model=lambda: keras.Sequential([keras.layers.Dense(1)]))
    first, again = (task.build_model(seed=3) for _ in range(2))
    stored = make_streamed(Reader, train=(X, Y), model=task.model).build_model(seed=3)
    for model in (again, stored):
        np.testing.assert_array_equal(first.get_weights()[0], model.get_weights()[0])


def test_class_weights_ask_for_arrays(make_streamed, pipeline):
    with pytest.raises(ValueError, match=r"train is a data pipeline: let it yield \(x, y, sample"):
        make_streamed(pipeline, class_weight={0: 2.0})


def test_a_dataset_without_end_is_refused_without_reading_it(make_task):
    def unreadable(*row):
        raise AssertionError("was read")

    import tensorflow as tf

    endless = tf.data.Dataset.range(10).map(lambda i: tf.py_function(unreadable, [i], tf.int64))
    with pytest.raises(ValueError, match=r"validation=<.* never ends.* drop \.repeat\(\)"):
        make_task(validation=endless.repeat())


def test_a_pydataset_without_length_is_refused(make_task):
    class Endless(keras.utils.PyDataset):
        def __getitem__(self, step):
            return X, Y

    class Infinite(Endless):
        num_batches = None

    for pipeline in (Endless(), Infinite()):
        with pytest.raises(ValueError, match=r"train=<.* never ends.*give the PyDataset a __len__"):
            make_task(train=pipeline)


@pytest.mark.parametrize("pipeline", [Reader, dataset, loader])
def test_an_empty_pipeline_is_refused(make_streamed, pipeline):
    with pytest.raises(ValueError, match=r"train=<.* is empty; it must hold at least one batch"):
        make_streamed(pipeline, X[:0], Y[:0])
