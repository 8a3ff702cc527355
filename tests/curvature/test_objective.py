"""Derivatives of functions and models: products, matrices, and what they must agree with."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from scipy import optimize

import keras_optim_lab as kol
from keras_optim_lab import backend
from keras_optim_lab.curvature.layout import Layout
from keras_optim_lab.curvature.model_objective import ModelObjective
from keras_optim_lab.curvature.objective import Objective, check_size
from tests.curvature.functions import rosenbrock
from tests.frameworks import arrays, compiled


@pytest.fixture
def double():
    with backend.derivatives().precision("float64"):
        yield


def tensor(array):
    return ops.convert_to_tensor(np.asarray(array, "float64"))


def test_the_hessian_and_its_products_are_those_of_the_formula(double):
    x, v = np.array([-1.2, 1.0, 0.7, -0.3]), np.array([0.3, -1.0, 2.0, 0.5])
    objective = Objective(rosenbrock)
    hessian, product = arrays(
        compiled(lambda x, v: (objective.hessian(x), objective.hessian_vector_product(x, v)))(
            tensor(x), tensor(v)
        )
    )
    np.testing.assert_allclose(hessian, optimize.rosen_hess(x), rtol=1e-10)
    np.testing.assert_allclose(product, optimize.rosen_hess_prod(x, v), rtol=1e-10)


def test_gauss_newton_products_and_factor_and_matrix_agree(double):
    def outputs(x):
        return ops.sin(x[0] * ops.arange(3, dtype="float64")) + x[1] ** 2 * x[2]

    def loss(y):
        return ops.sum(y**4) + ops.sum(ops.exp(y))

    x, v = np.array([0.4, -0.8, 1.1]), np.array([1.0, 0.5, -2.0])
    objective = Objective(lambda x: loss(outputs(x)), outputs, loss)
    jacobian, matrix, factor, product, along = arrays(
        compiled(
            lambda x, v: (
                objective.jacobian(x),
                objective.gauss_newton(x),
                objective.gauss_newton_factor(x),
                objective.gauss_newton_vector_product(x, v),
                objective.jacobian_vector_product(x, v),
            )
        )(tensor(x), tensor(v))
    )
    k = np.arange(3)
    expected = np.stack([k * np.cos(0.4 * k), np.full(3, -1.6 * 1.1), np.full(3, 0.64)], axis=1)
    y = np.sin(0.4 * k) + 0.64 * 1.1
    curvature = expected.T @ np.diag(12 * y**2 + np.exp(y)) @ expected
    np.testing.assert_allclose(jacobian, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(along, expected @ v, rtol=1e-10)
    np.testing.assert_allclose(matrix, curvature, rtol=1e-9)
    np.testing.assert_allclose(factor.T @ factor, curvature, rtol=1e-8)
    np.testing.assert_allclose(product, curvature @ v, rtol=1e-9)


NETWORKS = {
    "dense": lambda x: layers.Dense(3, activation="tanh")(layers.Flatten()(x)),
    "convolution": lambda x: layers.Flatten()(layers.Conv1D(2, 3, activation="tanh")(x)),
    "attention": lambda x: layers.Flatten()(layers.MultiHeadAttention(1, 2)(x, x)),
    "normalization": lambda x: layers.Flatten()(layers.LayerNormalization()(x)),
}


@pytest.mark.parametrize("network", NETWORKS)
def test_products_on_a_model_agree_with_differences_of_gradients_and_the_full_hessian(network):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    inputs = keras.Input((4, 2))
    model = kol.Model(inputs, layers.Dense(1)(NETWORKS[network](inputs)))
    model.compile(optimizer=kol.Newton(), loss="mse")
    data = (rng.normal(size=(6, 4, 2)).astype("float32"), rng.normal(size=(6, 1)).astype("float32"))
    data = tuple(ops.convert_to_tensor(part) for part in data)
    layout = Layout(model.trainable_variables)
    objective = ModelObjective(model, data, layout)
    x = layout.join([ops.convert_to_tensor(v) for v in model.trainable_variables])
    v = ops.convert_to_tensor(rng.normal(size=layout.size).astype("float32"))
    step = 1e-2
    product, hessian, ahead, behind = arrays(
        compiled(
            lambda x, v: (
                objective.hessian_vector_product(x, v),
                objective.hessian(x),
                objective.value_and_gradient(x + step * v)[1],
                objective.value_and_gradient(x - step * v)[1],
            )
        )(x, v)
    )
    scale = np.abs(product).max()
    np.testing.assert_allclose(product / scale, hessian @ arrays(v) / scale, atol=1e-5)
    np.testing.assert_allclose(product / scale, (ahead - behind) / (2 * step) / scale, atol=1e-2)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-5 * np.abs(hessian).max())


@pytest.mark.once
def test_a_hessian_that_is_too_large_is_refused_with_its_memory_and_what_to_use_instead():
    with pytest.raises(ValueError, match=r"3,725\.3 GiB.*5,000.*NewtonCG or LBFGS"):
        check_size(1_000_000)


@pytest.mark.once
def test_a_scalar_function_has_no_gauss_newton_matrix_and_the_error_says_what_to_return():
    with pytest.raises(ValueError, match="return residuals"):
        Objective(rosenbrock).gauss_newton(ops.ones(2))


def test_a_derivative_by_an_input_can_be_taken_twice_and_differentiated_by_a_weight(double):
    x = tensor([[0.3, 2.0], [1.1, -1.0]])

    def u_xx(w):
        return kol.derivative(lambda x: ops.sin(w * x[:, 0]) * x[:, 1] ** 2, x, 0, order=2)

    def total(w):
        return ops.sum(u_xx(w[0]))

    found, gradient = arrays(
        compiled(lambda w: (u_xx(w[0]), Objective(total).value_and_gradient(w)[1]))(tensor([2.0]))
    )
    angle = 2.0 * np.array([0.3, 1.1])
    y = np.array([4.0, 1.0])
    np.testing.assert_allclose(found, -4.0 * np.sin(angle) * y, rtol=1e-10)
    by_w = -(4.0 * np.sin(angle) + 4.0 * np.cos(angle) * angle / 2) * y
    np.testing.assert_allclose(gradient, [by_w.sum()], rtol=1e-10)


@pytest.mark.parametrize("recorded", [True, False])
def test_a_derivative_of_several_numbers_for_each_row_keeps_them_apart(double, recorded):
    x = tensor([[0.3, 2.0], [1.1, -1.0]])

    def both(w):
        def u(x):
            return ops.stack([ops.sin(w * x[:, 0]) * x[:, 1], w * x[:, 0] ** 3], axis=1)

        return kol.derivative(u, x, 0, order=2)

    point = tensor([2.0])
    if recorded:  # inside of what is differentiated by the weight
        total = Objective(lambda w: ops.sum(both(w[0]) * tensor([1.0, 10.0])))
        (gradient,) = arrays(compiled(lambda w: total.value_and_gradient(w)[1:])(point))
        a, b = np.array([0.6, 2.2]), np.array([2.0, -1.0])
        by_w = -(4.0 * np.sin(a) + 4.0 * np.cos(a) * a / 2) * b + 10.0 * 6.0 * a / 2
        np.testing.assert_allclose(gradient, [by_w.sum()], rtol=1e-10)
    else:
        found = arrays(compiled(lambda w: both(w[0]))(point))
        wanted = [[-4.0 * np.sin(0.6) * 2.0, 3.6], [4.0 * np.sin(2.2), 13.2]]
        np.testing.assert_allclose(found, wanted, rtol=1e-10)


def test_a_derivative_by_a_coordinate_of_all_steps_of_a_sequence(double):
    x = tensor(np.arange(12.0).reshape(2, 3, 2))
    found = arrays(kol.derivative(lambda x: ops.sum(x[..., 0] ** 2 * x[..., 1], axis=1), x))
    np.testing.assert_allclose(found, [2 * 0 * 1 + 2 * 2 * 3 + 2 * 4 * 5, 84 + 144 + 220])


def test_a_derivative_of_what_does_not_depend_on_the_input_is_zero():
    x = tensor([[0.3, 2.0], [1.1, -1.0]])
    np.testing.assert_array_equal(arrays(kol.derivative(lambda x: ops.ones((2, 1)), x)), 0.0)
    np.testing.assert_array_equal(arrays(kol.derivative(lambda x: x[:, 1:], x, order=2)), 0.0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"order": 0}, ValueError, r"`order` must be a whole number ≥ 1.* function\(x\).*order=0"),
        ({"order": -1}, ValueError, "order=-1"),
        ({"order": 1.5}, TypeError, r"`order` must be a whole number.*1\.5"),
        ({"order": True}, TypeError, "order=True"),
        ({"coordinate": 2}, ValueError, "2 coordinates, 0 to 1.*coordinate=2"),
        ({"coordinate": -3}, ValueError, "coordinate=-3"),
        ({"coordinate": "x"}, TypeError, "coordinate='x'"),
        ({"x": np.ones(3)}, ValueError, r"shape \(3,\).*x\[:, None\]"),
    ],
)
def test_a_derivative_that_is_none_is_refused_before_the_function_is_called(
    arguments, error, message
):
    arguments = {"function": lambda x: 1 / 0, "x": np.ones((3, 2)), **arguments}
    with pytest.raises(error, match=message):
        kol.derivative(**arguments)
