import keras
import numpy as np
import pytest
from keras import ops

from tests.optimizers.table import CASES

HALF = ["bfloat16", "float16"]


def pytest_configure(config):
    config.addinivalue_line("markers", "requires_trainable_backend: set by Keras's own tests")


def as_array(tensor):
    """A copy in float32, or in float64 where it is that."""
    tensor = ops.convert_to_tensor(tensor)
    if keras.backend.standardize_dtype(tensor.dtype) != "float64":
        tensor = ops.cast(tensor, "float32")
    return np.array(ops.convert_to_numpy(tensor))


def rounded(arrays, dtype):
    """Arrays of float32 whose numbers `dtype` can hold."""
    return [ops.convert_to_numpy(ops.cast(ops.cast(a, dtype), "float32")) for a in arrays]


@pytest.fixture(params=CASES, ids=lambda case: case.id)
def case(request):
    """Every row of the table of optimizers."""
    return request.param


@pytest.fixture
def backend():
    return keras.backend.backend()


@pytest.fixture
def arrays():
    """Copies variables to NumPy: on PyTorch the original would change with the variable."""
    return lambda variables: [as_array(v) for v in variables]


@pytest.fixture
def start():
    """Two weights."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype("float32") for shape in [(2, 3), (3,)]]


@pytest.fixture
def gradients(start):
    """A list of steps, each with one gradient per weight."""
    rng = np.random.default_rng(1)
    return [[rng.normal(size=w.shape).astype("float32") for w in start] for _ in range(6)]


def has_branches(optimizer):
    scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    return scaled or optimizer.gradient_accumulation_steps or getattr(optimizer, "branches", False)


@pytest.fixture
def walk(backend):
    """Moves fresh weights along the given gradients, the way `fit` does on each backend.

    Returns the weights after every step; an optimizer that is built already goes on from its
    state.
    """

    def walk(optimizer, start, gradients, *, dtype="float32", constraint=None):
        weights = [keras.Variable(w, dtype=dtype) for w in start]
        for weight in weights:
            weight.constraint = constraint
        if not optimizer.built:
            optimizer.build(weights)
        elif not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            for weight, value in zip(optimizer._trainable_variables, start, strict=True):
                weight.assign(value)
            weights = optimizer._trainable_variables
        path = []
        update = optimizer.stateless_apply if backend == "jax" else None
        if update and has_branches(optimizer):
            import jax

            update = jax.jit(update)  # JAX compiles a branch anew in every step otherwise
        for step in gradients:
            step = [None if g is None else ops.convert_to_tensor(g) for g in step]
            if update:
                new_weights, new_state = update(
                    [v.value for v in optimizer.variables], step, [w.value for w in weights]
                )
                for variable, value in zip(weights, new_weights, strict=True):
                    variable.assign(value)
                for variable, value in zip(optimizer.variables, new_state, strict=True):
                    variable.assign(value)
            else:
                optimizer.apply(step, weights)
            path.append([as_array(w) for w in weights])
        return path

    return walk


@pytest.fixture
def assert_same_path():
    """Two walks through the same weights, up to the rounding of their last float32 digits."""

    def assert_same_path(path, expected, rtol=1e-5, atol=1e-6):
        assert len(path) == len(expected)
        for weights, others in zip(path, expected, strict=True):
            for weight, other in zip(weights, others, strict=True):
                np.testing.assert_allclose(weight, other, rtol=rtol, atol=atol)

    return assert_same_path


@pytest.fixture
def data():
    """Eight samples of a function that a small network can learn."""
    x = np.random.default_rng(2).normal(size=(8, 3)).astype("float32")
    return x, np.sum(np.tanh(x), axis=1, keepdims=True)


@pytest.fixture
def make_model(backend):
    """A small network that always starts from the same weights.

    Its optimizer is built at once on TensorFlow, which would trace its first step twice otherwise.
    """

    def make_model(optimizer=None, *, dtype=None, build=backend == "tensorflow", **settings):
        model = keras.Sequential(
            [
                keras.Input((3,)),
                keras.layers.Dense(
                    4,
                    activation="tanh",
                    kernel_initializer=keras.initializers.RandomNormal(0.0, 0.5, seed=1),
                    dtype=dtype,
                    name="hidden",
                ),
                keras.layers.Dense(
                    1,
                    kernel_initializer=keras.initializers.RandomNormal(0.0, 0.5, seed=2),
                    dtype=dtype,
                    name="head",
                ),
            ],
            name="network",
        )
        if optimizer is not None:
            model.compile(optimizer=optimizer, loss="mse", **settings)
            if build:
                model._symbolic_build(data_batch=(np.zeros((1, 3)), np.zeros((1, 1))))
        return model

    return make_model
