"""`kol.minimize`: what the methods reach, what it counts, and what it refuses."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import optimize

import keras_optim_lab as kol
from keras_optim_lab.curvature.minimize import Minimizer
from keras_optim_lab.curvature.objective import Objective
from keras_optim_lab.curvature.step_rules import STEP_RULES, TAKEN
from tests.curvature.functions import ALL_STEPS, BANANA, CURVES, monkey_saddle, rosenbrock, saddle

HUNDRED = np.tile(BANANA, 50)


def test_newton_solves_any_convex_quadratic_in_one_step(agreement):
    rng = np.random.default_rng(0)
    size = 6
    for condition in (1.0, 1e3, 1e6):
        rotation, _ = np.linalg.qr(rng.normal(size=(size, size)))
        matrix = rotation @ np.diag(np.geomspace(1.0, condition, size)) @ rotation.T
        line = rng.normal(size=size)

        def quadratic(x, matrix=matrix, line=line):
            curved = 0.5 * ops.sum(x * ops.matmul(ops.convert_to_tensor(matrix), x))
            return curved - ops.sum(ops.convert_to_tensor(line) * x)

        result = kol.minimize(quadratic, rng.normal(size=size), "newton", steps=1, **ALL_STEPS)
        minimum = np.linalg.solve(matrix, line)
        np.testing.assert_allclose(result.x, minimum, rtol=1e-7, atol=1e-9)
        error = np.linalg.norm(result.x - minimum) / np.linalg.norm(minimum)
        agreement("newton", "the minimum of a quadratic, in one step", error)


def test_newton_finds_the_minimum_of_rosenbrock_in_25_steps():
    result = kol.minimize(rosenbrock, BANANA, "newton", steps=25, xtol=np.float32(1e-6))
    assert result.success
    assert result.nit <= 25
    np.testing.assert_allclose(result.x, [1.0, 1.0], atol=1e-6)


def test_lbfgs_takes_no_more_evaluations_than_scipy_on_rosenbrock(agreement):
    minimize = Minimizer(rosenbrock, "lbfgs")
    for start in (BANANA, HUNDRED):
        result = minimize(start, steps=2000)
        reference = optimize.minimize(
            optimize.rosen,
            start,
            jac=optimize.rosen_der,
            method="L-BFGS-B",
            options={"ftol": 0.0, "gtol": 1e-6, "maxiter": 2000},
        )
        assert result.success
        assert result.fun <= 1e-10
        assert result.nfev <= 1.5 * reference.nfev
        error = np.abs(result.x - reference.x).max()
        agreement("lbfgs", "the minimum that scipy.optimize's L-BFGS-B finds", error)


def test_newton_cg_takes_no_more_evaluations_than_scipy_for_a_lower_value(agreement):
    minimize = Minimizer(rosenbrock, "newton_cg")
    for start in (BANANA, HUNDRED):
        reference = optimize.minimize(
            optimize.rosen,
            start,
            jac=optimize.rosen_der,
            hessp=optimize.rosen_hess_prod,
            method="Newton-CG",
            options={"xtol": 1e-9, "maxiter": 2000},
        )
        result = minimize(start)
        assert result.success
        assert result.fun <= 1e-10
        assert result.nfev <= 1.5 * reference.nfev
        assert result.njev <= 1.5 * reference.njev
        error = np.abs(result.x - reference.x).max()
        agreement("newton_cg", "the minimum that scipy.optimize's Newton-CG finds", error)


def test_gauss_newton_solves_linear_least_squares_in_one_step(agreement):
    rng = np.random.default_rng(0)
    matrix, target = rng.normal(size=(9, 4)), rng.normal(size=9)

    def residuals(x):
        return ops.matmul(ops.convert_to_tensor(matrix), x) - ops.convert_to_tensor(target)

    result = kol.minimize(residuals, rng.normal(size=4), "gauss_newton", steps=1, **ALL_STEPS)
    optimum = np.linalg.lstsq(matrix, target, rcond=None)[0]
    np.testing.assert_allclose(result.x, optimum, rtol=1e-9)
    error = np.linalg.norm(result.x - optimum) / np.linalg.norm(optimum)
    agreement("gauss_newton", "the optimum of linear least squares, in one step", error)


@pytest.mark.parametrize("curve", CURVES)
def test_levenberg_marquardt_reaches_the_optimum_of_scipy(curve, agreement):
    residuals, start = CURVES[curve]
    result = kol.minimize(residuals, start, "levenberg_marquardt", steps=100)
    reference = optimize.least_squares(lambda b: residuals(b, np), start, method="lm", xtol=1e-12)
    assert result.success, result.message
    np.testing.assert_allclose(result.fun, reference.cost, rtol=1e-8)
    np.testing.assert_allclose(result.x, reference.x, rtol=1e-4)
    error = np.abs(result.x / reference.x - 1.0).max()
    agreement("levenberg_marquardt", "the optimum that scipy.optimize.least_squares finds", error)


@pytest.mark.parametrize(
    ("surface", "start"), [(saddle, [1.0, 1e-3]), (monkey_saddle, [1.0, 1e-3])]
)
def test_newton_stays_at_a_saddle_and_saddle_free_newton_leaves_it(surface, start):
    plain = kol.minimize(surface, start, "newton", steps=16, **ALL_STEPS)
    free = kol.minimize(surface, start, kol.Newton(saddle_free=True), steps=16, **ALL_STEPS)
    assert np.linalg.norm(plain.path.x[-1]) < 1e-3
    assert abs(plain.path.fun[-1]) < 1e-6
    assert free.fun < -0.5


def test_newton_cg_leaves_a_saddle_along_negative_curvature():
    result = kol.minimize(saddle, [1.0, 1e-3], "newton_cg", steps=12, **ALL_STEPS)
    assert result.fun < -1.0


def test_a_first_order_method_takes_the_steps_of_its_functional_form():
    optimizer = kol.optimizers.Nadam(learning_rate=0.1)
    start = {"a": np.array([[1.0, -2.0]], "float32"), "b": [np.float32(3.0)]}
    result = kol.minimize(
        lambda p: ops.sum(p["a"] ** 2) + p["b"][0] ** 4, start, optimizer, steps=5, **ALL_STEPS
    )
    nadam = kol.functional.nadam(learning_rate=0.1)
    params = keras.tree.map_structure(ops.convert_to_tensor, start)
    state = nadam.init(params)
    for i in range(5):
        gradients = {"a": 2 * params["a"], "b": [4 * params["b"][0] ** 3]}
        params, state = nadam.update(params, gradients, state)
        for ours, theirs in (
            (result.path.x["a"], params["a"]),
            (result.path.x["b"][0], params["b"][0]),
        ):
            np.testing.assert_allclose(ours[i + 1], ops.convert_to_numpy(theirs), rtol=1e-5)
    assert result.x["a"].dtype == np.float32
    assert result.x["a"].shape == (1, 2)
    assert result.path.x["a"].shape == (6, 1, 2)
    assert (result.nit, result.nfev, result.njev, result.nhev) == (5, 6, 6, 0)
    assert not result.success
    assert "All 5 steps" in result.message


def test_settings_and_starts_change_without_a_new_trace():
    minimize = Minimizer(rosenbrock, "gradient_descent")
    first = minimize(BANANA, steps=3, learning_rate=1e-3)
    traces = minimize.traces
    second = minimize([0.0, 0.5], steps=3, learning_rate=5e-4)
    gradient = optimize.rosen_der(np.array([0.0, 0.5]))
    np.testing.assert_allclose(second.path.x[1], [0.0, 0.5] - 5e-4 * gradient, rtol=1e-12)
    assert first.path.x.dtype == np.float64
    if keras.backend.backend() != "torch":
        assert minimize.traces == traces == 1
    with pytest.raises(TypeError, match="no number 'beta'"):
        minimize(BANANA, beta=0.5)


@pytest.mark.only("torch")  # which alone calls the function at every evaluation
@pytest.mark.parametrize("step_rule", ["fixed", "armijo", "strong_wolfe"])
def test_every_evaluation_within_a_line_search_is_counted(step_rule):
    calls = 0

    def counted(x):
        nonlocal calls
        calls += 1
        return rosenbrock(x)

    result = kol.minimize(counted, [-0.5, 0.5], kol.LBFGS(1e-2, step_rule=step_rule), steps=4)
    assert result.nfev == calls


def misleading(x):
    # Its gradient has the wrong sign, as that of a function with a mistake in it.
    return ops.sum(ops.stop_gradient(2.0 * x**2) - x**2)


def misleading_residuals(x):
    return ops.stop_gradient(2.0 * x) - x


@pytest.mark.once("torch")
@pytest.mark.parametrize(
    ("fun", "optimizer"),
    [
        (misleading, "lbfgs"),
        (misleading, "newton"),
        (misleading_residuals, "levenberg_marquardt"),
    ],
)
def test_a_search_that_fails_keeps_the_best_point_and_says_so(fun, optimizer):
    result = kol.minimize(fun, [1.0, 2.0], optimizer, steps=5)
    assert not result.success
    assert "No decrease was found along the direction of step 1" in result.message
    np.testing.assert_array_equal(result.x, [1.0, 2.0])


@pytest.mark.once("torch")
def test_lbfgs_goes_on_by_slopes_where_rounding_hides_the_decrease():
    def noisy(x):
        exact = ops.sum(ops.cast([1.0, 30.0, 900.0], x.dtype) * ((x - 1.0) ** 2 + (x - 1.0) ** 4))
        return 1.0 + exact + ops.stop_gradient(1e-9 * ops.sum(ops.sin(1e9 * x)))

    result = kol.minimize(noisy, [1.3, 0.6, 1.4], "lbfgs", steps=60, xtol=1e-9)
    assert result.success
    # By values alone it would end where they change by 1e-9, some 1e-6 from the minimum.
    np.testing.assert_allclose(result.path.x[-1], 1.0, atol=1e-9)


def test_a_hessian_that_is_not_finite_ends_the_minimization_at_the_point_before():
    def cusp(x):
        return ops.sum(x) ** 1.5  # gradient 0 and curvature ∞ at 0

    result = kol.minimize(cusp, [0.0, 0.0], "newton", steps=3, **ALL_STEPS)
    assert not result.success
    assert "curvature is not finite in step 1" in result.message
    np.testing.assert_array_equal(result.x, [0.0, 0.0])


@pytest.mark.once("torch")
@pytest.mark.parametrize("optimizer", ["newton_cg", "adahessian", "sophia_h"])
def test_products_that_are_not_finite_end_the_minimization_too(optimizer):
    def kink(x):
        return ops.sum(x + ops.abs(x) ** 1.5)  # gradient 1 and curvature ∞ at 0

    result = kol.minimize(kink, [0.0, 0.0], optimizer, steps=3, **ALL_STEPS)
    assert "curvature is not finite in step 1" in result.message
    np.testing.assert_array_equal(result.path.x[-1], [0.0, 0.0])


@pytest.mark.once("torch")
@pytest.mark.parametrize("rule", STEP_RULES.values(), ids=STEP_RULES)
def test_a_direction_that_is_not_finite_leads_nowhere(rule):
    objective = Objective(lambda x: ops.sum(x**2))
    point = objective.point(ops.convert_to_tensor([1.0, 2.0]))
    after, effort = rule(objective, point, ops.convert_to_tensor([np.nan, 1.0]), 1.0)
    np.testing.assert_array_equal(ops.convert_to_numpy(after.x), [1.0, 2.0])
    assert int(effort.status) != TAKEN


def test_a_function_that_overflows_ends_at_the_last_finite_point():
    result = kol.minimize(lambda x: ops.sum(x**4), [3.0], kol.optimizers.GradientDescent(1.0))
    assert not result.success
    assert "not finite" in result.message
    assert np.isfinite(result.fun)


def test_a_number_is_minimized_as_a_number():
    result = kol.minimize(lambda x: (x - 3.0) ** 2, 0.5, "newton")
    assert result.x.shape == ()
    assert result.x == pytest.approx(3.0, abs=1e-12)
    assert repr(result).splitlines()[0] == " message: The gradient is zero."


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x0": [1, 2]}, TypeError, "floating-point numbers, such as 1.0"),
        ({"x0": ["one"]}, TypeError, "floating-point"),
        ({"x0": {}}, TypeError, "holds no numbers"),
        ({"fun": lambda x: x}, TypeError, r"must return a scalar; .* \(2,\)"),
        (
            {"fun": ops.sum, "optimizer": "levenberg_marquardt"},
            TypeError,
            "must return residuals r, .* scalar",
        ),
        ({"fun": lambda x: ops.sum(ops.log(-x))}, ValueError, "must be finite at x0"),
        ({"fun": lambda x: ops.sum(ops.sqrt(x)), "x0": [0.0, 1.0]}, ValueError, "gradient is not"),
        ({"optimizer": "newtn"}, ValueError, "Did you mean 'newton'"),
        ({"optimizer": keras.optimizers.SGD()}, TypeError, "of this package"),
        ({"steps": -1}, ValueError, "steps"),
        ({"steps": np.inf}, TypeError, "`steps` must be a whole number"),
        ({"steps": 10**12}, ValueError, "≤ 10,000,000, as every point"),
        ({"tol": 1e-6}, TypeError, "there are three, ftol, xtol and gtol"),
        ({"ftol": -1.0}, ValueError, "ftol: must be a number of at least 0.*ftol=-1.0"),
        ({"xtol": np.inf}, ValueError, "xtol: .*below 1.*xtol=inf"),
        ({"gtol": np.nan}, ValueError, "gtol: .*gtol=nan"),
        ({"gtol": 1.0}, ValueError, "gtol: .*gtol=1.0"),
        ({"ftol": "small"}, ValueError, "ftol='small'"),
        ({"xtol": True}, ValueError, "xtol=True"),
        ({"x0": np.zeros(6000), "optimizer": "newton"}, ValueError, "NewtonCG or LBFGS"),
    ],
)
def test_bad_input_is_refused_before_any_step(arguments, error, message):
    arguments = {"fun": rosenbrock, "x0": [1.0, 2.0], **arguments}
    with pytest.raises(error, match=message):
        kol.minimize(**arguments)
