"""Saving, loading, copying and pickling, bit for bit."""

import copy
import json
import pickle
import zipfile

import keras
import numpy as np
import pytest
from keras import ops
from keras.src import testing

from keras_optim_lab import optimizers
from keras_optim_lab.optimizers import Adam, GradientDescent, Nadam, RAdam

pytestmark = pytest.mark.shell


@keras.saving.register_keras_serializable(package="tests")
def quarter():
    return 0.25


@pytest.fixture
def state(arrays):
    """Weights of a model and everything that its optimizer keeps."""

    def state(model):
        return arrays([*model.trainable_variables, *model.optimizer.variables])

    return state


def assert_equal(arrays, others):
    assert len(arrays) == len(others)
    for array, other in zip(arrays, others, strict=True):
        np.testing.assert_array_equal(array, other)


def train(model, data, steps=3):
    for _ in range(steps):
        model.train_on_batch(*data)


# Models.


def test_a_saved_model_goes_on_as_if_it_had_never_stopped(case, make_model, data, tmp_path, state):
    optimizer = case.make(weight_decay=0.01)
    model = make_model(optimizer, run_eagerly=True)
    train(model, data)
    optimizer.finalize_variable_values(model.trainable_variables)  # as `fit` does at its end
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == optimizer.get_config()
    assert_equal(state(loaded), state(model))
    train(model, data)
    train(loaded, data)
    assert_equal(state(loaded), state(model))


@pytest.mark.parametrize(
    "arguments",
    [
        {"use_ema": True, "global_clipnorm": 0.5, "weight_decay": 0.1, "loss_scale_factor": 8.0},
        {"gradient_accumulation_steps": 2},
    ],
    ids=["average", "accumulation"],
)
def test_a_compiled_model_goes_on_too(arguments, make_model, data, tmp_path, state):
    model = make_model(Nadam(0.1, **arguments))
    train(model, data)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    train(model, data)
    train(loaded, data)
    assert_equal(state(loaded), state(model))


def test_a_pickled_model_goes_on_too(make_model, data, state):
    model = make_model(RAdam(0.1), run_eagerly=True)
    train(model, data)
    loaded = pickle.loads(pickle.dumps(model))
    train(model, data)
    train(loaded, data)
    assert_equal(state(loaded), state(model))


def test_a_model_of_half_precision_goes_on_too(make_model, data, tmp_path, state):
    model = make_model(Adam(0.1), dtype="bfloat16", run_eagerly=True)
    train(model, data)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    train(model, data)
    train(loaded, data)
    assert_equal(state(loaded), state(model))


def test_a_changed_number_is_in_the_saved_file(make_model, data, tmp_path):
    model = make_model(Adam(0.1), run_eagerly=True)
    train(model, data, 1)
    model.optimizer.beta_1 = 0.7
    model.optimizer.learning_rate = 0.3
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        config = json.loads(archive.read("config.json"))
    saved = config["compile_config"]["optimizer"]["config"]
    assert (saved["beta_1"], saved["learning_rate"]) == (0.7, 0.3)
    loaded = keras.saving.load_model(tmp_path / "model.keras").optimizer
    assert (loaded.beta_1, loaded.get_config()["learning_rate"]) == (0.7, 0.3)
    np.testing.assert_allclose(float(loaded.learning_rate), 0.3, rtol=1e-6)


def test_schedules_and_callables_are_saved(make_model, data, tmp_path, state):
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    beta = keras.optimizers.schedules.PolynomialDecay(0.5, 10, 0.9)
    model = make_model(Adam(schedule, beta_1=beta, epsilon=quarter), run_eagerly=True)
    train(model, data)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    assert loaded.optimizer.epsilon == 0.25
    train(model, data)
    train(loaded, data)
    assert_equal(state(loaded), state(model))


def test_weights_only_files_hold_the_optimizer_too(make_model, data, tmp_path, state):
    model = make_model(Adam(0.1), run_eagerly=True)
    train(model, data)
    model.save_weights(tmp_path / "model.weights.h5")
    other = make_model(Adam(0.1), run_eagerly=True)
    other.optimizer.build(other.trainable_variables)
    other.load_weights(tmp_path / "model.weights.h5")
    assert_equal(state(other), state(model))


# Configurations.


def test_a_configuration_survives_json(case):
    optimizer = case.make(learning_rate=0.3, weight_decay=0.1, clipnorm=2.0, name="mine")
    config = json.loads(json.dumps(optimizer.get_config()))
    assert type(optimizer).from_config(config).get_config() == optimizer.get_config()


def test_making_an_optimizer_from_a_configuration_leaves_the_configuration_alone(case):
    optimizer = case.make(learning_rate=keras.optimizers.schedules.PolynomialDecay(0.1, 10))
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    config = optimizer.get_config()
    before = copy.deepcopy(config)
    twin = type(optimizer).from_config(config)
    assert config == before
    assert twin.get_config() == before


def test_keras_serialization_knows_every_optimizer_by_its_registered_name(case):
    optimizer = case.make()
    serialized = keras.saving.serialize_keras_object(optimizer)
    assert serialized["registered_name"] == f"keras_optim_lab>{type(optimizer).__name__}"
    twin = keras.saving.deserialize_keras_object(json.loads(json.dumps(serialized)))
    assert type(twin) is type(optimizer)
    assert twin.get_config() == optimizer.get_config()


def test_the_serialization_test_of_keras_passes(case):
    optimizer = case.make(weight_decay=0.1, use_ema=True)
    testing.TestCase().run_class_serialization_test(optimizer)


def test_an_unserializable_file_names_what_is_missing():
    with pytest.raises(TypeError, match="beta_3"):
        Adam.from_config({"beta_3": 0.5})


# Copies of an optimizer alone.


@pytest.mark.parametrize(
    "duplicate", [lambda o: pickle.loads(pickle.dumps(o)), copy.deepcopy], ids=["pickle", "copy"]
)
def test_a_copy_has_the_same_configuration_and_lives_alone(case, duplicate):
    optimizer = case.make(learning_rate=0.3)
    twin = duplicate(optimizer)
    assert type(twin) is type(optimizer)
    assert twin.get_config() == optimizer.get_config()
    twin.learning_rate = 0.5
    assert optimizer.get_config()["learning_rate"] == 0.3


def test_weights_of_an_optimizer_can_be_given_to_another(
    case, walk, start, gradients, assert_same_path
):
    first, second = case.make(), case.make()
    between = walk(first, start, gradients[:2])[-1]
    with pytest.raises(ValueError, match="has not yet been built"):
        second.set_weights(first.variables)
    walk(second, start, [])
    second.set_weights([ops.convert_to_numpy(v) for v in first.variables])
    path = walk(first, between, gradients[2:4])
    assert_same_path(walk(second, between, gradients[2:4]), path, rtol=0, atol=0)


def test_state_of_another_shape_is_refused(walk, start):
    optimizer = Adam()
    walk(optimizer, start, [])
    with pytest.raises(ValueError, match="shape"):
        optimizer.set_weights([np.zeros((7, 7))] * len(optimizer.variables))


def test_variables_are_named_after_the_optimizer_and_what_they_hold(make_model):
    model = make_model(Adam(name="mine"))
    model.optimizer.build(model.trainable_variables)
    paths = [v.path for v in model.optimizer.variables]
    assert len(set(paths)) == len(paths)
    assert all(path.startswith("mine/") for path in paths)
    assert paths[:5] == [f"mine/{n}" for n in ("iteration", *Adam.numeric)][:5]
    assert any("hidden_kernel_velocity" in path for path in paths)


@pytest.mark.only("tensorflow")
def test_a_tensorflow_checkpoint_restores_weights_slots_and_numbers(
    case, make_model, data, tmp_path, state
):
    import tensorflow as tf

    optimizer = case.make()
    model = make_model(optimizer, run_eagerly=True)
    train(model, data, 2)
    checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer)
    saved = state(model)
    path = checkpoint.save(str(tmp_path / "checkpoint"))

    for name in optimizer.numeric:
        if getattr(optimizer, name) is not None:
            setattr(optimizer, name, 0.5)
    train(model, data, 1)
    checkpoint.restore(path).assert_consumed()
    assert_equal(state(model), saved)

    twin = make_model(case.make(), run_eagerly=True)
    twin.optimizer.build(twin.trainable_variables)
    tf.train.Checkpoint(model=twin, optimizer=twin.optimizer).restore(path).assert_consumed()
    assert_equal(state(twin), saved)


def test_every_optimizer_of_the_catalogue_can_be_loaded_by_importing_the_package():
    for entry in optimizers.entries():
        name = keras.saving.get_registered_name(entry.cls)
        assert name == f"keras_optim_lab>{entry.cls.__name__}"
        assert keras.saving.get_registered_object(name) is entry.cls


def test_restoring_a_number_shows_the_number_restored(walk, start):
    first, second = GradientDescent(0.3), GradientDescent(0.7)
    walk(first, start, [])
    walk(second, start, [])
    second.set_weights(first.variables)
    assert second.get_config()["learning_rate"] == pytest.approx(0.3, rel=1e-7)
