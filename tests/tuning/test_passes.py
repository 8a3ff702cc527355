"""Pipelines feed all rows: an epoch is read once, and each of its batches goes to every trial."""

import logging
import random

import keras
import numpy as np
import pytest

from keras_optim_lab.tuning.engines import passes
from keras_optim_lab.tuning.engines.fit_engine import FitEngine
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from tests.studies import small_task
from tests.tasks.test_pipelines import dataset, loader, stream
from tests.tuning.populations import BACKEND, FORMS, assert_same_as_fit, assert_same_trials, search

KINDS = {"tensorflow": [dataset], "torch": [loader, stream]}


class Reader(keras.utils.PyDataset):
    """Batches of arrays in their order, as many as there are or as `sizes` says; counts them."""

    def __init__(self, arrays, sizes=(8, 8, 8)):
        super().__init__()
        self.arrays = arrays
        self.ends = np.cumsum([0, *sizes])
        self.read = 0

    def __len__(self):
        return len(self.ends) - 1

    def __getitem__(self, i):
        self.read += 1
        return tuple(array[self.ends[i] : self.ends[i + 1]] for array in self.arrays)


class Shuffled(Reader):
    """Other batches in every epoch."""

    def on_epoch_end(self):
        order = np.random.default_rng(self.read).permutation(len(self.arrays[0]))
        self.arrays = [array[order] for array in self.arrays]


class Changing(Reader):
    """Batches of other sizes once so many have been read."""

    def __init__(self, arrays, after, sizes=(8, 8)):
        super().__init__(arrays)
        self.after = after
        self.later = np.cumsum([0, *sizes])

    def on_epoch_end(self):
        if self.read > self.after:
            self.ends = self.later


class Random(Reader):
    """Draws from the global stream, as augmentation does, without changing anything."""

    def __getitem__(self, i):
        random.random()
        np.random.random(3)
        return super().__getitem__(i)

    def on_epoch_end(self):
        pass


def dataset_of_workers(arrays):
    import torch

    tensors = torch.utils.data.TensorDataset(*map(torch.as_tensor, arrays))
    return torch.utils.data.DataLoader(tensors, batch_size=8, shuffle=True, num_workers=1)


ARRAYS = small_task()
SAMPLES = r"samples of float32 \[3\] and float32 \[1\] in batches"


@pytest.fixture
def with_room_for(monkeypatch):
    """Lets so many batches be as much as may be held at once."""

    def use(batches, size=8):
        most = batches * size * sum(array[0].nbytes for array in ARRAYS.train)
        path = "keras_optim_lab.tuning.engines.passes.free_memory"
        monkeypatch.setattr(path, lambda: passes._COPIES * most)

    return use


def normalized():
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, activation="tanh"),
            layers.BatchNormalization(),
            layers.Dense(1),
        ]
    )


@pytest.mark.parametrize("sizes", [(8, 8, 8), (10, 10, 4)])
def test_trials_on_a_pipeline_are_those_of_fit_and_share_what_is_read(sizes):
    reader = Reader(ARRAYS.train, sizes)
    task = small_task(train=reader, validation=Reader(ARRAYS.validation, [8]), epochs=4)
    assert_same_as_fit(small_task(**vars(task) | {"train": Reader(ARRAYS.train, sizes)}))
    result = search(PopulationEngine(2), task, trials=6)
    assert result.study.user_attrs["engine"]["engine"] == "population"
    # As it is the same again, it is read no third time; one batch each is read to build models.
    assert reader.read <= 2 * 3 + 12


def in_one_batch(*arrays):
    return Reader(arrays, [len(arrays[0])])


@pytest.mark.parametrize("kind", [in_one_batch, *KINDS.get(BACKEND, [])])
def test_pipelines_of_the_framework_are_those_of_fit(kind):
    task = small_task(train=kind(*ARRAYS.train), validation=kind(*ARRAYS.validation), batch_size=1)
    assert assert_same_as_fit(task)["engine"] == "population"


def test_a_pipeline_that_differs_is_read_once_an_epoch_for_all_rows():
    reader = Shuffled(ARRAYS.train)
    task = small_task(train=reader, epochs=5)
    result = search(PopulationEngine(4), task, trials=4)
    assert result.study.user_attrs["engine"]["engine"] == "population"
    assert 5 * 3 <= reader.read <= 5 * 3 + 12  # batches that build models
    curves = [list(trial.intermediate_values.values()) for trial in result.study.trials]
    assert np.isfinite(curves).all()


@pytest.mark.once("torch")
@pytest.mark.parametrize(
    ("reader", "reason"),
    [
        (lambda: Reader(ARRAYS.train, [8, 4, 8]), "has batches of several sizes"),
        (lambda: Changing(ARRAYS.train, 2), "another number of samples in every epoch"),
        (None, "its pipeline for validation does not fit into the memory"),
    ],
)
def test_what_cannot_be_held_is_read_one_trial_at_a_time(reader, reason, caplog, with_room_for):
    if reader is None:
        with_room_for(1)
        task = small_task(validation=Reader(ARRAYS.train), epochs=3)
    else:
        task = small_task(train=reader(), epochs=3)
    with caplog.at_level(logging.WARNING, "keras_optim_lab"):
        result = search(PopulationEngine(2), task, trials=2)
    assert reason in caplog.text
    assert "one after the other" in caplog.text
    assert [trial.user_attrs["engine"] for trial in result.study.trials] == ["sequential"] * 2
    assert all(trial.state.name == "COMPLETE" for trial in result.study.trials)


@pytest.mark.parametrize("sizes", [(8, 8, 8), (7, 7, 7, 3), (5, 5, 5, 5, 4)])
@pytest.mark.parametrize("form", FORMS)
def test_what_is_too_large_to_be_held_is_trained_on_in_parts(form, sizes, with_room_for):
    """Of two batches each: what is left is one, one and a smaller one, or a smaller one."""
    with_room_for(2, sizes[0])
    reader = Reader(ARRAYS.train, sizes)
    task = small_task(train=reader, model=normalized, epochs=3)
    # The loss of an epoch is that of all of its parts, and of no other epoch.
    judged = {"objective": "loss" if len(sizes) == 4 else "val_loss"}
    judged["space"] = {"schedule": ["cosine"]}
    engine = PopulationEngine(4, form)
    found = search(engine, task, trials=6, **judged)
    assert engine.summary["programs"] == 3  # for two batches, for what is left, for validation
    assert reader.read <= 10 * len(sizes) + 10  # and not 18 times: rows share it
    task = small_task(train=Reader(ARRAYS.train, sizes), model=normalized, epochs=3)
    assert_same_trials(found, search(FitEngine(), task, trials=6, **judged))


@pytest.mark.once("torch")
@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (
            (8, 8),
            rf"now holds 16 {SAMPLES} of 8, and held 24 samples",
        ),
        (
            (12, 12),
            rf"now holds 24 {SAMPLES} of 12, and held 24 samples",
        ),
        ((8, 4, 8), "has batches of several sizes, unlike before"),
    ],
)
def test_a_pipeline_that_changes_while_rows_are_trained_is_an_error_that_says_so(sizes, message):
    task = small_task(train=Changing(ARRAYS.train, 8, sizes), epochs=6)
    with pytest.raises(RuntimeError, match=message):
        search(PopulationEngine(2), task, trials=2)


@pytest.mark.once("torch")
@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (
            (8, 8),
            rf"now holds 16 {SAMPLES} of 8, and held 24 samples",
        ),
        (
            (4,) * 6,
            rf"now holds 8 {SAMPLES} of 4, and held 8 samples",
        ),
        ((8, 4, 8, 4), "has batches of several sizes, unlike before"),
    ],
)
def test_parts_that_change_are_an_error_that_says_so(sizes, message, with_room_for):
    with_room_for(1)
    x, y = (np.concatenate([array, array]) for array in ARRAYS.train)
    task = small_task(train=Changing((x, y), 5, sizes), epochs=6)
    with pytest.raises(RuntimeError, match=message):
        search(PopulationEngine(2), task, trials=2)


@pytest.mark.once("torch")
@pytest.mark.parametrize(
    ("lengths", "sizes", "reason"),
    [
        ([5] * 7, [4, 4, 4, 4, 2, 4, 2], "batches of several sizes"),
        ([5, 6, 6, 6], [6, 6, 6, 6], "samples of several shapes"),
        ([5, 5, 5, 6], [6, 6, 6, 6], "samples of several shapes"),
    ],
)
def test_parts_that_differ_in_the_first_epoch_are_read_one_trial_at_a_time(
    lengths, sizes, reason, caplog, with_room_for
):
    """As batches are that are padded to the longest sequence of each."""

    class Padded(Reader):
        def __getitem__(self, i):
            x, y = super().__getitem__(i)
            return np.repeat(x[:, :1, None], lengths[i], axis=1), y

    def model():
        return keras.Sequential(
            [keras.Input((None, 1)), keras.layers.GlobalMaxPooling1D(), keras.layers.Dense(1)]
        )

    with_room_for(1, 10)
    x, y = ARRAYS.validation
    validation = np.repeat(x[:, :1, None], 5, axis=1), y
    train = Padded(ARRAYS.train, sizes)
    task = small_task(model=model, train=train, validation=validation, test=None, epochs=2)
    with caplog.at_level(logging.WARNING, "keras_optim_lab"):
        result = search(PopulationEngine(2), task, trials=3)
    assert reason in caplog.text
    assert [trial.state.name for trial in result.study.trials] == ["COMPLETE"] * 3
    assert {trial.user_attrs["engine"] for trial in result.study.trials} == {"sequential"}


def test_what_a_pipeline_draws_leaves_the_first_weights_as_they_are():
    rate = {"learning_rate": 1e-9}
    curves = [
        [trial.intermediate_values[0] for trial in search(engine, task, space=rate).study.trials]
        for engine, task in (
            (PopulationEngine(2), small_task(train=Random(ARRAYS.train), epochs=3)),
            (FitEngine(), small_task(shuffle="never", epochs=1)),
        )
    ]
    np.testing.assert_allclose(*curves, rtol=1e-5)


@pytest.mark.once("torch")
def test_each_split_has_batches_of_its_own_size_and_what_is_left_over():
    class Batches(keras.losses.Loss):
        """Counts batches, so that it tells how they are cut."""

        def call(self, y_true, y_pred):
            return 0 * keras.ops.mean(y_pred) + keras.ops.ones(()) + keras.ops.sum(y_true) ** 2

    train, validation = ARRAYS.train, ARRAYS.validation
    for changes in (
        {"validation": Reader(validation, [3, 3, 2])},
        {"train": Reader(train, [10, 10, 4])},
        {"train": Reader(train, [10, 10, 4]), "drop_remainder": True, "batch_size": 3},
        {"train": Reader(train, [10, 10, 4]), "validation": Reader(validation, [5, 3])},
    ):
        task = small_task(**{"loss": Batches(), "metrics": [], "batch_size": 4, **changes})
        assert assert_same_as_fit(task, trials=2)["engine"] == "population"


@pytest.mark.once("torch")
def test_a_pipeline_that_can_be_read_only_once_is_refused():
    class Once(Reader):
        def on_epoch_end(self):
            if self.read > 2:
                self.ends = np.array([0])

    with pytest.raises(ValueError, match=r"train: the pipeline is empty when it is read"):
        search(PopulationEngine(2), small_task(train=Once(ARRAYS.train)), trials=2)


@pytest.mark.only("torch")
def test_a_loader_whose_workers_are_processes_feeds_all_rows():
    shuffled = dataset_of_workers(ARRAYS.train)
    result = search(PopulationEngine(2), small_task(train=shuffled, epochs=3), trials=2)
    assert result.study.user_attrs["engine"]["engine"] == "population"


@pytest.mark.once("torch")
def test_an_error_of_a_pipeline_is_raised_before_anything_is_trained():
    class Broken(Reader):
        def __getitem__(self, i):
            if i == 2:
                raise OSError("the disk is gone")
            return super().__getitem__(i)

    with pytest.raises(OSError, match="the disk is gone"):
        search(PopulationEngine(2), small_task(train=Broken(ARRAYS.train)), trials=2)
