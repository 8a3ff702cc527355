"""Training as users do it: any dtype, Keras's base arguments, frozen layers, every kind of loop."""

from contextlib import ExitStack, nullcontext

import keras
import numpy as np
import pytest
from keras import ops

from keras_optim_lab import optimizers
from keras_optim_lab.optimizers import (
    SOAP,
    Adam,
    AdamW,
    GradientDescent,
    Lookahead,
    Momentum,
    RAdam,
    ScheduleFreeAdamW,
    groups,
)
from tests.frameworks import tensors
from tests.optimizers.conftest import as_array
from tests.optimizers.table import CASES

HALF = ["bfloat16", "float16"]


def rounded(arrays, dtype):
    """Arrays of float32 whose numbers `dtype` can hold."""
    return [ops.convert_to_numpy(ops.cast(ops.cast(a, dtype), "float32")) for a in arrays]


# Dtypes.


@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.shell), *HALF])
def test_every_optimizer_trains_weights_of_any_dtype(case, dtype, walk, start):
    def loss(weights):
        return sum(float(np.sum(np.square(w))) for w in weights)

    optimizer = case.make(learning_rate=case.fast)
    weights = rounded(start, dtype)
    for _ in range(6):
        gradients = [ops.cast(w, dtype) for w in weights]  # of half the sum of squares
        weights = walk(optimizer, weights, [gradients], dtype=dtype)[-1]
    assert loss(weights) < 0.7 * loss(start)
    for name, own in optimizer._slot_variables.items():
        held = dtype if name == "compensation" else "float32"
        assert all(slot is None or slot.dtype == held for slot in own)


@pytest.mark.parametrize("dtype", HALF)
def test_a_half_precision_step_is_the_float32_step_rounded_once(
    case, dtype, walk, start, gradients
):
    half, full = case.make(weight_decay=0.01, compensated=False), case.make(weight_decay=0.01)
    weights = rounded(start, dtype)
    for step in gradients[:2]:
        step = rounded(step, dtype)
        after = walk(half, weights, [[ops.cast(g, dtype) for g in step]], dtype=dtype)[-1]
        expected = rounded(walk(full, weights, [step])[-1], dtype)
        for weight, other in zip(after, expected, strict=True):
            np.testing.assert_array_equal(weight, other)
        weights = after


@pytest.fixture
def double_precision(backend):
    """JAX has float64 only on request."""
    if backend != "jax":
        return nullcontext
    import jax

    return lambda: jax.enable_x64(True)


@pytest.mark.shell
def test_float64_weights_are_trained_in_float64(
    case, walk, start, gradients, double_precision, assert_same_path
):
    single = walk(case.make(learning_rate=0.125, weight_decay=0.0), start, gradients[:2])
    start = [w.astype("float64") for w in start]
    gradients = [[g.astype("float64") for g in step] for step in gradients[:2]]
    with double_precision():
        optimizer = case.make(learning_rate=0.125, weight_decay=0.0)
        path = walk(optimizer, start, gradients, dtype="float64")
    assert path[0][0].dtype == "float64"
    assert all(v.dtype == "float64" for v in optimizer.variables if v.ndim > 0)
    assert_same_path(path, single, rtol=1e-4, atol=1e-5)
    assert any(np.any(w != w.astype("float32")) for w in path[-1])


@pytest.fixture
def dtype_policy():
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", *HALF])
def test_a_model_of_a_half_precision_policy_trains(policy, make_model, data, dtype_policy):
    dtype_policy(policy)
    model = make_model(Adam(0.05))
    losses = model.fit(*data, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    optimizer = model.optimizer
    if policy == "mixed_float16":  # Keras wraps the optimizer by itself
        assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        optimizer = optimizer.inner_optimizer
    assert type(optimizer) is Adam
    assert int(optimizer.iterations) == 8
    held = {name: {v.dtype for v in own} for name, own in optimizer._slot_variables.items()}
    assert held.pop("compensation", {policy}) == {policy}
    assert held == {"momentum": {"float32"}, "velocity": {"float32"}}


# Gradients that are missing, infinite or scaled.


@pytest.mark.shell
def test_a_weight_without_gradient_stays_as_it_is(case, walk, start, gradients):
    optimizer = case.make(weight_decay=0.1)
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        path = walk(optimizer, start, [[None, gradients[0][1]]])
    np.testing.assert_array_equal(path[0][0], start[0])
    alone = walk(case.make(weight_decay=0.1), start[1:], [gradients[0][1:]])
    np.testing.assert_allclose(path[0][1], alone[0][0], rtol=1e-6)
    for slot in optimizer._slots[0].values():
        first = ops.convert_to_numpy(slot)
        assert np.ptp(first) == 0, "its slots are as they were created"


def test_no_gradient_at_all_is_an_error(walk, start):
    with pytest.raises(ValueError, match="No gradients provided"):
        walk(Adam(), start, [[None, None]])


@pytest.mark.shell
def test_a_step_with_an_infinite_gradient_is_skipped(case, walk, start, gradients):
    optimizer = keras.optimizers.LossScaleOptimizer(case.make(), initial_scale=8.0)
    infinite = [np.full_like(g, np.inf) for g in gradients[0]]
    scaled = [8.0 * g for g in gradients[0]]
    path = walk(optimizer, start, [scaled, infinite])
    expected = walk(case.make(), start, gradients[:1])
    for after in path:
        np.testing.assert_allclose(after[0], expected[0][0], rtol=1e-6)
    assert int(optimizer.inner_optimizer.iterations) == 1
    assert float(optimizer.dynamic_scale) == 4.0


@pytest.mark.shell
def test_a_scaled_loss_gives_the_same_steps(case, walk, start, gradients, assert_same_path):
    optimizer = case.make(loss_scale_factor=1024.0)
    assert float(optimizer.scale_loss(2.0)) == 2048.0
    scaled = [[1024.0 * g for g in step] for step in gradients[:2]]
    path = walk(optimizer, start, scaled)
    assert_same_path(path, walk(case.make(), start, gradients[:2]), rtol=1e-6)


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


# Frozen layers.


@pytest.mark.shell
@pytest.mark.parametrize(
    "case", [case for case in CASES if not case.surveys], ids=lambda case: case.id
)
def test_weights_that_stay_go_on_and_weights_that_join_begin(case, start, gradients):
    optimizer = case.make()
    weights = [keras.Variable(w) for w in start]
    optimizer.build(weights[:1])
    optimizer.apply([tensors(gradients[0][0])], weights[:1])
    optimizer.build(weights)
    for g in gradients[1:3]:
        optimizer.apply(tensors(g), weights)
    optimizer.build(weights[1:])
    optimizer.apply([tensors(gradients[3][1])], weights[1:])
    for i, steps in enumerate([gradients[:3], gradients[1:4]]):
        alone, weight = case.make(), keras.Variable(start[i])
        for g in steps:
            alone.apply([tensors(g[i])], [weight])
        np.testing.assert_allclose(as_array(weights[i]), as_array(weight), rtol=1e-6, atol=1e-7)


@pytest.mark.once("jax")
def test_a_frozen_model_is_warned_about_as_on_other_backends():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, trainable=False)])
    model.compile(optimizer=Adam(), loss="mse")
    with pytest.warns(UserWarning, match="not have any trainable weights"):
        model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0)


@pytest.mark.parametrize("wrap", [lambda optimizer: optimizer, Lookahead], ids=["alone", "wrapped"])
def test_layers_that_are_unfrozen_and_frozen_between_fits_leave_the_state_of_others(
    wrap, make_model, data, tmp_path
):
    x, y = data

    def fit(model, steps, **arguments):
        model.fit(x, y, batch_size=8, epochs=steps, verbose=0, **arguments)

    def momentum(model, path):
        return as_array(next(v for v in model.optimizer.variables if f"{path}_momentum" in v.path))

    model = make_model()
    model.layers[0].trainable = False
    optimizer = wrap(Momentum(0.1, beta=0.5, use_ema=True))
    model.compile(optimizer, "mse")
    before = model.get_weights()
    fit(model, 2)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    held = momentum(model, "head_kernel")
    model.layers[0].trainable = True
    model.compile(optimizer, "mse")
    nothing = np.zeros(len(x))
    fit(model, 2, sample_weight=nothing)
    np.testing.assert_allclose(momentum(model, "head_kernel"), held / 4, rtol=1e-5)
    fit(model, 1)
    assert np.all(model.get_weights()[0] != before[0])
    assert int(optimizer.iterations) == 5
    assert optimizer._births == [2, 2, 0, 0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer._births == optimizer._births
    for one, other in zip(loaded.optimizer.variables, optimizer.variables, strict=True):
        np.testing.assert_array_equal(as_array(one), as_array(other))
    model.layers[1].trainable = False
    model.compile(optimizer, "mse")
    held, head = momentum(model, "hidden_kernel"), model.get_weights()[2]
    fit(model, 1, sample_weight=nothing)
    np.testing.assert_allclose(momentum(model, "hidden_kernel"), held / 2, rtol=1e-5)
    np.testing.assert_array_equal(model.get_weights()[2], head)
    assert not any("head_kernel" in variable.path for variable in optimizer.variables)


def freezes(model, trains, data, compiles=False):
    for train in trains:
        model.layers[0].trainable = train
        if compiles:
            model.compile(model.optimizer, "mse")
        model.fit(*data, batch_size=4, epochs=2, shuffle=False, verbose=0)


# With state of all weights, of each, by matrix, and steps that depend on how many came before.
CARRIED = [
    lambda: groups({"head": RAdam(0.05)}, Lookahead(Adam(0.05))),
    lambda: RAdam(0.05, use_ema=True, gradient_accumulation_steps=2, global_clipnorm=0.1),
    pytest.param(lambda: SOAP(0.05), marks=pytest.mark.once("jax")),
]


@pytest.mark.parametrize("make", CARRIED)
def test_layers_that_are_frozen_without_compiling_train_as_with_it(make, make_model, data):
    one, other = make_model(make()), make_model(make())
    freezes(one, (True, False, True), data)
    freezes(other, (True, False, True), data, compiles=True)
    for weight, expected in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=1e-6)


def test_a_fresh_optimizer_goes_on_where_weights_that_joined_were_saved(make_model, data, tmp_path):
    model, resumed = make_model(RAdam(0.05)), make_model(RAdam(0.05))
    freezes(model, (True, False, True), data)
    model.save_weights(tmp_path / "state.weights.h5")
    copy = RAdam.from_config(model.optimizer.get_config())
    resumed.optimizer.build(resumed.trainable_variables)
    resumed.load_weights(tmp_path / "state.weights.h5")
    for each in (model, resumed):
        each.fit(*data, batch_size=4, shuffle=False, verbose=0)
    for weight, expected in zip(resumed.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
    fresh = make_model(copy)  # the same settings, and nothing of what has been trained
    fresh.fit(*data, verbose=0)
    assert all(np.isfinite(weight).all() for weight in fresh.get_weights())
    assert copy._births == [0] * 4


def test_files_whose_configuration_says_when_weights_joined_go_on_from_there(make_model, data):
    model = make_model(RAdam(0.05))
    freezes(model, (True, False, True), data)
    saved: dict = {}
    model.optimizer.save_own_variables(saved)
    joined = saved.pop("joined_after")
    paths = [variable.path for variable in model.trainable_variables]
    births = [[int(birth), [path]] for birth, path in zip(joined, paths, strict=True) if birth]
    config = {**model.optimizer.get_config(), "joined_after": births}
    resumed = RAdam.from_config(config)
    resumed.build(model.trainable_variables)
    resumed.load_own_variables(saved)
    again: dict = {}
    resumed.save_own_variables(again)
    assert births
    np.testing.assert_array_equal(again.pop("joined_after"), joined)
    assert again.keys() == saved.keys()
    for name, value in saved.items():
        np.testing.assert_array_equal(again[name], value)


def test_an_evaluation_between_keeps_the_state_of_frozen_weights(make_model, data):
    model = make_model(Momentum(0.1))
    freezes(model, [True], data)
    before = [as_array(variable) for variable in model.optimizer.variables]
    model.layers[0].trainable = False
    model.evaluate(*data, verbose=0)
    for variable, expected in zip(model.optimizer.variables, before, strict=True):
        np.testing.assert_array_equal(as_array(variable), expected)


@pytest.mark.parametrize("make", [Adam, lambda: ScheduleFreeAdamW(0.1), lambda: Lookahead("adam")])
def test_an_optimizer_that_has_trained_one_model_is_refused_by_another(make, make_model, data):
    first, second = make_model(make()), make_model()
    freezes(first, [True], data)
    second.compile(first.optimizer, "mse")
    weights = [model.get_weights() for model in (first, second)]
    state = [as_array(variable) for variable in first.optimizer.variables]
    for train in (second.fit, second.train_on_batch):
        with pytest.raises(ValueError, match=r"(?s)no .*/kernel.*state would be lost.*of its own"):
            train(*data)
    second.evaluate(*data, verbose=0)
    for model, before in zip((first, second), weights, strict=True):
        for weight, expected in zip(model.weights, before, strict=True):
            np.testing.assert_array_equal(as_array(weight), expected)
    for variable, expected in zip(first.optimizer.variables, state, strict=True):
        np.testing.assert_array_equal(as_array(variable), expected)
    freezes(first, [True], data)
    first.optimizer.build(second.trainable_variables)  # whoever says so means it
    second.fit(*data, verbose=0)
    assert np.any(second.get_weights()[0] != weights[1][0])


def test_other_weights_in_a_loop_of_ones_own_are_answered_with_what_to_do():
    weights = [keras.Variable(np.ones(2, "float32")) for _ in range(2)]
    optimizer = Adam(0.1)
    optimizer.apply([ops.ones(2)], weights[:1])
    with pytest.raises(ValueError, match=r"(?s)another set.*optimizer.build\(model.trainable_var"):
        optimizer.apply([ops.ones(2)], weights[1:])


# Every kind of loop.


def test_train_on_batch_and_a_loop_of_ones_own_equal_fit(make_model, data, backend):
    x, y = data
    fitted = make_model(RAdam(0.1, weight_decay=0.01))
    fitted.fit(x, y, batch_size=8, epochs=3, verbose=0)
    stepped = make_model(RAdam(0.1, weight_decay=0.01))
    for _ in range(3):
        stepped.train_on_batch(x, y)
    own, optimizer = make_model(), RAdam(0.1, weight_decay=0.01)
    for _ in range(3):
        gradients = gradients_of(own, x, y, backend)
        optimizer.apply(gradients, own.trainable_variables)
    for weight, *others in zip(
        fitted.get_weights(), stepped.get_weights(), own.get_weights(), strict=True
    ):
        for other in others:
            np.testing.assert_allclose(other, weight, rtol=1e-4, atol=1e-6)


def gradients_of(model, x, y, backend):
    variables = model.trainable_variables
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = ops.mean(ops.square(model(x) - y))
        return tape.gradient(loss, [v.value for v in variables])
    if backend == "jax":
        import jax

        def loss_of(values):
            outputs, _ = model.stateless_call(values, [], x)
            return ops.mean(ops.square(outputs - y))

        return jax.grad(loss_of)([v.value for v in variables])
    model.zero_grad()
    ops.mean(ops.square(model(x) - ops.convert_to_tensor(y))).backward()
    return [v.value.grad for v in variables]


def test_two_optimizers_share_a_model(make_model, data):
    groups = keras.optimizers.OptimizerMap(Adam(0.1))
    groups["network/head/.*"] = Momentum(0.0)
    model = make_model(keras.optimizers.MultiOptimizer(groups))
    before = model.get_weights()
    model.fit(*data, epochs=2, verbose=0)
    after = model.get_weights()
    assert np.all(after[0] != before[0])
    np.testing.assert_array_equal(after[2], before[2])
    adam = next(o for o in model.optimizer.optimizers if isinstance(o, Adam))
    assert int(adam.iterations) == 2
    assert len(adam._trainable_variables) == 2


def test_two_optimizers_that_share_a_model_equal_one(make_model, data):
    groups = keras.optimizers.OptimizerMap(Adam(0.1))
    groups["network/head/.*"] = Adam(0.1)
    models = [make_model(keras.optimizers.MultiOptimizer(groups)), make_model(Adam(0.1))]
    for model in models:
        model.fit(*data, epochs=2, verbose=0)
    for weight, other in zip(*[model.get_weights() for model in models], strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-5, atol=1e-6)


def test_keras_finds_our_optimizers_by_configuration():
    found = keras.optimizers.deserialize(keras.optimizers.serialize(optimizers.get("radam")))
    assert type(found) is RAdam
