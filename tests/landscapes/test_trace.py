"""A trace shows what the optimizer's own rule computes, and the numbers of a hand-worked table."""

import csv
import io
import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_optim_lab import optimizers
from keras_optim_lab.functional import Functional
from keras_optim_lab.landscapes.trace import trace
from tests.optimizers.table import CASES


def test_adam_on_a_parabola_is_the_table_worked_by_hand():
    table = trace(optimizers.Adam(0.1), "x**2", 0.5, steps=60)
    first = {name: np.ravel(value)[0] for name, value in table.rows[0].items()}
    assert first == pytest.approx(
        {
            "t": 1,
            "f": 0.25,
            "g": 1.0,
            "momentum": 0.1,
            "velocity": 0.001,
            "momentum_corrected": 1.0,
            "velocity_corrected": 1.0,
            "step": 0.1,
            "theta": 0.4,
        },
        abs=1e-8,
    )
    assert table.symbols == ["t", "f", "g", "m", "v", "m̂", "v̂", "step", "θ"]
    assert len(table.rows) == 60
    assert abs(table["theta"][-1]) < 0.1


def test_two_given_gradients_give_the_moments_worked_by_hand():
    # The slope is 2 at the start and 1.8 after Adam's first step, whose length is η = 0.1.
    table = trace(optimizers.Adam(0.1), lambda x: 2.0 * x + (1.0 - x) ** 2, 1.0, steps=2)
    assert table["g"] == pytest.approx([2.0, 1.8], abs=1e-8)
    assert table["momentum"] == pytest.approx([0.2, 0.36], abs=1e-8)
    assert table["velocity"] == pytest.approx([0.004, 0.007236], abs=1e-8)
    assert table["momentum_corrected"] == pytest.approx([2.0, 0.36 / 0.19], abs=1e-7)
    assert table["velocity_corrected"] == pytest.approx([4.0, 0.007236 / 0.001999], abs=1e-7)
    assert table["momentum_corrected"] / table["momentum"] == pytest.approx([10, 1 / 0.19])


@pytest.mark.shell
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_every_optimizer_is_traced_to_the_points_of_its_oracle(case):
    table = trace(case.make(), "(x - 1)**4 + (y + 2)**4", [0.5, 0.25], steps=4)
    oracle, slots = case.expected(), {}
    w = np.array([0.5, 0.25])
    for t, row in enumerate(table.rows, 1):
        g = 4 * (w - np.array([1.0, -2.0])) ** 3
        assert row["g"] == pytest.approx(g, rel=1e-6)
        w, slots = oracle.next(w, g, slots, t)
        assert row["theta"] == pytest.approx(w, rel=1e-6)
    assert {slot.name for slot in table.optimizer.active_slots} <= set(table.columns)


def test_hyperparameters_enter_a_trace_with_all_their_digits():
    table = trace(optimizers.GradientDescent(0.01), "x**2 / 2", 1.0, steps=1)
    assert table["theta"].tolist() == [[0.99]]


def test_the_trace_takes_the_steps_of_the_optimizer_and_leaves_it_as_it_was():
    optimizer = optimizers.Nadam(0.05)
    table = trace(optimizer, "x**2 + y**4", [1.0, -1.0], steps=3)
    functional = Functional(optimizer)
    w = ops.convert_to_tensor([1.0, -1.0])
    state = functional.init([w])
    for g, theta in zip(table["g"], table["theta"], strict=True):
        (w,), state = functional.update([w], [ops.convert_to_tensor(g, "float32")], state)
        assert ops.convert_to_numpy(w) == pytest.approx(theta, rel=1e-5)
    assert "rule" not in vars(optimizer)
    assert "prepare" not in vars(optimizer)


def test_scalars_that_a_method_prepares_and_values_that_its_rule_notes_are_columns():
    radam = trace(optimizers.RAdam(0.1), "x**2", 1.0, steps=6)
    assert radam["scaled"].tolist() == [False] * 4 + [True] * 2
    assert np.all(radam["rectification"][4:] < 1)
    bound = trace(optimizers.AdaBound(0.1), "x**2", 1.0, steps=3)
    rate = np.ravel(bound["rate"])
    assert np.all((bound["lower"] <= rate) & (rate <= bound["upper"]))
    assert np.ravel(bound["step"]) == pytest.approx(rate * np.ravel(bound["momentum"]))


def test_a_schedule_is_a_column():
    falling = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=1, decay_rate=0.5)
    table = trace(optimizers.GradientDescent(falling), "x**2", 1.0, steps=3)
    assert table["learning_rate"] == pytest.approx([0.1, 0.05, 0.025])
    assert np.ravel(table["step"]) == pytest.approx(table["learning_rate"] * np.ravel(table["g"]))


def test_newton_is_traced_to_the_minimum_of_a_parabola_and_beyond_it_where_that_lies():
    table = trace("newton", "x**4 - x", 1.0, steps=3)
    x = 1.0
    for row in table.rows:
        x -= (4 * x**3 - 1) / (12 * x**2)
        assert float(row["theta"][0]) == pytest.approx(x, rel=1e-9)
    assert table["products"].tolist() == [1, 1, 1]
    lbfgs = trace("lbfgs", "x**2 + 10*y**2", [1.0, 1.0], steps=3)
    assert np.all(lbfgs["evaluations"] >= 1)
    assert np.all(np.diff(lbfgs["f"]) < 0)


# What it is written as.


@pytest.fixture(scope="module")
def short():
    return trace(optimizers.Momentum(0.1), "x**2 + 3*y", [0.5, 1.0], steps=2)


@pytest.mark.once
def test_csv_has_a_column_for_each_component_and_every_digit(short):
    header, *lines = csv.reader(io.StringIO(short.to_csv()))
    assert header == [
        *("t", "f", "g_x", "g_y", "momentum_x", "momentum_y"),
        *("step_x", "step_y", "theta_x", "theta_y"),
    ]
    assert [float(cell) for cell in lines[1][-2:]] == short["theta"][1].tolist()


@pytest.mark.once
def test_json_holds_all_that_the_trace_holds(short):
    read = json.loads(short.to_json())
    assert read["optimizer"] == repr(short.optimizer)
    assert read["function"] == "x**2 + 3*y"
    assert read["start"] == [0.5, 1.0]
    assert [row["theta"] for row in read["rows"]] == short["theta"].tolist()


@pytest.mark.once
def test_json_of_a_run_that_diverges_is_valid():
    table = trace(optimizers.GradientDescent(1e200), "x**4", 1.0, steps=4)
    assert not np.isfinite(table["f"]).all()
    json.loads(table.to_json(), parse_constant=pytest.fail)


@pytest.mark.once
def test_markdown_is_a_table_with_papers_symbols_and_vectors_in_one_cell(short):
    lines = short.to_markdown(4).splitlines()
    assert lines[0] == "| t | f | g | m | step | θ |"
    assert lines[2] == "| 1 | 3.25 | 1<br>3 | 0.1<br>0.3 | 0.01<br>0.03 | 0.49<br>0.97 |"


@pytest.mark.once
def test_printed_it_is_the_table_of_the_command(short):
    what, where, _, header, *rows = str(short).splitlines()
    assert what == repr(short.optimizer)
    assert where == "on x**2 + 3*y from (0.5, 1)"
    assert header.split() == short.symbols
    assert [row.split()[:3] for row in rows[::2]] == [["1", "3.25", "1"], ["2", "3.1501", "0.98"]]


@pytest.mark.once
def test_what_cannot_be_traced_is_said():
    with pytest.raises(ValueError, match=r"`steps` must be a whole number ≥ 1.*Received: steps=0"):
        trace("adam", "x**2", 1.0, steps=0)
    with pytest.raises(ValueError, match=r"≤ 100,000, all of which are kept"):
        trace("adam", "x**2", 1.0, steps=10**12)
    for start in ("a", 10**400, object()):
        with pytest.raises(TypeError, match="`start` must be a number or an array of numbers"):
            trace("adam", "x**2", start)
    with pytest.raises(TypeError, match=r"`fun` must be a formula .* Received: fun=5"):
        trace("adam", 5, 1.0)
    with pytest.raises(ValueError, match=r"must be finite at the start. Received: -inf at \[0.0\]"):
        trace("adam", "log(x)", 0.0)
    with pytest.raises(ValueError, match=r"must return a scalar tensor. Received: .* shape \(2,\)"):
        trace("adam", lambda x: x**2, [1.0, 2.0])
    with pytest.raises(ValueError, match="no optimizer 'adamm'"):
        trace("adamm", "x**2", 1.0)
    with pytest.raises(ValueError, match="takes 1 numbers, for x"):
        trace("adam", "x**2", [1.0, 2.0])
