"""What curvature methods make of weights of samples and classes, and of one batch after another."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from sklearn.datasets import load_digits

import keras_optim_lab as kol
from keras_optim_lab.curvature.layout import Layout
from keras_optim_lab.curvature.objective import Objective

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 3)).astype("float32")
Y = np.sin(X.sum(axis=1, keepdims=True)).astype("float32")


def linear(optimizer):
    keras.utils.set_random_seed(0)
    model = kol.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile(optimizer=optimizer, loss="mse")
    return model


def numbers(variables):
    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]


@pytest.mark.once("torch")
@pytest.mark.parametrize(
    "entry", kol.optimizers.entries(needs_objective=True), ids=lambda e: e.name
)
def test_weights_of_samples_and_of_classes_count_as_copies_of_samples(entry):
    model = linear(entry.cls())
    model.optimizer.build(model.trainable_variables)
    state = model.variables + model.optimizer.variables
    before = numbers(state)
    classes = np.repeat([[1.0], [0.0]], 8, axis=0).astype("float32")
    x = X[:16]

    def trained(x, y, **weights):
        for variable, value in zip(state, before, strict=True):
            variable.assign(value)
        for _ in range(2):
            model.train_on_batch(x, y, **weights)
        return np.concatenate([part.ravel() for part in numbers(model.trainable_variables)])

    copied = trained(np.tile(x[:8], (2, 1)), np.ones((16, 1)), sample_weight=np.ones(16))
    weighted = trained(x, classes, sample_weight=np.repeat([2.0, 0.0], 8))
    by_class = trained(x, classes, class_weight={0: 0.0, 1: 2.0})
    np.testing.assert_allclose(weighted, copied, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(by_class, weighted)
    assert np.abs(copied - np.concatenate([w.ravel() for w in before[:2]])).max() > 1e-4


def test_both_gradients_of_a_pair_of_lbfgs_are_those_of_the_same_batch():
    model = linear(kol.LBFGS(0.1, history=3, step_rule="fixed"))
    model.fit(X, Y, batch_size=16, epochs=1, shuffle=False, verbose=0)
    slots = model.optimizer._state_variables
    steps, changes = (ops.convert_to_numpy(slots[name]) for name in ("steps", "changes"))
    inputs = np.concatenate([X, np.ones((32, 1))], axis=1)
    np.testing.assert_array_equal(steps[0], 0.0)
    for i, batch in ((1, inputs[:16]), (2, inputs[16:])):
        curvature = 2 / 16 * batch.T @ batch
        np.testing.assert_allclose(changes[i], curvature @ steps[i], rtol=1e-3, atol=1e-5)


@pytest.mark.once("torch")
@pytest.mark.parametrize(("curvature", "kept"), [(1.0, True), (0.0, False), (-1.0, False)])
def test_lbfgs_remembers_pairs_of_positive_curvature_only(curvature, kept):
    optimizer = kol.LBFGS(0.1, step_rule="fixed")
    objective = Objective(lambda x: ops.sum(x) + curvature / 2 * ops.sum(x**2))
    x = ops.convert_to_tensor(np.float32([2.0, 3.0]))
    h = optimizer.scalars({"learning_rate": 0.1}, 0)
    state = optimizer.first_state(Layout(x))
    after, state, _ = optimizer.advance(objective, objective.point(x), state, h)
    assert not np.array_equal(ops.convert_to_numpy(after.x), [2.0, 3.0])
    assert bool(ops.any(state.changes != 0)) == kept


@pytest.mark.once("torch")
def test_lbfgs_trains_a_classifier_on_shuffled_batches():
    x, y = (part[:400] for part in load_digits(return_X_y=True))
    keras.utils.set_random_seed(0)
    model = kol.Sequential(
        [keras.Input((64,)), layers.Dense(16, activation="tanh"), layers.Dense(10)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=kol.LBFGS(), loss=loss)
    model.fit(x / 16, y, batch_size=100, epochs=8, verbose=0)
    assert model.evaluate(x / 16, y, verbose=0) < 0.1
