"""Seeds are those of Keras, and no framework is imported to be seeded."""

import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_optim_lab as kol
from keras_optim_lab import backend


def drawn():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    return [*model.get_weights(), np.random.rand(3)]


@pytest.mark.parametrize("seed", [0, 7, 2**31 + 5])
def test_a_seed_draws_the_weights_that_keras_draws_from_it(seed):
    backend.set_random_seed(seed)
    ours = drawn()
    keras.utils.set_random_seed(seed)
    for one, other in zip(ours, drawn(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert any((one != other).any() for one, other in zip(ours, drawn(), strict=True))


def test_keras_knows_tensorflow_again_afterwards():
    from keras.src.saving import serialization_lib
    from keras.src.utils import rng_utils

    before = rng_utils.tf, serialization_lib.tf
    backend.set_random_seed(1)
    kol.Lookahead(kol.Adam()).get_config()
    assert (rng_utils.tf, serialization_lib.tf) == before


STUDY = """
import sys
import keras_optim_lab as kol
kol.tune("diabetes-mlp", kol.Lookahead(kol.Adam(clipnorm=1.0)), trials=2, start="none", confirm=0)
print("tensorflow" in sys.modules)
"""


def test_a_study_imports_tensorflow_only_where_it_is_the_backend():
    run = subprocess.run([sys.executable, "-c", STUDY], capture_output=True, text=True, check=True)
    assert run.stdout.split()[-1] == str(keras.backend.backend() == "tensorflow")


def test_tensorflow_is_seeded_too_where_it_is_in_use_beside_the_backend():
    tf = pytest.importorskip("tensorflow")
    backend.set_random_seed(3)
    first = tf.random.uniform(()).numpy()
    backend.set_random_seed(3)
    assert tf.random.uniform(()).numpy() == first


def test_models_of_a_population_draw_what_keras_draws_from_their_seeds():
    for seed in (3, 4, 3):
        with backend.rows().seeding():
            keras.utils.set_random_seed(seed)
            ours = drawn()
        keras.utils.set_random_seed(seed)
        for one, other in zip(ours, drawn(), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.only("tensorflow")
def test_seeding_a_model_starts_what_is_drawn_eagerly_again_and_leaves_functions_prepared():
    import tensorflow as tf

    def seeded(seed):
        with backend.rows().seeding():
            keras.utils.set_random_seed(seed)

    def two():
        return [tf.random.uniform(()).numpy() for _ in range(2)]

    seeded(3)
    first = two()
    seeded(3)
    assert two() == first
    seeded(3)
    prepared = tf.function(lambda: tf.random.uniform(()))
    begun = prepared().numpy()
    seeded(3)
    assert prepared().numpy() != begun  # one that is prepared anew begins again
    assert two() == first


@pytest.mark.only("jax")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "initializer",
    [
        keras.initializers.GlorotUniform(3),
        keras.initializers.RandomUniform(-0.3, 0.7, seed=2**31 + 5),
        keras.initializers.HeNormal(4),
        keras.initializers.RandomNormal(0.1, 0.2, seed=5),
        keras.initializers.TruncatedNormal(0.1, 0.3, seed=6),
    ],
    ids=lambda initializer: type(initializer).__name__,
)
def test_numbers_of_a_seed_are_those_of_keras_whatever_the_shape(initializer, dtype):
    for shape in ((1, 1), (3, 5, 7), (128, 10), (200, 101)):
        keras_s = keras.ops.convert_to_numpy(initializer(shape, dtype))
        with backend.rows().seeding():
            ours = keras.ops.convert_to_numpy(initializer(shape, dtype))
        assert (ours.dtype, ours.shape) == (keras_s.dtype, keras_s.shape)
        assert ours.tobytes() == keras_s.tobytes(), shape


@pytest.mark.only("jax")
def test_many_shapes_of_numbers_ask_for_few_programs(monkeypatch):
    import jax

    def counted(key, shape, **named):
        shapes.add(shape)
        return draw(key, shape, **named)

    draw, shapes = jax.random.normal, set()
    monkeypatch.setattr(jax.random, "normal", counted)
    with backend.rows().seeding():
        for size in range(50, 60):
            keras.random.normal((size, 7), seed=1)
        assert len(shapes) == 1
    keras.random.normal((61, 7), seed=1)
    assert (61, 7) in shapes  # Keras's own are back


@pytest.mark.only("tensorflow")
def test_the_first_seed_of_a_process_may_be_that_of_a_model(monkeypatch):
    from tensorflow.python.eager.context import context

    monkeypatch.delattr(context(), "_rng", raising=False)
    with backend.rows().seeding():
        backend.set_random_seed(3)
    keras.utils.set_random_seed(3)
