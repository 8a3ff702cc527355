"""The built-in tasks: what is declared of them is true, and each trains."""

import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest

from keras_optim_lab import tasks
from keras_optim_lab.tasks.catalogue import is_built_in
from keras_optim_lab.tasks.splits import take
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from keras_optim_lab.tuning.repetitions import Training, train
from keras_optim_lab.tuning.spaces.configuration import Configuration

OFFLINE = [
    "digits-mlp",
    "digits-cnn",
    "digits-vit",
    "breast-cancer-mlp",
    "diabetes-mlp",
    "friedman-mlp",
    "clusters-batchnorm",
    "mnist1d-mlp",
    "mnist1d-cnn",
    "text-gru",
    "text-transformer",
    "photograph-mlp",
    "modular-addition",
    "quadratic-deep",
]
DOWNLOADED = ["mnist-cnn", "fashion-mnist-mlp", "fashion-mnist-2c2d", "cifar10-3c3d"]
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
    assert is_built_in(offline)
    x, y = offline.test
    assert not is_built_in(replace(offline, test=(x[1:], y[1:])))
    assert not is_built_in(replace(offline, batch_size=offline.batch_size + 1))
    assert (offline.batch_size, offline.epochs) == (row.batch_size, row.epochs)


def test_inputs_are_float32_of_ordinary_size_or_whole_numbers(offline):
    x, _ = offline.train
    assert x.dtype == np.int32 or (x.dtype == np.float32 and 0.1 < x.std() < 2)


def few(task):
    """The same task with 100 samples in each split, and one epoch."""
    splits = {
        name: take(getattr(task, name), slice(100)) for name in ("train", "validation", "test")
    }
    declared = {name: getattr(task, name) for name in ("name", "model", "loss", "metrics")}
    return tasks.Task(**declared, **splits, batch_size=32, epochs=1)


def test_an_epoch_of_training_leaves_finite_results_and_moves_every_weight(offline):
    task = few(offline)
    model = task.build(keras.optimizers.SGD(1e-2), seed=0)
    before = model.get_weights()
    history = task.fit(model, seed=0)
    assert all(np.isfinite(values).all() for values in history.history.values())
    assert all(np.any(old != new) for old, new in zip(before, model.get_weights(), strict=True))
    assert set(task.evaluate(model, "test")) == set(history.history) - {
        name for name in history.history if name.startswith("val_")
    }


@pytest.mark.parametrize("name", ["text-gru", "text-transformer"])
def test_sequences_train_in_a_population(name):
    task, engine = few(tasks.get(name)), PopulationEngine()
    trainings = [Training("adam", Configuration("adam", {}), seed) for seed in range(2)]
    curves = train(task, trainings, engine=engine)
    assert engine.summary["engine"] == "population"
    # A uniform guess among 27 letters is right once in 27 times.
    assert all(curve["val_loss"] == [pytest.approx(np.log(27), rel=0.15)] for curve in curves)


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
