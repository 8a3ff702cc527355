"""The built-in tasks: what is declared of them is true, and each trains."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_optim_lab import tasks

OFFLINE = [
    "digits-mlp",
    "digits-cnn",
    "breast-cancer-mlp",
    "diabetes-mlp",
    "friedman-mlp",
    "clusters-batchnorm",
    "mnist1d-mlp",
    "mnist1d-cnn",
    "quadratic-deep",
]
DOWNLOADED = ["mnist-cnn", "fashion-mnist-2c2d", "cifar10-3c3d"]
ROWS = {row.name: row for row in tasks.describe()}


@pytest.fixture(params=OFFLINE)
def offline(request):
    return tasks.get(request.param)


def test_names_lists_every_task_once():
    assert tasks.names() == OFFLINE + DOWNLOADED


@pytest.mark.parametrize("name", OFFLINE + DOWNLOADED)
def test_the_declared_number_of_weights_is_that_of_the_model_built_without_data(name):
    weights = ROWS[name].model().trainable_weights
    assert sum(np.prod(weight.shape) for weight in weights) == ROWS[name].weights


def test_the_weight_counts_are_those_published():
    published = {
        "mnist-cnn": 34_826,
        "mnist1d-mlp": 15_210,
        "mnist1d-cnn": 5_210,
        "cifar10-3c3d": 895_210,
    }
    assert {name: ROWS[name].weights for name in published} == published


def test_the_declared_samples_batches_and_epochs_are_those_of_the_task(offline):
    row = ROWS[offline.name]
    splits = (offline.train, offline.validation, offline.test)
    assert tuple(len(x) for x, _ in splits) == row.samples
    assert (offline.batch_size, offline.epochs) == (row.batch_size, row.epochs)


def test_inputs_are_float32_and_of_ordinary_size(offline):
    x, _ = offline.train
    assert x.dtype == np.float32
    assert 0.1 < x.std() < 2


def test_an_epoch_of_training_leaves_finite_results_and_moves_every_weight(offline):
    model = offline.build(keras.optimizers.SGD(1e-2), seed=0)
    before = model.get_weights()
    history = offline.fit(model, seed=0, epochs=1)
    assert all(np.isfinite(values).all() for values in history.history.values())
    assert all(np.any(old != new) for old, new in zip(before, model.get_weights(), strict=True))
    assert set(offline.evaluate(model, "test")) == set(history.history) - {
        name for name in history.history if name.startswith("val_")
    }


def test_an_unknown_name_lists_near_ones_and_all():
    with pytest.raises(ValueError, match=r"'digit-mlp'.*Did you mean 'digits-mlp'.*cifar10-3c3d"):
        tasks.get("digit-mlp")


def test_a_name_that_is_no_string_is_refused():
    with pytest.raises(TypeError, match=r"name=None: .* asked for by its name, one of digits-mlp"):
        tasks.get(None)


@pytest.mark.once("torch")
def test_listing_the_tasks_imports_neither_their_data_nor_a_tuner():
    script = (
        "import sys, keras; before = set(sys.modules); "
        "from keras_optim_lab import tasks; tasks.describe(); "
        "added = {name.split('.')[0] for name in set(sys.modules) - before}; "
        "sys.exit(added & {'sklearn', 'mnist1d', 'matplotlib', 'optuna', 'plotly'} or 0)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
