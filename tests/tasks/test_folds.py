"""Folds part training and validation samples anew; each is an ordinary task of arrays."""

import keras
import numpy as np
import pytest

from keras_optim_lab.tasks.folds import training_steps
from keras_optim_lab.tasks.splits import Fold

pytestmark = pytest.mark.once
RNG = np.random.default_rng(0)


def numbered(first, last):
    """Samples whose x is their number, twice."""
    return np.stack([np.arange(first, last)] * 2, axis=1).astype("float32")


def split(first, last, y=None, *weights):
    return (numbered(first, last), numbered(first, last)[:, :1] if y is None else y, *weights)


def numbers(split):
    return sorted(split[0][:, 0].astype(int).tolist())


@pytest.fixture
def nineteen(make_task):
    """A task of 10 training and 9 validation samples, numbered."""
    return make_task(train=split(0, 10), validation=split(10, 19))


def folds(task, count, repeat=0):
    return [task.fold(Fold(number, count, repeat)) for number in range(count)]


def test_every_fold_holds_out_others_and_trains_on_all_the_rest(nineteen):
    each = folds(nineteen, 4)
    held_out = [numbers(fold.validation) for fold in each]
    assert [len(part) for part in held_out] == [4] * 4  # three are left over
    assert len({number for part in held_out for number in part}) == 16
    for fold, part in zip(each, held_out, strict=True):
        assert sorted([*numbers(fold.train), *part]) == list(range(19))
        assert fold.test[0] is nineteen.test[0]
        x, y = fold.train
        np.testing.assert_array_equal(x[:, :1], y)
        assert fold.training_steps == training_steps(nineteen, 4) == 2 * 4


def test_a_repeat_is_another_partition_and_always_the_same(nineteen, make_task):
    first, other = (numbers(folds(nineteen, 3, repeat)[0].validation) for repeat in (0, 1))
    again = make_task(train=split(0, 10), validation=split(10, 19)).fold(Fold(0, 3, 1))
    assert first != other == numbers(again.validation)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool"])
def test_classes_are_spread_evenly_over_folds(make_task, shape, dtype):
    y = np.arange(60) % 6 == 0
    y = (y if dtype == "bool" else y + (np.arange(60) % 4 == 1)).astype(dtype).reshape(shape)
    task = make_task(
        train=split(0, 40, y[:40]),
        validation=split(40, 60, y[40:]),
        test=None,
        loss="sparse_categorical_crossentropy",
    )
    for fold in folds(task, 5):
        expected = np.bincount(y.ravel()) / 5
        assert np.abs(np.bincount(fold.validation[1].ravel()) - expected).max() <= 1


def test_samples_of_dicts_and_lists_stay_together(make_task):
    def nested(first, last):
        x = numbered(first, last)
        return {"a": x, "b": [x[:, :1]]}, {"c": x[:, :1], "d": x}

    task = make_task(train=nested(0, 10), validation=nested(10, 19), test=None, loss=["mse", "mse"])
    for part in (task.fold(Fold(1, 3)).train, task.fold(Fold(1, 3)).validation):
        x, y = part
        for array in keras.tree.flatten([x, y]):
            np.testing.assert_array_equal(array[:, 0], x["a"][:, 0])


def test_weights_go_with_their_samples_and_are_no_others_where_a_split_has_none(make_task):
    def weights(first, last):
        return np.arange(first, last) + 0.5

    plain, weighted = split(10, 19), split(10, 19, None, weights(10, 19))
    both = make_task(train=split(0, 10, None, weights(0, 10)), validation=weighted)
    for part in (both.fold(Fold(0, 3)).train, both.fold(Fold(0, 3)).validation):
        np.testing.assert_array_equal(part[0][:, 0] + 0.5, part[2])
    train_alone = make_task(train=split(0, 10, None, weights(0, 10)), validation=plain)
    x, _, found = train_alone.fold(Fold(0, 3)).train
    np.testing.assert_array_equal(found, np.where(x[:, 0] < 10, x[:, 0] + 0.5, 1))
    assert len(train_alone.fold(Fold(0, 3)).validation) == 2
    validation_alone = make_task(train=split(0, 10), validation=weighted)
    assert len(validation_alone.fold(Fold(0, 3)).train) == 2


def test_class_weights_count_in_the_training_of_every_fold(make_task):
    y = np.arange(19) % 2
    task = make_task(
        train=split(0, 10, y[:10]),
        validation=split(10, 19, y[10:]),
        test=None,
        loss="sparse_categorical_crossentropy",
        class_weight={1: 3.0},
    )
    fold = task.fold(Fold(0, 3))
    _, labels, weights = fold.arrays("train")
    np.testing.assert_array_equal(weights, 1 + 2 * labels)
    assert fold.arrays("validation")[2] is None


@pytest.mark.parametrize("shuffle", ["every epoch", "once", "never"])
@pytest.mark.parametrize("drop_remainder", [False, True])
def test_engines_take_the_samples_of_a_fold_from_all_in_the_order_of_its_task(
    make_task, shuffle, drop_remainder
):
    task = make_task(
        train=split(0, 10),
        validation=split(10, 23),
        shuffle=shuffle,
        drop_remainder=drop_remainder,
    )
    fold = Fold(2, 4, 1)
    pooled, _ = task.folds.pooled.train
    for epoch in (0, 1):
        x, _ = task.fold(fold).training_data(seed=7, epoch=epoch)
        np.testing.assert_array_equal(pooled[task.folds.order(fold, 7, epoch)], x)
    x, _, _ = task.fold(fold).arrays("validation")
    np.testing.assert_array_equal(pooled[task.folds.held_out(fold)], x)
    assert training_steps(task, 4) == task.fold(fold).training_steps


class Streamed(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return split(0, 4)


RARE = np.array([0, 1] * 5)
BAD = {
    "one fold": (Fold(0, 1), {}, ValueError, r"`folds` must be a whole number ≥ 2.*folds=1"),
    "no count": (Fold(0, 2.5), {}, TypeError, r"`folds` must be a whole number.*folds=2\.5"),
    "a fold beyond the last": (Fold(3, 3), {}, ValueError, r"`number` must be .* ≤ 2.*number=3"),
    "no partition": (Fold(0, 3, -1), {}, ValueError, r"`repeat` must be .* ≥ 0.*repeat=-1"),
    "more folds than samples": (Fold(0, 20), {}, ValueError, r"folds=20 is more than the 19 train"),
    "folds larger than the smallest class": (
        Fold(0, 3),
        {
            "train": split(0, 10, RARE),
            "validation": split(10, 19, np.where(np.arange(9) < 2, 7, 0)),
            "test": None,
            "loss": "sparse_categorical_crossentropy",
        },
        ValueError,
        r"folds=3 is larger than the smallest class: .* 2 are of class 7.*Lower folds, or pass f",
    ),
    "a pipeline": (
        Fold(0, 3),
        {"train": Streamed()},
        ValueError,
        r"folds part samples by their numbers, and train of task 'task' is a data pipeline, whose",
    ),
    "samples of other shapes": (
        Fold(0, 3),
        {
            "train": (np.ones((9, 3, 2)), np.ones((9, 1))),
            "validation": (np.ones((9, 4, 2)), np.ones((9, 1))),
            "test": None,
        },
        ValueError,
        r"x of task 'task' has shape \(9, 3, 2\) in train and \(9, 4, 2\) in validation",
    ),
    "folds of less than a batch": (
        Fold(0, 6),
        {"drop_remainder": True},
        ValueError,
        r"folds=6 leaves 3 samples for each validation, of which batch_size=4 .* uses none",
    ),
}


@pytest.mark.parametrize(("fold", "changes", "error", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_a_fold_is_said(make_task, fold, changes, error, message):
    task = make_task(**{"train": split(0, 10), "validation": split(10, 19), **changes})
    with pytest.raises(error, match=message):
        task.fold(fold)
