"""Schedules are their formula, on any backend, and survive being saved."""

import math
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

import keras_optim_lab as kol
from keras_optim_lab.schedules import (
    DECAYS,
    InverseSquareRoot,
    OneCycle,
    WarmupDecay,
    WarmupStableDecay,
    factor,
)
from tests.frameworks import compiled, mapped

SHAPES = [
    *((1, 0.0), (1, 0.9), (2, 0.5), (3, 0.9), (10, 0.0), (10, 0.1), (10, 0.25), (10, 0.99)),
    *((64, 0.3), (1000, 0.05), (100_000, 0.0), (100_000, 0.1)),
]


def share(i, steps, warmup, decay):
    """`factor` in plain float64, written from the class's docstring."""
    risen = warmup * steps
    if i + 1 < risen:
        return (i + 1) / risen
    k = min(max(i - risen, 0.0), steps - risen) / (steps - risen)
    falls = {"constant": 1.0, "linear": 1.0 - k, "cosine": 0.5 * (1.0 + math.cos(math.pi * k))}
    return falls[decay]


def some_iterations(steps):
    around = np.linspace(0, steps, 23).astype(int)
    every = {i + near for i in [*around, steps] for near in (-2, -1, 0, 1, 2)}
    return sorted(i for i in every if i >= 0)


def rates(schedule, iterations):
    return [float(ops.convert_to_numpy(schedule(ops.cast(i, "int32")))) for i in iterations]


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize(("steps", "warmup"), SHAPES)
def test_a_schedule_is_its_formula_at_every_step(steps, warmup, decay):
    iterations = some_iterations(steps)
    found = rates(WarmupDecay(0.5, steps, warmup, decay), iterations)
    expected = [0.5 * share(i, steps, warmup, decay) for i in iterations]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize(("steps", "warmup"), SHAPES)
def test_every_step_of_the_training_has_a_rate_and_none_is_above_the_peak(steps, warmup, decay):
    found = rates(WarmupDecay(1.0, steps, warmup, decay), some_iterations(steps))
    inside = [r for i, r in zip(some_iterations(steps), found, strict=True) if i < steps]
    assert min(inside) > 0
    assert max(found) <= 1


def test_the_numbers_of_a_short_schedule():
    schedule = WarmupDecay(1.0, steps=8, warmup=0.5, decay="linear")
    expected = [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    assert rates(schedule, range(10)) == pytest.approx(expected)


@pytest.mark.parametrize(("decay", "end"), [("constant", 1.0), ("linear", 0.0), ("cosine", 0.0)])
def test_after_its_steps_a_schedule_stays_at_its_end(decay, end):
    assert rates(WarmupDecay(1.0, 10, 0.2, decay), [10, 11, 1000]) == [end] * 3


def test_without_warmup_and_decay_the_rate_is_the_peak():
    assert rates(WarmupDecay(0.3, 10), range(12)) == pytest.approx([0.3] * 12)


def test_the_last_steps_of_a_long_cosine_keep_their_digits():
    steps = 1_000_000
    (found,) = rates(WarmupDecay(1.0, steps, decay="cosine"), [steps - 1])
    assert found == pytest.approx(math.sin(math.pi / 2 / steps) ** 2, rel=1e-5)


def test_the_factor_is_float32_for_integers_and_floats_alike():
    for i in (3, 3.0, ops.cast(3, "int32"), ops.cast(3, "float32")):
        for decay in (2, ops.cast(2, "int32")):
            found = factor(i, 10, 0.2, decay)
            assert keras.backend.standardize_dtype(found.dtype) == "float32"
            assert float(found) == pytest.approx(share(3, 10, 0.2, "cosine"), rel=1e-5)


TRIALS = [
    (i, steps, warmup, code)
    for code in range(len(DECAYS))
    for steps, warmup in ((10, 0.0), (10, 0.25), (64, 0.3))
    for i in (0, 1, 9, 63, 64)
]
DTYPES = ("int32", "float32", "float32", "int32")
SHARES = [share(i, steps, warmup, DECAYS[code]) for i, steps, warmup, code in TRIALS]


def test_one_compiled_program_serves_every_schedule():
    """Each argument is traced, none is a number that the program knows."""
    program = compiled(factor)
    found = [
        program(
            *(
                ops.convert_to_tensor(value, dtype)
                for value, dtype in zip(trial, DTYPES, strict=True)
            )
        )
        for trial in TRIALS
    ]
    np.testing.assert_allclose([float(f) for f in found], SHARES, rtol=1e-5, atol=1e-7)


def test_trials_of_different_schedules_share_a_vectorized_program():
    rows = ops.convert_to_tensor(np.array(TRIALS, "float32"))
    found = compiled(mapped(lambda row: factor(row[0], row[1], row[2], row[3])))(rows)
    np.testing.assert_allclose(ops.convert_to_numpy(found), SHARES, rtol=1e-5, atol=1e-7)
    columns = [rows[:, i] for i in range(4)]
    np.testing.assert_allclose(ops.convert_to_numpy(factor(*columns)), SHARES, rtol=1e-5, atol=1e-7)


# Other shapes.


@pytest.mark.parametrize("shape", ["linear", "sqrt"])
def test_a_stable_schedule_rises_stays_and_falls_in_its_last_share(shape):
    schedule = WarmupStableDecay(2.0, steps=20, warmup=0.2, decay=0.25, shape=shape)
    gone = np.arange(6) / 5
    fall = 2.0 * (1.0 - (np.sqrt(gone) if shape == "sqrt" else gone))
    expected = [0.5, 1.0, 1.5, 2.0, *[2.0] * 11, *fall, 0.0]
    np.testing.assert_allclose(rates(schedule, range(22)), expected, rtol=1e-5, atol=1e-6)


def test_a_stable_schedule_without_rise_and_fall_is_constant():
    assert rates(WarmupStableDecay(0.3, 5, decay=0.0), range(5)) == pytest.approx([0.3] * 5)


@pytest.mark.parametrize(("steps", "rise"), [(10, 0.3), (40, 0.5), (7, 0.3)])
def test_one_cycle_is_that_of_pytorch(steps, rise):
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.5, total_steps=steps, pct_start=rise, cycle_momentum=False
    )
    expected = []
    for _ in range(steps - 1):
        expected += theirs.get_last_lr()
        optimizer.step()
        theirs.step()
    expected += theirs.get_last_lr()
    found = rates(OneCycle(0.5, steps, rise), range(steps))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_one_cycle_turns_a_momentum_the_other_way_and_stays_at_its_end():
    schedule = OneCycle(0.85, 10, start=0.95, end=0.95)
    found = rates(schedule, [0, 1, 2, 9, 100])
    assert found == pytest.approx([0.95, 0.9, 0.85, 0.95, 0.95])
    optimizer = kol.optimizers.Adam(beta_1=schedule)
    assert optimizer.beta_1 == pytest.approx(0.95)
    optimizer.apply([ops.ones(2)], [keras.Variable(np.zeros(2, "float32"))])
    assert optimizer.beta_1 == pytest.approx(0.9)


def test_an_inverse_square_root_halves_in_four_times_the_steps():
    found = rates(InverseSquareRoot(0.5, warmup_steps=4), [0, 1, 3, 15, 63])
    assert found == pytest.approx([0.125, 0.25, 0.5, 0.25, 0.125])


@pytest.mark.parametrize(
    "schedule",
    [
        WarmupStableDecay(0.1, 10, 0.1, 0.3, "sqrt"),
        OneCycle(0.1, 10, 0.4, 0.01, 0.001),
        InverseSquareRoot(0.1, 7),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_every_schedule_comes_back_from_its_configuration(schedule):
    loaded = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert repr(loaded) == repr(schedule)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: WarmupStableDecay(-1.0, 10), ValueError, r"`learning_rate`.*-1\.0"),
        (lambda: WarmupStableDecay(1.0, 10, 0.5, 0.6), ValueError, r"`warmup` and `decay`.*0\.6"),
        (lambda: WarmupStableDecay(1.0, 10, shape="cosine"), ValueError, r"linear, sqrt.*cosine"),
        (lambda: OneCycle(1.0, 10, rise=1.0), ValueError, r"`rise` must be a number in \[0, 1\)"),
        (lambda: OneCycle(1.0, 0), ValueError, "`steps` must be a whole number ≥ 1"),
        (lambda: OneCycle(1.0, 10, start="x"), TypeError, "`start` must be a finite number"),
        (lambda: InverseSquareRoot(1.0, 2.5), TypeError, "`warmup_steps` must be a whole number"),
    ],
)
def test_a_wrong_argument_of_any_schedule_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


# In an optimizer.


def test_training_follows_the_schedule():
    """Gradients of one: a step is as long as the rate, so η adds up in the weight."""
    schedule = WarmupDecay(0.5, steps=6, warmup=0.5, decay="cosine")
    optimizer = kol.optimizers.GradientDescent(schedule)
    weight = keras.Variable(np.zeros(2, "float32"))
    for _ in range(8):
        optimizer.apply([ops.ones(2)], [weight])
    total = 0.5 * sum(share(i, 6, 0.5, "cosine") for i in range(8))
    np.testing.assert_allclose(ops.convert_to_numpy(weight), [-total] * 2, rtol=1e-5)


def test_the_configuration_makes_the_same_schedule():
    schedule = WarmupDecay(np.float64(0.25), np.int64(20), np.float32(0.5), "linear")
    again = WarmupDecay.from_config(schedule.get_config())
    assert again.get_config() == schedule.get_config()
    assert schedule.get_config() == {
        "learning_rate": 0.25,
        "steps": 20,
        "warmup": 0.5,
        "decay": "linear",
    }
    assert repr(again) == "WarmupDecay(learning_rate=0.25, steps=20, warmup=0.5, decay='linear')"


def test_an_optimizer_with_a_schedule_comes_back_from_its_configuration():
    optimizer = kol.optimizers.Adam(WarmupDecay(0.25, 20, 0.1, "cosine"))
    again = kol.optimizers.Adam.from_config(optimizer.get_config())
    assert repr(again) == repr(optimizer)
    assert "learning_rate=WarmupDecay(learning_rate=0.25, steps=20" in repr(again)


@pytest.mark.once("torch")
def test_a_saved_model_with_a_schedule_loads_where_only_the_optimizers_were_imported(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(kol.optimizers.Adam(WarmupDecay(0.25, 20, 0.1, "cosine")), "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    path = tmp_path / "model.keras"
    model.save(path)
    code = (
        "import keras, keras_optim_lab.optimizers; "
        f"print(keras.models.load_model({str(path)!r}).optimizer)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "WarmupDecay(learning_rate=0.25, steps=20, warmup=0.1, decay='cosine')" in run.stdout


# Bad input.


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"learning_rate": -1.0},
            ValueError,
            r"`learning_rate` must be a finite number ≥ 0.*-1\.0",
        ),
        ({"learning_rate": math.inf}, ValueError, r"learning_rate=inf"),
        ({"learning_rate": 10**400}, ValueError, r"learning_rate=10000"),
        ({"steps": 10**400}, ValueError, r"`steps` must be a whole number ≤ 9,2.*steps=10000"),
        ({"learning_rate": math.nan}, ValueError, r"learning_rate=nan"),
        ({"learning_rate": "0.1"}, TypeError, r"learning_rate='0\.1'"),
        ({"learning_rate": None}, TypeError, r"learning_rate=None"),
        (
            {"steps": 0},
            ValueError,
            r"`steps` must be .* ≥ 1, batches per epoch.*steps=0",
        ),
        ({"steps": 2.5}, TypeError, r"steps=2\.5"),
        ({"steps": True}, TypeError, r"steps=True"),
        ({"steps": None}, TypeError, r"steps=None"),
        ({"warmup": 1.0}, ValueError, r"`warmup` must be a number in \[0, 1\).*warmup=1\.0"),
        ({"warmup": -0.1}, ValueError, r"warmup=-0\.1"),
        ({"warmup": 10}, ValueError, r"share of the steps.*warmup=10"),
        ({"warmup": math.nan}, ValueError, r"warmup=nan"),
        ({"warmup": True}, TypeError, r"warmup=True"),
        ({"warmup": "0.1"}, TypeError, r"warmup='0\.1'"),
        (
            {"decay": "cosin"},
            ValueError,
            r"`decay` must be one of constant, linear, cosine.*'cosin'.*Did you mean 'cosine'",
        ),
        ({"decay": None}, TypeError, r"decay=None"),
        ({"decay": 2}, TypeError, r"decay=2"),
    ],
)
def test_a_wrong_argument_is_refused_with_what_is_accepted(change, error, message):
    with pytest.raises(error, match=f"WarmupDecay: .*{message}"):
        WarmupDecay(**{"learning_rate": 0.1, "steps": 10, **change})
