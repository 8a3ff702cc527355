"""First values of many seeds, drawn without a model for each: they are those of the models."""

import random

import keras
import numpy as np
import pytest
from keras import layers

import keras_optim_lab as kol
from keras_optim_lab.backend import set_random_seed
from keras_optim_lab.tuning.engines.first_values import FirstValues

_SHARED = keras.initializers.RandomNormal(seed=7)


class _Lazy(keras.Model):
    """Learns its input shape from data."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3, kernel_initializer="orthogonal")

    def call(self, x):
        return self.dense(x)


class _OwnInitializer(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return keras.ops.full(shape, 0.5, dtype)


def _of_many_layers():
    x = inputs = keras.Input((6,))
    x = layers.Embedding(10, 4)(x)
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True, dropout=0.1))(x)
    x = layers.MultiHeadAttention(2, 2, dropout=0.1)(x, x)
    x = layers.BatchNormalization()(layers.Conv1D(3, 2, kernel_initializer="he_normal")(x))
    x = layers.Dropout(0.2)(layers.GaussianNoise(0.1)(layers.Flatten()(x)))
    x = layers.Dense(3, kernel_initializer=_SHARED, bias_initializer=_OwnInitializer())(x)
    x = layers.SpectralNormalization(layers.Dense(3, kernel_initializer=_SHARED))(x)
    x = layers.Dropout(0.1, seed=3)(x)
    return keras.Model(inputs, layers.Dense(2, dtype="mixed_bfloat16", bias_initializer="ones")(x))


def _dense(initializer):
    return keras.Sequential([keras.Input((6,)), layers.Dense(3, kernel_initializer=initializer)])


def _of_numpy():
    return _dense(keras.initializers.Constant(np.random.random()))


def _of_seldom_chosen():
    return _dense("ones" if random.random() < 0.9 else "zeros")


def _of_own_seed():
    return _dense(keras.initializers.GlorotNormal(seed=random.randint(0, 9)))


def _unseeded():
    return _dense(lambda shape, dtype: keras.random.normal(shape, dtype=dtype))


def _assigned():
    model = _dense("zeros")
    model.layers[0].kernel.assign(keras.random.normal((6, 3), seed=random.randint(1, 10**9)))
    return model


def _of_a_tensor():
    class Scaled(layers.Layer):
        def __init__(self):
            super().__init__()
            self.scale = keras.Variable(np.random.random(3).astype("float32"))

        def call(self, x):
            return x * self.scale

    return keras.Sequential([keras.Input((6,)), layers.Dense(3), Scaled()])


def _drawn(builder):
    """Draws for three seeds and compares; returns how many models were built for them."""
    built = 0

    def model():
        nonlocal built
        built += 1
        return builder()

    x, y = np.ones((4, 6), "float32"), np.ones((4, 3), "float32")
    task = kol.Task(model=model, train=(x, y), validation=(x, y), loss=lambda y, p: p)
    first = FirstValues(task, task.build_model(0))
    built = 0
    for seed in (5, 0, 2**32 - 1):
        found = first(seed)
        streams = random.getstate(), np.random.get_state()[1].tolist()
        set_random_seed(seed)
        fresh = builder()
        if not fresh.built:
            fresh(x)
        for values, variables in zip(
            found, (fresh.trainable_variables, fresh.non_trainable_variables), strict=True
        ):
            for value, variable in zip(values, variables, strict=True):
                wanted = keras.ops.convert_to_numpy(variable)
                assert (value.dtype, value.shape) == (wanted.dtype, wanted.shape)
                assert value.tobytes() == wanted.tobytes(), (seed, variable.path)
        if seed:
            assert streams == (random.getstate(), np.random.get_state()[1].tolist())
    return built


@pytest.mark.parametrize("builder", [_of_many_layers, _Lazy])
def test_they_are_those_of_a_model_of_each_seed_without_building_one(builder):
    assert _drawn(builder) == 1  # from which it is learned


@pytest.mark.parametrize(
    "builder", [_of_numpy, _of_seldom_chosen, _of_own_seed, _unseeded, _assigned, _of_a_tensor]
)
def test_a_model_is_built_for_every_seed_where_its_builder_draws_from_the_seed(builder):
    assert _drawn(builder) == 3
