"""Fashion-MNIST is read from packed IDX files wherever they lie; damaged ones are told and kept."""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from keras_optim_lab import tasks
from keras_optim_lab.tasks.built_in import idx
from keras_optim_lab.tasks.built_in.keras_datasets import FASHION_MNIST

VARIABLE = "KERAS_OPTIM_LAB_FASHION_MNIST"


def packed(array):
    """The array as an IDX file, unpacked and packed."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(header + array.tobytes(), compresslevel=1)


def put(folder, training=60, testing=20, pixel=255):
    """Writes the four files, with as many images; all have this one colour."""
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, samples in (("train", training), ("t10k", testing)):
        images = packed(np.full((samples, 28, 28), pixel, "uint8"))
        labels = packed((np.arange(samples) % 10).astype("uint8"))
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(images)
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(labels)
    return folder


@pytest.fixture
def debian(keras_home):
    """A place for Debian's files instead of the usual one."""
    return Path(FASHION_MNIST.installed)


def test_the_variable_comes_before_debians_folder_and_that_before_the_cache_of_keras(
    debian, keras_home, tmp_path, monkeypatch
):
    places = keras_home / "datasets" / "fashion-mnist", debian, tmp_path / "elsewhere"
    for pixel, place in enumerate(places):
        put(place, pixel=pixel)
        if place == places[2]:
            monkeypatch.setenv(VARIABLE, str(place))
        (x, y), (x_test, y_test) = FASHION_MNIST.load()
        assert x.max() == x_test.max() == pixel
        assert (x.shape, x_test.shape, y.shape) == ((60, 28, 28), (20, 28, 28), (60,))
        assert y_test.tolist() == [*range(10)] * 2


def test_a_variable_that_names_no_such_folder_is_told_with_what_is_missing(
    debian, tmp_path, monkeypatch
):
    put(debian)
    put(tmp_path / "half")
    (tmp_path / "half" / FASHION_MNIST.files[3]).unlink()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "half"))
    with pytest.raises(FileNotFoundError, match=rf"{VARIABLE}='.*half'.* lacks t10k-labels-idx1"):
        FASHION_MNIST.load()


WHOLE = packed(np.zeros((60, 28, 28), "uint8"))
DAMAGED = {
    "half a file": (WHOLE[:40], "damaged or cut short"),
    "nothing": (b"", "begins with nothing"),
    "no gzip": (b"<html>not found</html>", r"damaged or cut short \(Not a gzipped file"),
    "a flipped byte": (WHOLE[:30] + bytes([WHOLE[30] ^ 255]) + WHOLE[31:], "damaged or cut short"),
    "no IDX": (gzip.compress(bytes(1000)), "no IDX file of bytes: it begins with 00 00 00 00"),
    "half the header": (gzip.compress(bytes([0, 0, 8, 3, 0, 0])), "its header tells"),
    "too few bytes": (
        gzip.compress(gzip.decompress(WHOLE)[:-1]),
        r"tells of 47040 bytes in the shape \(60, 28, 28\), and there are 47039",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_named_and_kept(name, debian):
    content, why = DAMAGED[name]
    path = put(debian) / FASHION_MNIST.files[0]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))} is .*{why}.* [Rr]eplace it"):
        FASHION_MNIST.load()
    assert path.read_bytes() == content


def test_labels_of_other_images_are_told(debian):
    path = put(debian) / FASHION_MNIST.files[1]
    path.write_bytes(packed(np.zeros(59, "uint8")))
    with pytest.raises(ValueError, match=r"train-labels.* has 59 labels for 60 images"):
        FASHION_MNIST.load()


def test_bytes_come_in_the_shape_of_the_header(tmp_path):
    array = np.arange(24, dtype="uint8").reshape(2, 3, 4)
    (tmp_path / "file.gz").write_bytes(packed(array))
    np.testing.assert_array_equal(idx.read(tmp_path / "file.gz"), array)


def test_fashion_mnist_is_a_task_with_all_its_images_and_one_with_a_sixth(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(put(tmp_path, 60_000, 10_000)))
    for name in ("fashion-mnist-2c2d", "fashion-mnist-mlp"):
        task = tasks.get(name)
        row = next(row for row in tasks.describe() if row.name == name)
        splits = (task.train, task.validation, task.test)
        assert tuple(len(x) for x, _ in splits) == row.samples
        x, y = task.train
        assert x.shape[1:] == task.model().input_shape[1:]
        assert (x.max(), np.bincount(y).tolist()) == (1, [len(y) // 10] * 10)
