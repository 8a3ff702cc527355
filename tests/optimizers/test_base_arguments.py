"""What Keras's base arguments do around a step: clipping, accumulation, averages, weight decay."""

from contextlib import ExitStack

import keras
import numpy as np
import pytest
from keras import ops

from keras_optim_lab.optimizers import (
    Adam,
    AdamW,
    GradientDescent,
)
from tests.optimizers.conftest import HALF, rounded
from tests.optimizers.table import CASES

# Clipping.


def clip(step, *, clipnorm=None, clipvalue=None, global_clipnorm=None):
    if clipvalue:
        return [np.clip(g, -clipvalue, clipvalue) for g in step]
    norms = [np.sqrt(np.sum(np.square(g, dtype="float64"))) for g in step]
    if global_clipnorm:
        norms = [np.sqrt(np.sum(np.square(norms)))] * len(step)
    largest = clipnorm or global_clipnorm
    return [
        (g * min(1.0, largest / norm)).astype("float32")
        for g, norm in zip(step, norms, strict=True)
    ]


@pytest.mark.shell
@pytest.mark.parametrize("kind", ["clipnorm", "clipvalue", "global_clipnorm"])
def test_clipping_equals_clipping_by_hand(case, kind, walk, start, gradients, assert_same_path):
    largest = {kind: 0.5}
    path = walk(case.make(**largest), start, gradients[:2])
    by_hand = [clip(step, **largest) for step in gradients[:2]]
    assert_same_path(path, walk(case.make(), start, by_hand))


@pytest.mark.parametrize("kind", ["clipnorm", "global_clipnorm"])
def test_float16_gradients_whose_norm_float16_cannot_hold_are_clipped_right(kind, walk, start):
    step = [np.full_like(w, 2.0**12) for w in start]
    largest = {kind: 0.5}
    optimizer = GradientDescent(1.0, **largest)
    weights = rounded(start, "float16")
    half = [g.astype("float16") for g in step]
    after = walk(optimizer, weights, [half], dtype="float16")[-1]
    expected = [w - g for w, g in zip(weights, clip(step, **largest), strict=True)]
    for weight, other in zip(after, rounded(expected, "float16"), strict=True):
        np.testing.assert_array_equal(weight, other)


# Accumulation.


@pytest.mark.shell
def test_three_accumulated_gradients_equal_their_mean(
    case, walk, start, gradients, assert_same_path
):
    accumulating = case.make(gradient_accumulation_steps=3, weight_decay=0.1)
    path = walk(accumulating, start, gradients)
    means = [
        [np.mean(parts, axis=0) for parts in zip(*gradients[i : i + 3], strict=True)]
        for i in (0, 3)
    ]
    plain = case.make(weight_decay=0.1)
    expected = walk(plain, start, means)
    assert_same_path([path[2], path[5]], expected)
    assert_same_path(path[:2], [start, start], rtol=0, atol=0)
    assert_same_path(path[3:5], [path[2]] * 2, rtol=0, atol=0)
    assert int(accumulating.iterations) == int(plain.iterations) == 2
    for name, shared in plain._shared_variables.items():
        np.testing.assert_allclose(
            float(accumulating._shared_variables[name]), float(shared), rtol=1e-6
        )


@pytest.mark.parametrize("kind", ["clipnorm", "clipvalue", "global_clipnorm"])
def test_the_mean_of_accumulated_gradients_is_clipped(kind, walk, start, gradients):
    largest = {kind: 0.5}
    optimizer = GradientDescent(1.0, gradient_accumulation_steps=2, **largest)
    path = walk(optimizer, start, gradients[:2])
    mean = [np.mean(parts, axis=0) for parts in zip(*gradients[:2], strict=True)]
    expected = start[0] - clip(mean, **largest)[0]
    np.testing.assert_allclose(path[1][0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", HALF)
def test_gradients_of_half_precision_weights_are_accumulated_in_float32(dtype, walk):
    parts = [1.0, 2**-12, -1.0]  # in half precision, 1 + 2⁻¹² − 1 = 0
    gradients = [[ops.cast(np.array([g], "float32"), dtype)] for g in parts]
    optimizer = GradientDescent(3.0 * 2**12, gradient_accumulation_steps=3)
    path = walk(optimizer, [np.array([2.0], "float32")], gradients, dtype=dtype)
    np.testing.assert_allclose(path[-1][0], [1.0], rtol=1e-6)


def test_schedules_count_micro_steps_while_debiasing_counts_updates(walk, start, gradients):
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([2, 3], [1.0, 0.25, 0.5])
    optimizer = GradientDescent(schedule, gradient_accumulation_steps=2)
    same = [gradients[0]] * 4
    path = walk(optimizer, start, same)
    np.testing.assert_allclose(path[1][0], start[0] - 1.0 * gradients[0][0], rtol=1e-5)
    np.testing.assert_allclose(path[3][0], path[1][0] - 0.25 * gradients[0][0], rtol=1e-5)


# The moving average of the weights.


@pytest.mark.shell
@pytest.mark.parametrize("dtype", ["float32", *HALF])
def test_the_average_of_the_weights_equals_its_formula(case, dtype, walk, start, gradients):
    optimizer = case.make(use_ema=True, ema_momentum=0.75)
    path = walk(optimizer, start, gradients[:3], dtype=dtype)
    for i, average in enumerate(optimizer._model_variables_moving_average):
        expected = path[0][i]
        for after in path[1:]:
            expected = 0.75 * expected + 0.25 * after[i]
        assert average.dtype == "float32"
        np.testing.assert_allclose(average, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", *HALF])
def test_weights_are_overwritten_by_their_average_every_so_many_steps(dtype, walk, start):
    optimizer = GradientDescent(0.5, use_ema=True, ema_momentum=0.75, ema_overwrite_frequency=3)
    ones = [np.ones_like(w) for w in start]
    begin = [np.full_like(w, 4.0) for w in start]
    path = walk(optimizer, begin, [ones] * 4, dtype=dtype)
    third = 0.75 * (0.75 * 3.5 + 0.25 * 3.0) + 0.25 * 2.5
    for after, expected in zip(path, [3.5, 3.0, third, third - 0.5], strict=True):
        np.testing.assert_array_equal(after[0], rounded([np.float32(expected)], dtype)[0])


def test_accumulated_steps_count_once_in_the_average(walk, start, gradients):
    optimizer = Adam(0.1, use_ema=True, ema_momentum=0.75, gradient_accumulation_steps=3)
    path = walk(optimizer, start, gradients * 2)
    average = optimizer._model_variables_moving_average[0]
    expected = path[2][0]
    for i in (5, 8, 11):
        expected = 0.75 * expected + 0.25 * path[i][0]
    np.testing.assert_allclose(average, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_fit_ends_on_the_average(dtype, make_model, data, arrays):
    optimizer = GradientDescent(0.1, use_ema=True, ema_momentum=0.5)
    model = make_model(optimizer, dtype=dtype)
    model.fit(*data, batch_size=4, epochs=2, verbose=0)
    for weight, average in zip(
        model.trainable_variables, optimizer._model_variables_moving_average, strict=True
    ):
        assert average.dtype == "float32"
        np.testing.assert_array_equal(
            ops.convert_to_numpy(ops.cast(weight, "float32")),
            rounded([ops.convert_to_numpy(average)], dtype)[0],
        )
    assert np.any(arrays(optimizer._model_variables_moving_average)[0] != 0.0)


# Weight decay.


@pytest.mark.shell
@pytest.mark.parametrize(
    "case", [case for case in CASES if case.decays_plainly], ids=lambda case: case.id
)
def test_weight_decay_is_subtracted_beside_the_step(case, walk, start, gradients):
    eta, decay = 0.125, 0.25
    plain = [start, *walk(case.make(learning_rate=eta, weight_decay=0.0), start, gradients[:3])]
    decayed = walk(case.make(learning_rate=eta, weight_decay=decay), start, gradients[:3])
    weights = start
    for i, after in enumerate(decayed):
        steps = [old - new for old, new in zip(plain[i], plain[i + 1], strict=True)]
        weights = [w - s - eta * decay * w for w, s in zip(weights, steps, strict=True)]
        for weight, expected in zip(after, weights, strict=True):
            np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("exclusion", "left_out"),
    [
        (lambda model: {"var_list": [model.layers[0].kernel]}, {"hidden/kernel"}),
        (lambda model: {"var_names": ["bias"]}, {"hidden/bias", "head/bias"}),
        (
            lambda model: {"var_names": ["hidden/"]},
            {"hidden/kernel", "hidden/bias"},
        ),
        (lambda model: {"var_names": ["head/.*kernel$"]}, {"head/kernel"}),
        (
            lambda model: {"var_list": [model.layers[1].bias], "var_names": ["hidden/kernel"]},
            {"hidden/kernel", "head/bias"},
        ),
    ],
    ids=["variable", "name", "layer-path", "pattern", "both"],
)
def test_weights_are_left_out_of_decay_by_variable_name_or_layer_path(
    exclusion, left_out, make_model, tmp_path, arrays
):
    model = make_model()
    for variable in model.trainable_variables:
        variable.assign(ops.ones(variable.shape))
    optimizer = AdamW(0.5, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(**exclusion(model))
    model.compile(optimizer, "mse")

    def kept(model):
        model.optimizer.build(model.trainable_variables)
        before = arrays(model.trainable_variables)
        model.optimizer.apply(
            [ops.zeros(v.shape) for v in model.trainable_variables], model.trainable_variables
        )
        after = arrays(model.trainable_variables)
        for old, new in zip(before, after, strict=True):
            assert np.all(new == old) or np.allclose(new, 0.75 * old)
        return {
            "/".join(v.path.split("/")[-2:])
            for v, old, new in zip(model.trainable_variables, before, after, strict=True)
            if np.all(new == old)
        }

    model.save(tmp_path / "fresh.keras")
    assert kept(model) == left_out
    model.save(tmp_path / "built.keras")
    for name in ["fresh", "built"]:
        assert kept(keras.saving.load_model(tmp_path / f"{name}.keras")) == left_out


def variables(paths):
    made = []
    for path in paths:
        *scopes, name = path.split("/")
        with ExitStack() as stack:
            for scope in scopes:
                stack.enter_context(keras.name_scope(scope))
            made.append(keras.Variable(np.ones(2), name=name))
    return made


@pytest.mark.once("torch")
@pytest.mark.parametrize(
    ("saved", "loaded"),
    [
        (lambda path: path, lambda path: path),
        (lambda path: f"net/{path}", lambda path: path),
        (lambda path: path, lambda path: f"net/{path}"),
    ],
    ids=["kept", "lost", "new"],
)
@pytest.mark.parametrize("left_out", [["dense/kernel"], ["encoder/dense/kernel", "bias"]])
def test_a_model_that_loses_its_name_decays_the_same_weights(saved, loaded, left_out):
    paths = ["dense/kernel", "encoder/dense/kernel", "encoder/encoder/dense/kernel", "bias"]
    before, after = (variables(map(named, paths)) for named in (saved, loaded))
    optimizer = AdamW()
    optimizer.exclude_from_weight_decay([before[paths.index(path)] for path in left_out])
    again = AdamW.from_config(optimizer.get_config())
    again.build(after)
    found = [path for path, w in zip(paths, after, strict=True) if not again._use_weight_decay(w)]
    assert found == [path for path in paths if path in left_out]


def test_leaving_weights_out_of_decay_after_build_is_an_error(walk, start):
    optimizer = AdamW()
    walk(optimizer, start, [])
    with pytest.raises(ValueError, match=r"after the optimizer was built.*Call it before `fit`"):
        optimizer.exclude_from_weight_decay(var_names=["bias"])


# Constraints.


@pytest.mark.shell
def test_constraints_hold_after_every_step(case, walk, start, gradients):
    path = walk(
        case.make(learning_rate=0.5), start, gradients[:2], constraint=keras.constraints.NonNeg()
    )
    free = walk(case.make(learning_rate=0.5), start, gradients[:1])
    np.testing.assert_allclose(path[0][0], np.maximum(free[0][0], 0.0), rtol=1e-6)
    assert all(np.min(w) >= 0.0 for after in path for w in after)
