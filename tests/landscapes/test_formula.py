"""A formula computes what it says, and says what it cannot read."""

import math

import numpy as np
import pytest
from keras import ops

from keras_optim_lab.landscapes.formula import CONSTANTS, FUNCTIONS, Formula, FormulaError


def at(text, *point):
    return float(ops.convert_to_numpy(Formula(text)(ops.convert_to_tensor(point, "float32"))))


@pytest.mark.parametrize(
    ("text", "point", "value"),
    [
        ("x**2", (-3.0,), 9.0),
        ("(1 - x)**2 + 100*(y - x**2)**2", (-1.2, 1.0), 24.2),
        ("-x**2 + +y", (2.0, 1.0), -3.0),
        ("x1*x3 - x2/4", (2.0, 8.0, 3.0), 4.0),
        ("2**x + x**0.5", (4.0,), 18.0),
        ("z - y", (1.0, 5.0), 4.0),
        ("sin(pi/2)*x + log(e)", (2.0,), 3.0),
        ("x\n  + 1", (2.0,), 3.0),
    ],
)
def test_a_formula_computes_what_it_says(text, point, value):
    assert at(text, *point) == pytest.approx(value, rel=1e-5)


def test_every_function_is_that_of_its_name():
    for name, (of_number, _) in FUNCTIONS.items():
        assert at(f"{name}(x) + {name}(0.5)", 0.5) == pytest.approx(2 * of_number(0.5), rel=1e-5)


def test_points_are_the_last_axis():
    points = np.arange(12, dtype="float32").reshape(2, 3, 2)
    values = ops.convert_to_numpy(Formula("x - 2*y")(points))
    np.testing.assert_allclose(values, points[..., 0] - 2 * points[..., 1])


# What is no formula. None of it depends on the backend.


def refused(text):
    with pytest.raises(FormulaError) as error:
        Formula(text)
    message = str(error.value)
    assert all(name in message for name in (*FUNCTIONS, *CONSTANTS, "x1", "**"))
    return message


@pytest.mark.once
@pytest.mark.parametrize(
    ("text", "what", "marked"),
    [
        ("x**2 + sinn(y)", "unknown function 'sinn'", "sinn(y)"),
        ("x + foo", "unknown name 'foo'", "foo"),
        ("x^2", "no power here: write **", "x^2"),
        ("x + y.real", "what is no arithmetic", "y.real"),
        ("x + (lambda: 1)()", "what is no arithmetic", "(lambda: 1)()"),
        ("x + [1][0]", "what is no arithmetic", "[1][0]"),
        ("x if x else 1", "what is no arithmetic", "x if x else 1"),
        ("'a'*x", "what is no arithmetic", "'a'"),
        ("x + True", "what is no arithmetic", "True"),
        ("x + 1j", "what is no arithmetic", "1j"),
        ("sin(x, 2)", "sin other than one argument", "sin(x, 2)"),
        ("sin(a=x)", "sin other than one argument", "sin(a=x)"),
        ("x + x1", "mixes", "x1"),
        ("x + 1/0", "no finite number", "1/0"),
        ("x + log(0)", "no finite number", "log(0)"),
        ("x + (0-8)**0.5", "no finite number", "(0-8)**0.5"),
        ("x*9**9**9", "no finite number", "9**9**9"),
        ("1 + 2", "has no variable", "1 + 2"),
        ("x +", "cannot be read", None),
        ("", "cannot be read", None),
    ],
)
def test_what_is_no_formula_is_shown_at_its_place_with_all_that_is_accepted(text, what, marked):
    message = refused(text)
    assert what in message
    if marked is not None:
        _, shown, marks, _ = message.split("\n")
        start = marks.index("^")
        assert shown[start : start + marks.count("^")] == marked


@pytest.mark.once
def test_near_names_are_offered():
    assert "Did you mean 'sin'" in refused("sinn(x)")
    assert "Did you mean 'pi'" in refused("x * pii")


@pytest.mark.once
@pytest.mark.parametrize(
    "text", ["__import__('os').system('true')", "x.__class__", "open('a')", "exec('1')", "(x := 1)"]
)
def test_code_is_refused(text):
    refused(text)


@pytest.mark.once
@pytest.mark.parametrize(
    "text", ["x" + "+x" * 400, "(" * 300 + "x" + ")" * 300, "-" * 900 + "x", "x" * 2000]
)
def test_a_formula_that_is_too_deep_or_too_long_is_refused(text):
    with pytest.raises(FormulaError, match=r"nested too deep|cannot be read|at most 1000"):
        Formula(text)


@pytest.mark.once
def test_large_powers_of_numbers_take_no_time_and_no_memory():
    assert math.isclose(at("x + 16000000**3 / 16000000**3", 1.0), 2.0)
    refused("x + 9**16000000")


@pytest.mark.once
def test_a_point_of_another_dimension_is_refused():
    with pytest.raises(ValueError, match=r"takes 2 numbers, for x, y\. Received: .* shape \(3,\)"):
        Formula("x*y")(np.zeros(3, "float32"))
    with pytest.raises(TypeError, match="A function is text"):
        Formula(3)
