"""What `kol.minimize` says of its end is true, in whatever units f and x are measured."""

import numpy as np
import pytest
from keras import ops

import keras_optim_lab as kol
from keras_optim_lab.curvature.minimize import Minimizer
from tests.curvature.functions import ALL_STEPS, BANANA, rosenbrock, saddle
from tests.curvature.nist import PROBLEMS, digits, residuals, starts


def sum_of_squares(name):
    return lambda b: ops.sum(residuals(name)(b) ** 2)


@pytest.mark.once
def test_levenberg_marquardt_reaches_four_digits_from_50_of_54_starts_of_nist():
    right, ends = 0, []
    for name, problem in PROBLEMS.items():
        minimize = Minimizer(residuals(name), "levenberg_marquardt")
        for start in starts(name):
            result = minimize(start)
            reached = digits(name, result.x) >= 4
            right += reached
            if reached and not result.success:
                ends.append((name, result.message))
            if reached:
                assert 2 * result.fun == pytest.approx(
                    problem["residual_sum_of_squares"], rel=1e-6, abs=1e-20
                )
    assert right >= 50
    assert not ends


@pytest.mark.parametrize("name", ["Hahn1", "MGH17"])
def test_levenberg_marquardt_fits_rational_functions_and_sums_of_exponentials(name):
    result = kol.minimize(residuals(name), starts(name)[1], "levenberg_marquardt")
    assert result.success, result.message
    assert digits(name, result.x) >= 6


def test_newton_reaches_the_minimum_of_meyers_function_and_claims_none_before():
    """Its three coordinates differ by six orders of magnitude, its curvatures by twice as many."""
    minimize, start = Minimizer(sum_of_squares("MGH10"), "newton"), [0.02, 4000.0, 250.0]
    result = minimize(start)
    assert result.success, result.message
    assert result.fun == pytest.approx(87.945855, rel=1e-6)
    assert digits("MGH10", result.x) >= 6
    early = minimize(start, steps=result.nit // 2)
    assert (early.status, early.success) == ("steps", False)
    assert early.fun > 100.0


@pytest.mark.once("torch")
@pytest.mark.parametrize("size", [1e-12, 1e12])
@pytest.mark.parametrize("optimizer", ["newton", "newton_cg", "lbfgs", "levenberg_marquardt"])
def test_a_minimum_is_one_in_whatever_units_the_function_is_measured(optimizer, size):
    units = [1.0, 1.0] if optimizer == "newton_cg" else [1e-3, 1e3]

    def residuals(x):
        x = x / ops.cast(units, x.dtype)
        return ops.stack([10.0 * (x[1] - x[0] ** 2), 1.0 - x[0], 1.0 + 0.0 * x[0]])

    def fun(x):
        r = residuals(x) * size**0.5
        return r if optimizer == "levenberg_marquardt" else ops.sum(r**2)

    result = kol.minimize(fun, np.multiply(BANANA, units), optimizer)
    assert result.success, result.message
    np.testing.assert_allclose(result.x, units, rtol=1e-4)


@pytest.mark.once("torch")
@pytest.mark.parametrize("tolerance", ["ftol", "xtol", "gtol"])
@pytest.mark.parametrize("optimizer", ["newton", "lbfgs"])
def test_each_tolerance_ends_a_minimization_alone_and_says_so(optimizer, tolerance):
    limits = {**ALL_STEPS, tolerance: 1e-4}
    result = kol.minimize(lambda x: 1.0 + rosenbrock(x), BANANA, optimizer, **limits)
    assert (result.status, result.success) == (tolerance, True)
    assert tolerance in result.message
    np.testing.assert_allclose(result.x, 1.0, atol=2e-2)


@pytest.mark.parametrize("optimizer", ["lbfgs", "newton"])
def test_the_defaults_suit_float32_and_a_minimum_is_recognized_again(optimizer):
    minimize = Minimizer(lambda x: 1.0 + rosenbrock(x), optimizer)
    result = minimize(np.array(BANANA, "float32"))
    assert result.success, result.message
    np.testing.assert_allclose(result.x, 1.0, atol=1e-2)
    again = minimize(result.x)
    assert again.success, again.message
    assert again.nit < result.nit


@pytest.mark.once("torch")
def test_where_rounding_hides_every_decrease_the_curvature_has_the_last_word():
    def fun(x):
        return 1.0 + rosenbrock(x)

    def bent_up(x):  # its gradient promises a decrease that is none
        return fun(x) + ops.sum(x - ops.stop_gradient(x))

    found = kol.minimize(fun, BANANA, "newton", **ALL_STEPS)
    assert (found.status, found.success) == ("precision", True)
    lost = kol.minimize(bent_up, BANANA, "newton", **ALL_STEPS)
    assert (lost.status, lost.success) == ("no decrease", False)


def stiff(x):
    return 1.0 + ops.sum(ops.cast([1e10, 1.0], x.dtype) * (x - 1.0) ** 2) / 2.0


@pytest.mark.once("torch")
def test_a_first_order_method_succeeds_at_a_minimum_and_not_where_its_steps_are_short():
    descent = kol.optimizers.GradientDescent(0.1)
    result = kol.minimize(lambda x: 1.0 + ops.sum((x - 3.0) ** 2), [1.0, 7.0], descent)
    assert result.success, result.message
    np.testing.assert_allclose(result.x, 3.0, rtol=1e-5)
    short = kol.minimize(stiff, [2.0, 2.0], kol.optimizers.GradientDescent(1e-10), steps=100)
    assert (short.status, short.success) == ("steps", False)


@pytest.mark.once("torch")
def test_steps_that_have_converged_above_their_best_point_are_no_success():
    def well(x):  # a deep and narrow one at 0, from which the first step leads away
        return ops.sum((x - 3.0) ** 2 / 2.0 - 10.0 * ops.exp(-((x / 0.1) ** 2)))

    result = kol.minimize(well, [0.05], kol.optimizers.GradientDescent(0.04))
    assert (result.status, result.success) == ("higher", False)
    assert result.fun == result.path.fun.min() < -1.0
    assert result.path.x[-1] == pytest.approx(3.0, abs=1e-4)


@pytest.mark.once("torch")
def test_a_search_that_ends_before_it_has_found_a_minimum_goes_on_with_the_next_step():
    """Its 20 trials reach 4²⁰ times the first length, which is too short here."""
    result = kol.minimize(lambda x: ops.sum((x - 1.0) ** 2), [0.0, 9.0], kol.LBFGS(1e-11))
    assert result.success, result.message
    np.testing.assert_allclose(result.x, 1.0, atol=1e-8)


def line(x):
    return ops.sum(x)


@pytest.mark.parametrize("optimizer", ["lbfgs", "newton"])
def test_a_function_without_a_minimum_is_called_unbounded(optimizer):
    result = kol.minimize(line, [-1.0, 1e-3], optimizer)
    assert (result.status, result.success) == ("unbounded", False)
    assert "seems to be unbounded below" in result.message
    assert np.isfinite(result.fun)


@pytest.mark.once("torch")
@pytest.mark.parametrize(
    ("fun", "optimizer"),
    [
        (line, "newton_cg"),
        (saddle, "lbfgs"),
        (saddle, "newton_cg"),
        (saddle, kol.Newton(saddle_free=True)),
        (lambda x: ops.sum(x**3), "lbfgs"),
        (lambda x: ops.sum(x**3), "newton"),
        (lambda x: ops.sum(x**3), kol.optimizers.GradientDescent(0.1)),
        (lambda x: x[0] ** 2 - x[1], "newton"),
        (lambda x: -ops.sum(ops.exp(x)), "lbfgs"),
    ],
)
def test_functions_without_a_minimum_are_called_unbounded_by_every_method(fun, optimizer):
    result = kol.minimize(fun, [-1.0, 1e-3], optimizer)
    assert (result.status, result.success) == ("unbounded", False), result


@pytest.mark.once("torch")
def test_a_function_that_falls_towards_the_edge_of_its_domain_is_not_called_unbounded():
    result = kol.minimize(lambda x: ops.sum(ops.sqrt(1.0 - x)), [0.0, 0.5], "lbfgs")
    assert not result.success
    assert result.status != "unbounded"
