"""Splits are fixed, stratified and disjoint; scales come from the training split alone."""

import hashlib
import random
import sys

import keras
import numpy as np
import pytest

from keras_optim_lab import tasks
from keras_optim_lab.tasks.built_in import mnist1d, tabular, text
from keras_optim_lab.tasks.splits import stratified

LABELS = np.repeat([0, 1, 2], [30, 60, 110])


def test_parts_are_disjoint_and_cover_everything():
    parts = stratified(LABELS, (120, 40, 40))
    assert [len(part) for part in parts] == [120, 40, 40]
    assert sorted(np.concatenate(parts)) == list(range(200))


@pytest.mark.parametrize("seed", range(5))
def test_parts_hold_the_classes_in_the_proportions_of_the_whole(seed):
    sizes = (120, 41, 39)
    for part, size in zip(stratified(LABELS, sizes, seed), sizes, strict=True):
        expected = np.bincount(LABELS) * size / 200
        assert np.abs(np.bincount(LABELS[part]) - expected).max() <= 1


def test_the_split_is_fixed_and_another_seed_gives_another():
    first, again, other = (stratified(LABELS, (150, 50), seed)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_samples_of_a_part_are_not_sorted_by_class():
    labels = LABELS[stratified(LABELS, (150, 50))[0]]
    assert len(set(labels[:20])) == 3


def test_equal_labels_give_a_plain_random_split():
    train, test = stratified(np.zeros(50), (40, 10))
    assert sorted([*train, *test]) == list(range(50))
    assert sorted(test) != list(range(40, 50))


TABLES = ["breast-cancer-mlp", "diabetes-mlp", "friedman-mlp", "clusters-batchnorm"]

# A change here makes results incomparable with those already published.
FINGERPRINTS = {
    "digits-mlp": "1f5d7c8529e12b66",
    "breast-cancer-mlp": "4f109248152ec3fe",
    "clusters-batchnorm": "400775db9000afd5",
    "mnist1d-mlp": "6edfcfd68ad66037",
}


def fingerprint(parts):
    return hashlib.sha256(np.concatenate(parts).astype("<i4").tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_the_splits_of_a_task_are_the_same_for_everyone(name):
    task = tasks.get(name)
    labels = [y for _, y in (task.train, task.validation, task.test)]
    assert fingerprint(labels) == FINGERPRINTS[name]


def test_the_split_of_diabetes_is_the_same_for_everyone():
    parts = stratified(np.zeros(442), tabular.DIABETES_SAMPLES)
    assert fingerprint(parts) == "da06806a25f08f43"


@pytest.mark.parametrize("name", ["digits-mlp", "digits-cnn", "breast-cancer-mlp", "mnist1d-mlp"])
def test_classes_are_spread_evenly_over_train_and_validation(name):
    task = tasks.get(name)
    train, validation = (np.bincount(y) / len(y) for _, y in (task.train, task.validation))
    np.testing.assert_allclose(train, validation, atol=2 / len(task.validation[1]))


def test_no_sample_stands_in_two_splits():
    task = tasks.get("digits-mlp")
    rows = [row.tobytes() for x, _ in (task.train, task.validation, task.test) for row in x]
    assert len(rows) == 1797
    assert len(set(rows)) == 1797


def test_digits_lie_between_0_and_1():
    x, _ = tasks.get("digits-mlp").train
    assert (x.min(), x.max()) == (0, 1)


def test_the_layout_of_images_follows_the_configuration_of_keras():
    layout = keras.config.image_data_format()
    try:
        keras.config.set_image_data_format("channels_first")
        task = tasks.get("digits-cnn")
        assert task.train[0].shape[1:] == task.model().input_shape[1:] == (1, 8, 8)
    finally:
        keras.config.set_image_data_format(layout)


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_standardized_by_the_training_split_alone(name):
    task = tasks.get(name)
    x, _ = task.train
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(x.std(axis=0), 1, atol=1e-5)
    assert np.abs(task.test[0].mean(axis=0)).max() > 1e-3


@pytest.mark.parametrize("name", ["diabetes-mlp", "friedman-mlp"])
def test_always_predicting_the_training_mean_has_an_error_of_1(name):
    _, y = tasks.get(name).train
    assert np.mean(y**2) == pytest.approx(1, rel=1e-5)


def test_standardizing_uses_the_first_part_only():
    train, other = tabular.standardized(np.array([[0.0], [2.0]]), np.array([[5.0]]))
    np.testing.assert_array_equal(train, [[-1], [1]])
    np.testing.assert_array_equal(other, [[4]])


def test_a_text_asks_for_the_letter_that_comes_next():
    x, y = tasks.get("text-transformer").train
    assert x.shape == y.shape == (2048, 24)
    np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
    assert "".join(text.ALPHABET[place] for place in (*x[0], y[0, -1])) in text.letters()
    one_hot, same = tasks.get("text-gru").train
    np.testing.assert_array_equal(one_hot.argmax(axis=-1), x)
    np.testing.assert_array_equal(same, y)


def test_no_paragraph_of_the_text_stands_in_it_twice():
    assert text.letters().count("the assert statement assert statements are a convenient way") == 1
    assert set(text.letters()) == set(text.ALPHABET)


def test_patches_of_an_image_hold_its_pixels():
    (x, y), (images, labels) = (tasks.get(name).train for name in ("digits-vit", "digits-cnn"))
    np.testing.assert_array_equal(y, labels)
    patches = x[0].reshape(4, 4, 2, 2)
    np.testing.assert_array_equal(patches[2, 1], images[0].reshape(8, 8)[4:6, 2:4])


def test_pixels_of_the_photograph_are_apart_and_know_their_place():
    task = tasks.get("photograph-mlp")
    x = np.concatenate([part[0] for part in (task.train, task.validation, task.test)])
    assert len(np.unique(x[:, [0, 6, 12, 18]], axis=0)) == len(x) == 106 * 160
    sky, ground = ((task.train[1][task.train[0][:, 12] * sign > 0.9]) for sign in (1, -1))
    assert sky.mean() > ground.mean()


def test_half_of_all_sums_modulo_a_prime_are_samples_once():
    task = tasks.get("modular-addition")
    pairs = np.concatenate([part[0] for part in (task.train, task.validation, task.test)])
    y = np.concatenate([part[1] for part in (task.train, task.validation, task.test)])
    assert len({tuple(sorted(pair)) for pair in pairs.tolist()}) == 59 * 60 // 2
    np.testing.assert_array_equal(y, pairs.sum(axis=1) % 59)


def test_mnist1d_leaves_the_global_random_streams_alone():
    mnist1d.generated.cache_clear()
    random.seed(5)
    np.random.seed(5)
    expected = random.random(), np.random.rand()
    random.seed(5)
    np.random.seed(5)
    mnist1d.generated()
    assert (random.random(), np.random.rand()) == expected


@pytest.mark.parametrize(
    ("name", "module", "advice"),
    [
        ("digits-mlp", "sklearn.datasets", r'scikit-learn.*pip install "keras-optim-lab\[tune\]"'),
        ("photograph-mlp", "PIL.Image", r'pillow.*pip install "keras-optim-lab\[pictures\]"'),
        ("mnist1d-cnn", "mnist1d.data", r'mnist1d.*pip install "keras-optim-lab\[data\]"'),
    ],
)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    name, module, advice, monkeypatch
):
    mnist1d.generated.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=advice):
        tasks.get(name)
