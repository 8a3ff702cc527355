"""The quadratic bowl is that of DeepOBS."""

import keras
import numpy as np
import pytest

from keras_optim_lab import tasks
from keras_optim_lab.tasks.built_in import quadratic


@pytest.fixture
def task():
    return tasks.get("quadratic-deep")


def test_the_start_loss_is_that_published_for_the_test_split(task):
    model = task.build("sgd", seed=0)
    assert task.evaluate(model, "test")["loss"] == pytest.approx(353.4468, abs=2e-4)


def test_the_hessian_has_90_eigenvalues_below_1_and_10_between_30_and_60():
    eigenvalues = np.linalg.eigvalsh(quadratic.hessian())
    assert np.all((eigenvalues[:90] > 0) & (eigenvalues[:90] < 1))
    assert np.all((eigenvalues[90:] > 30) & (eigenvalues[90:] < 60))


def test_the_eigenvalues_are_the_first_draws_of_the_published_stream():
    rng = np.random.RandomState(42)
    drawn = [*rng.uniform(0, 1, 90), *rng.uniform(30, 60, 10)]
    np.testing.assert_allclose(np.linalg.eigvalsh(quadratic.hessian()), sorted(drawn), rtol=1e-10)


@pytest.mark.parametrize("dimensions", [2, 3, 10, 100])
def test_random_axes_are_orthogonal(dimensions):
    axes = quadratic.random_orthogonal(dimensions, np.random.RandomState(0))
    np.testing.assert_allclose(axes @ axes.T, np.eye(dimensions), atol=1e-12)


def test_the_loss_of_a_sample_is_half_its_squared_distance_in_the_metric_of_the_hessian(task):
    model = task.build("sgd", seed=0)
    x = task.train[0][:5]
    offset = 1 - x.astype("float64")
    expected = np.einsum("ni,ij,nj->n", offset, quadratic.hessian(), offset) / 2
    np.testing.assert_allclose(model.predict(x, verbose=0)[:, 0], expected, rtol=1e-5)


def test_a_step_of_gradient_descent_subtracts_the_hessian_times_the_offset(task):
    model = task.build(keras.optimizers.SGD(0.01), seed=0)
    x, y = (part[:128] for part in task.train)
    model.train_on_batch(x, y)
    gradient = quadratic.hessian() @ (1 - x.mean(axis=0, dtype="float64"))
    np.testing.assert_allclose(model.get_weights()[0], 1 - 0.01 * gradient, rtol=1e-4, atol=1e-5)


def test_the_position_is_the_only_weight_and_starts_at_1(task):
    (position,) = task.build("sgd", seed=0).get_weights()
    np.testing.assert_array_equal(position, np.ones(100))


def test_an_epoch_has_7_steps_in_an_order_that_the_seed_draws_once(task):
    x, _ = task.training_data(seed=0)
    assert len(x) == 7 * task.batch_size == 896
    np.testing.assert_array_equal(x, task.training_data(seed=0)[0])
    assert not np.array_equal(x, task.training_data(seed=1)[0])


def test_the_three_splits_are_different_points(task):
    firsts = [x[0, 0] for x, _ in (task.train, task.validation, task.test)]
    assert len(set(firsts)) == 3


def test_the_model_is_saved_and_loaded_with_its_loss(task, tmp_path):
    model = task.build("sgd", seed=0)
    task.fit(model, seed=0, epochs=1)
    model.save(tmp_path / "bowl.keras")
    loaded = keras.saving.load_model(tmp_path / "bowl.keras")
    assert task.evaluate(loaded, "test") == pytest.approx(task.evaluate(model, "test"), rel=1e-6)
