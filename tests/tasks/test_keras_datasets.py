"""Without a network the message says which file belongs where, and no cached file is lost."""

import keras
import numpy as np
import pytest

from keras_optim_lab import tasks
from keras_optim_lab.tasks.built_in.keras_datasets import CIFAR10, FASHION_MNIST, MNIST

PLACEMENTS = {
    "mnist-cnn": "MNIST .* put mnist.npz into {home}/datasets\\.",
    "fashion-mnist-2c2d": "Fashion-MNIST .* put train-images-idx3-ubyte.gz, train-labels-idx1-"
    "ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz into "
    "{home}/datasets/fashion-mnist, or all into a folder that KERAS_OPTIM_LAB_FASHION_MNIST names, "
    "or install Debian's dataset-fashion-mnist\\.",
    "cifar10-3c3d": "CIFAR-10 .* put cifar-10-python.tar.gz into {home}/datasets under the name "
    "cifar-10-batches-py-target_archive\\.",
}


@pytest.mark.parametrize("name", PLACEMENTS)
def test_offline_one_sentence_says_which_file_to_put_where(name, keras_home):
    with pytest.raises(FileNotFoundError, match=PLACEMENTS[name].format(home=keras_home)) as error:
        tasks.get(name)
    assert str(error.value).count("\n") == 0
    assert "URL fetch failure" in str(error.value.__cause__)


def test_only_the_missing_files_are_asked_for(keras_home):
    folder = keras_home / "datasets" / "fashion-mnist"
    folder.mkdir(parents=True)
    present = FASHION_MNIST.files[1:]
    for name in present:
        (folder / name).write_bytes(b"here")
    with pytest.raises(FileNotFoundError, match=r"put train-images-idx3-ubyte.gz into"):
        tasks.get("fashion-mnist-2c2d")
    assert all((folder / name).read_bytes() == b"here" for name in present)


@pytest.mark.parametrize("dataset", [MNIST, CIFAR10], ids=lambda dataset: dataset.title)
def test_a_file_with_a_wrong_hash_is_reported_and_kept(dataset, keras_home):
    path = keras_home / dataset.folder / dataset.files[0]
    path.parent.mkdir()
    path.write_bytes(b"half a download")
    with pytest.raises(ValueError, match=r"incomplete or not the published .* move it away"):
        dataset.load()
    assert path.read_bytes() == b"half a download"


def published(shape, label_shape):
    rng = np.random.default_rng(0)

    def part(samples):
        x = rng.integers(0, 256, (samples, *shape), "uint8")
        return x, (np.arange(samples) % 10).astype("uint8").reshape(samples, *label_shape)

    return part(60), part(20)


@pytest.mark.parametrize(
    ("name", "module", "data"),
    [
        ("mnist-cnn", keras.datasets.mnist, published((28, 28), ())),
        ("cifar10-3c3d", keras.datasets.cifar10, published((32, 32, 3), (1,))),
    ],
)
def test_what_keras_loads_trains_the_model(name, module, data, keras_home, monkeypatch):
    monkeypatch.setattr(module, "load_data", lambda: data)
    declared = next(row for row in tasks.describe() if row.name == name)
    (x, y), validation, test = declared.data(samples=(40, 20, 20))
    task = tasks.Task(
        model=declared.model,
        train=(x, y),
        validation=validation,
        test=test,
        loss=declared.loss,
        metrics=declared.metrics,
        batch_size=20,
    )
    model = task.build("sgd", seed=0)
    history = task.fit(model, seed=0, epochs=1)
    assert np.isfinite(history.history["loss"]).all()
    assert set(task.evaluate(model, "test")) == {"loss", "accuracy"}
    if name == "cifar10-3c3d":
        np.testing.assert_allclose(x.mean(axis=(1, 2, 3)), 0, atol=1e-5)
        np.testing.assert_allclose(x.std(axis=(1, 2, 3)), 1, atol=1e-5)
