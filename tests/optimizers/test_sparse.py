"""Gradients of embeddings, which hold a few rows only, and Keras's own tests of optimizers."""

import unittest
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import ops
from keras.src.optimizers import optimizer_sparse_test, optimizer_test

from keras_optim_lab import optimizers
from keras_optim_lab.optimizers import Adam, Nadam

pytestmark = pytest.mark.shell

with_sparse_tensors = pytest.mark.only("tensorflow", "jax")  # on PyTorch Keras has none

ROWS, WIDTH = 5, 2


@pytest.fixture
def table():
    return [np.random.default_rng(3).normal(size=(ROWS, WIDTH)).astype("float32")]


@pytest.fixture
def rows():
    """For each of four steps, indices of rows (some of them twice) and the rows' gradients."""
    rng = np.random.default_rng(4)
    return [
        (np.array(indices), rng.normal(size=(len(indices), WIDTH)).astype("float32"))
        for indices in [[0, 2], [2, 2, 4], [1, 1], [3]]
    ]


def dense(rows):
    gradients = []
    for indices, values in rows:
        gradient = np.zeros((ROWS, WIDTH), "float32")
        np.add.at(gradient, indices, values)
        gradients.append([gradient])
    return gradients


@pytest.fixture
def sparse(backend):
    def sparse(rows):
        if backend == "tensorflow":
            import tensorflow as tf

            return [
                [tf.IndexedSlices(tf.constant(values), tf.constant(indices), (ROWS, WIDTH))]
                for indices, values in rows
            ]
        from jax.experimental.sparse import BCOO

        return [[BCOO((values, indices[:, None]), shape=(ROWS, WIDTH))] for indices, values in rows]

    return sparse


@with_sparse_tensors
def test_sparse_gradients_give_the_numbers_of_dense_ones(
    case, walk, table, rows, sparse, assert_same_path
):
    path = walk(case.make(weight_decay=0.01), table, sparse(rows[:3]))
    expected = walk(case.make(weight_decay=0.01), table, dense(rows[:3]))
    assert_same_path(path, expected, rtol=1e-6, atol=1e-7)


@with_sparse_tensors
def test_sparse_gradients_reach_an_optimizer_inside_of_others(
    walk, table, rows, sparse, assert_same_path
):
    def make():
        inner = optimizers.Lookahead(optimizers.AdaptiveClipping(Nadam(0.1)), steps=2)
        return optimizers.groups({"variable": inner}, default="adam")

    path, expected = walk(make(), table, sparse(rows[:3])), walk(make(), table, dense(rows[:3]))
    assert_same_path(path, expected, rtol=1e-6, atol=1e-7)


@with_sparse_tensors
@pytest.mark.parametrize(
    "arguments",
    [
        {"clipnorm": 0.5},
        {"clipvalue": 0.5},
        {"global_clipnorm": 0.5},
        {"loss_scale_factor": 8.0},
        {"gradient_accumulation_steps": 2},
        {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_sparse_gradients_go_with_all_that_keras_does_around_a_step(
    arguments, walk, table, rows, sparse, assert_same_path
):
    path = walk(Nadam(0.1, **arguments), table, sparse(rows))
    expected = walk(Nadam(0.1, **arguments), table, dense(rows))
    assert_same_path(path, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.only("tensorflow")  # JAX adds rows up in their own precision when it converts them
def test_sparse_gradients_of_half_precision_are_summed_in_float32(walk):
    import tensorflow as tf

    # 1 + 2⁻⁸ + 2⁻⁸ is 1 in bfloat16, whose numbers have eight bits.
    values = tf.constant([[1.0] * WIDTH, [2**-8] * WIDTH, [2**-8] * WIDTH], "bfloat16")
    gradient = tf.IndexedSlices(values, tf.constant([1, 1, 1]), (ROWS, WIDTH))
    optimizer = optimizers.GradientDescent(1.0)
    path = walk(optimizer, [np.zeros((ROWS, WIDTH), "float32")], [[gradient]], dtype="bfloat16")
    assert path[0][0][1, 0] == -(1.0 + 2**-7)


@pytest.mark.parametrize("name", ["rmsprop", "adam", "nadam"])
def test_a_compiled_embedding_trains_as_a_matrix_product_with_the_same_table(name):
    indices = np.array([[0], [1], [1], [3]])
    target = np.arange(4, dtype="float32")[:, None]

    def trained(first, inputs):
        head = keras.layers.Dense(1, kernel_initializer="ones")
        model = keras.Sequential([first, keras.layers.Flatten(), head])
        model.compile(optimizers.get(name, learning_rate=0.1), "mse")
        for _ in range(2):
            model.train_on_batch(inputs, target)
        return [ops.convert_to_numpy(v) for v in model.trainable_variables]

    by_row = trained(keras.layers.Embedding(4, 2, embeddings_initializer="ones"), indices)
    one_hot = np.eye(4, dtype="float32")[indices]
    by_product = trained(keras.layers.Dense(2, use_bias=False, kernel_initializer="ones"), one_hot)
    for weight, other in zip(by_row, by_product, strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-4, atol=1e-5)


@with_sparse_tensors
def test_the_sparse_test_of_keras_passes(case):
    """Its logic, called with our optimizers; a loss scale around one of them included."""
    tests = optimizer_sparse_test.OptimizerSparseTest
    check = tests.test_sparse_correctness_adam.__wrapped__
    check(tests(), lambda: case.make(weight_decay=0.01))


@with_sparse_tensors
def test_the_sparse_test_of_keras_passes_under_a_loss_scale():
    tests = optimizer_sparse_test.OptimizerSparseTest
    check = tests.test_sparse_correctness_adam.__wrapped__
    check(tests(), lambda: keras.optimizers.LossScaleOptimizer(Adam(0.1)))


# Keras's tests of its optimizers, pointed at ours: what SGD is there is GradientDescent here.
# Left out are those on names ("sgd"), on the number of variables, of which ours have more, and
# on `keras.optimizers.get`.

OURS = SimpleNamespace(
    Adam=Adam,
    SGD=optimizers.GradientDescent,
    get=lambda spec: optimizers.get(
        "gradient_descent" if spec["class_name"] == "sgd" else spec["class_name"],
        **spec["config"],
    ),
)

KERAS_TESTS = [
    "test_callable_learning_rate",
    "test_clip_args",
    "test_clip_norm",
    "test_clip_value",
    "test_constraints_are_applied",
    "test_ema",
    "test_ema_with_model_fit",
    "test_empty_gradients",
    "test_global_clip_norm",
    "test_gradient_accumulation",
    "test_iterations_counter",
    "test_overwrite_with_gradient",
    "test_overwrite_with_gradient_with_gradient_accumulation",
    "test_set_weights",
    "test_static_loss_scaling",
]
if keras.backend.backend() == "tensorflow":
    KERAS_TESTS += ["test_mixed_with_tf_variables", "test_tf_checkpointing"]


@pytest.mark.parametrize("name", KERAS_TESTS)
def test_the_optimizer_test_of_keras_passes(name, monkeypatch):
    monkeypatch.setattr(optimizer_test, "optimizers", OURS)
    result = unittest.TestResult()
    optimizer_test.OptimizerTest(name).run(result)
    assert (result.testsRun, result.failures, result.errors, result.skipped) == (1, [], [], [])


# JAX compiles each of its steps anew; test_base_arguments.py checks it in one program.
@pytest.mark.only("tensorflow", "torch")
@pytest.mark.parametrize("name", ["adam", "sgd", "adamw", "adagrad", "rmsprop", "nadam"])
def test_the_accumulation_test_of_keras_passes(name, monkeypatch):
    monkeypatch.setattr(optimizer_test, "optimizers", OURS)
    tests = optimizer_test.OptimizerTest
    check = tests.test_gradient_accumulation_with_weigth_decay0.__wrapped__
    check(tests(), name)


def test_an_embedding_trains_under_a_loss_scale_in_float16():
    """On TensorFlow the shape of its gradient is not known where the scale is looked at."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        layers = [keras.layers.Embedding(11, 3), keras.layers.Flatten(), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((4,), dtype="int32"), *layers])
        model.compile(Adam(0.1), "mse")
        history = model.fit(np.ones((8, 4), "int32"), np.ones((8, 1)), epochs=4, verbose=0).history
    finally:
        keras.config.set_dtype_policy(policy)
    assert history["loss"][-1] < history["loss"][0]


def test_optimizers_are_named_after_their_class_and_counted():
    keras.utils.clear_session(free_memory=False)
    assert [Adam().name, Adam().name, optimizers.RMSprop().name] == ["adam", "adam_1", "rm_sprop"]
    assert Adam(name="mine").name == "mine"
