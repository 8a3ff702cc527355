"""Wrappers and groups: for an optimizer around others, all holds that holds for one alone."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

import keras_optim_lab as kol
from keras_optim_lab import optimizers
from keras_optim_lab.functional import Functional
from keras_optim_lab.optimizers import (
    Adam,
    AdamW,
    GradientDescent,
    Momentum,
    Muon,
    Nadam,
    ScheduleFreeSGD,
)
from keras_optim_lab.optimizers.shell.slots import Place
from tests.frameworks import applied, arrays, compiled, tensors
from tests.optimizers.conftest import as_array
from tests.oracles import adam, gradient_descent, momentum, nadam
from tests.oracles import wrappers as around

SHAPES = {"first/kernel": (2, 2, 3), "first/bias": (3,), "head/kernel": (3, 4), "head/bias": (4,)}
DECAY = {"learning_rate": 0.1, "weight_decay": 0.5}
STEPS = 7


@dataclasses.dataclass(frozen=True)
class Composition:
    """An optimizer made of others, and by path what it is to be for each weight."""

    id: str
    make: object
    oracle: object


def one(oracle):
    return lambda path: oracle


ADAM = adam.Adam(**DECAY)
COMPOSITIONS = [
    Composition(
        "lookahead",
        lambda: kol.Lookahead(Adam(**DECAY), steps=3, share=0.25),
        one(around.Lookahead(ADAM, steps=3, share=0.25)),
    ),
    Composition("cautious", lambda: kol.Cautious(Adam(**DECAY)), one(around.Cautious(ADAM))),
    Composition(
        "centralized_gradients",
        lambda: kol.CentralizedGradients(Momentum(**DECAY)),
        one(around.CentralizedGradients(momentum.Momentum(**DECAY))),
    ),
    Composition(
        "adaptive_clipping",
        lambda: kol.AdaptiveClipping(Momentum(**DECAY), clipping=0.5, epsilon=0.1),
        one(around.AdaptiveClipping(momentum.Momentum(**DECAY), clipping=0.5, epsilon=0.1)),
    ),
    Composition(
        "skip_non_finite", lambda: kol.SkipNonFinite(Adam(**DECAY)), one(around.SkipNonFinite(ADAM))
    ),
    Composition(
        "layerwise_decay",
        lambda: kol.layerwise(Adam(**DECAY), decay=0.5),
        lambda path: adam.Adam(**{**DECAY, "learning_rate": 0.1 if "head" in path else 0.05}),
    ),
    Composition(
        "groups",
        lambda: kol.groups({"head": GradientDescent(0.3), "bias": {"weight_decay": 0.0}}, "adamw"),
        lambda path: (
            gradient_descent.GradientDescent(0.3)
            if "head" in path
            else adam.AdamW(weight_decay=0.0 if "bias" in path else 0.01)
        ),
    ),
    Composition(
        "nested",
        lambda: kol.SkipNonFinite(
            kol.groups(
                {"head": kol.Lookahead(kol.Cautious(Adam(**DECAY)), steps=3)},
                default=kol.Lookahead(Nadam(**DECAY), steps=2),
            )
        ),
        lambda path: (
            around.Lookahead(around.Cautious(ADAM), steps=3)
            if "head" in path
            else around.Lookahead(nadam.Nadam(**DECAY), steps=2)
        ),
    ),
]
each_composition = pytest.mark.parametrize("case", COMPOSITIONS, ids=lambda case: case.id)
some = pytest.mark.parametrize(
    "case",
    [case for case in COMPOSITIONS if case.id in ("nested", "lookahead")],
    ids=lambda c: c.id,
)


def numbers(seed):
    rng = np.random.default_rng(seed)
    return {path: rng.normal(size=shape).astype("float32") for path, shape in SHAPES.items()}


START, GRADIENTS = numbers(0), [numbers(seed) for seed in range(1, STEPS + 1)]


def variables(start=START, dtype="float32"):
    """Keras variables at these paths."""
    made = []
    for path, value in start.items():
        *layers, name = path.split("/")
        with keras.name_scope("/".join(layers)):
            made.append(keras.Variable(value, dtype=dtype, name=name))
    return made


def walk(optimizer, gradients=GRADIENTS, dtype="float32", start=START):
    """The weights by path after every step of `apply`."""
    weights = variables(start, dtype)
    step = applied(optimizer, weights)
    path = []
    for g in gradients:
        step([tensors(g[name], dtype) for name in SHAPES])
        path.append(dict(zip(SHAPES, map(as_array, weights), strict=True)))
    return path


def assert_close(path, expected, rtol=1e-5, atol=1e-6):
    for weights, others in zip(path, expected, strict=True):
        for name in SHAPES:
            np.testing.assert_allclose(weights[name], others[name], rtol, atol, err_msg=name)


@each_composition
def test_steps_are_those_of_the_paper_through_keras_and_as_functions(case):
    found = walk(case.make())
    runs = {
        path: [*case.oracle(path).descend(START[path], [g[path] for g in GRADIENTS])]
        for path in SHAPES
    }
    expected = [{path: run[t] for path, run in runs.items()} for t in range(STEPS)]
    assert_close(found, expected)
    functional = Functional(case.make(), list(SHAPES))

    def descend(w, gradients):
        def step(before, g):
            after = functional.update(before[0], g, before[1])
            return after, after

        return ops.scan(step, (w, functional.init(w)), gradients)[1]

    stacked = [np.stack([g[name] for g in GRADIENTS]) for name in SHAPES]
    then, _ = arrays(compiled(descend)(*tensors(([*START.values()], stacked))))
    assert_close(
        [dict(zip(SHAPES, [w[t] for w in then], strict=True)) for t in range(STEPS)], found
    )


def test_functional_paths_decide_as_those_of_weights_do():
    optimizer = kol.groups({"head": GradientDescent(0.5)}, default=GradientDescent(0.25))
    params = tensors({"head": np.ones(2, "float32"), "body": np.ones(2, "float32")})
    functional = Functional(optimizer)
    after, _ = functional.update(params, params, functional.init(params))
    assert_equal(after, {"head": 0.5, "body": 0.75})
    doubled, _ = functional.update(params, params, functional.init(params), learning_rate=0.5)
    assert_equal(doubled, {"head": 0.0, "body": 0.5})
    one, _ = functional.update(
        params, params, functional.init(params), **{"group_1.learning_rate": 0.25}
    )
    assert_equal(one, {"head": 0.75, "body": 0.75})


def assert_equal(found, expected):
    for name, number in expected.items():
        np.testing.assert_array_equal(as_array(found[name]), np.float32(number))


# All that is around a step.


@some
def test_a_half_precision_step_is_the_float32_step_rounded_once(case):
    def halved(weights):
        return {name: as_array(ops.cast(w, "bfloat16")) for name, w in weights.items()}

    start, gradients = halved(START), [halved(GRADIENTS[0])]
    (half,) = walk(case.make(), gradients, "bfloat16", start)
    (full,) = walk(case.make(), gradients, "float32", start)
    for name, rounded in halved(full).items():
        np.testing.assert_array_equal(half[name], rounded)


def test_accumulated_gradients_equal_their_mean():
    case = COMPOSITIONS[-1]
    changes = {"gradient_accumulation_steps": 2}
    means = [
        {name: (a[name] + b[name]) / 2 for name in SHAPES}
        for a, b in zip(GRADIENTS[0:6:2], GRADIENTS[1:6:2], strict=True)
    ]
    found = walk(case.make().changed(changes), GRADIENTS[:6])
    assert_close(found[1::2], walk(case.make(), means))


@some
def test_averages_and_clipping_and_loss_scales_are_those_of_the_main_member(case):
    changes = {"use_ema": True, "ema_momentum": 0.5, "global_clipnorm": 0.5}
    optimizer = case.make().changed(changes)
    assert (optimizer.use_ema, optimizer.global_clipnorm) == (True, 0.5)
    path = walk(optimizer, GRADIENTS[:2])
    norm = np.sqrt(sum(np.sum(np.square(g)) for g in GRADIENTS[0].values()))
    clipped = [{name: g * min(1, 0.5 / norm) for name, g in GRADIENTS[0].items()}]
    assert_close(path[:1], walk(case.make(), clipped))
    for i, name in enumerate(SHAPES):
        expected = (path[0][name] + path[1][name]) / 2
        average = as_array(optimizer._model_variables_moving_average[i])
        np.testing.assert_allclose(average, expected, rtol=1e-6)
    scaled = case.make().changed({"loss_scale_factor": 4.0})
    fourfold = [{name: 4 * g for name, g in GRADIENTS[0].items()}]
    assert_close(walk(scaled, fourfold), walk(case.make(), GRADIENTS[:1]))
    dynamic = keras.optimizers.LossScaleOptimizer(case.make(), initial_scale=4.0)
    assert_close(walk(dynamic, fourfold), walk(case.make(), GRADIENTS[:1]))


@pytest.mark.parametrize(
    "arguments",
    [
        {"clipnorm": 0.5},
        {"clipvalue": 0.25, "loss_scale_factor": 4.0},
        {
            "global_clipnorm": 0.5,
            "gradient_accumulation_steps": 2,
            "use_ema": True,
            "ema_momentum": 0.5,
            "ema_overwrite_frequency": 4,
        },
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_what_keras_does_around_a_step_is_given_to_the_whole_as_to_one_optimizer(arguments):
    rules = {"head": kol.SkipNonFinite(Adam(0.1)), "bias": {"learning_rate": 0.1}}
    whole = kol.SkipNonFinite(kol.groups(rules, default=Adam(0.1)), **arguments)
    groups = kol.groups(rules, default=Adam(0.1), **arguments)
    expected = walk(Adam(0.1, **arguments), GRADIENTS[:4])
    for optimizer in (groups, type(whole).from_config(whole.get_config())):
        assert not optimizer.is_rule_only
        assert {name: getattr(optimizer, name) for name in arguments} == arguments
        assert_close(walk(optimizer, GRADIENTS[:4]), expected)
    for name, value in arguments.items():
        other = groups.changed({name: value if isinstance(value, bool) else 2 * value})
        assert getattr(other, name) == (value if isinstance(value, bool) else 2 * value)


@some
@pytest.mark.once("torch")
def test_every_way_of_execution_gives_the_same_steps(case):
    expected = walk(case.make())
    for execution in ("blocked", "per_tensor"):
        assert_close(walk(case.make().changed({"execution": execution})), expected)


def test_slots_of_every_member_take_two_bytes_where_it_says_so():
    optimizer = kol.Lookahead(
        kol.groups({"head": Momentum(0.1, state_dtype="bfloat16")}, default=Momentum(0.1))
    )
    walk(optimizer, GRADIENTS[:2])
    held = optimizer._slot_variables
    assert {name: {v.dtype for v in own if v is not None} for name, own in held.items()} == {
        "momentum": {"float32"},
        "group_1.momentum": {"bfloat16"},
        "lookahead.slow": {"float32"},
    }


@some
def test_a_saved_model_goes_on_as_if_it_had_never_stopped(case, data, tmp_path):
    model = network(case.make(), run_eagerly=True)
    model.train_on_batch(*data)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for each in (model, loaded):
        each.train_on_batch(*data)
    for one, other in zip(state(model), state(loaded), strict=True):
        np.testing.assert_array_equal(one, other)


def state(model):
    return [as_array(v) for v in (*model.trainable_variables, *model.optimizer.variables)]


def without_decay(optimizer, pattern):
    optimizer.exclude_from_weight_decay(var_names=[pattern])
    return optimizer


def autoencoder(optimizer):
    """A model with a model inside; patterns match its own name and that of the one inside."""
    keras.utils.set_random_seed(0)
    inner = [keras.layers.Dense(4, activation="tanh", name=name) for name in ("first", "second")]
    body = keras.Sequential(inner, name="body")
    head = keras.layers.Dense(1, name="head")
    model = keras.Sequential([keras.Input((3,)), body, head], name="autoencoder")
    model.compile(optimizer, "mse", run_eagerly=True)
    return model


@pytest.mark.parametrize(
    "make",
    [
        lambda: kol.Lookahead(kol.groups({"encoder/head": Momentum(0.1)}, "adam")),
        lambda: kol.groups({"body": {"learning_rate": 0.1}}, without_decay(AdamW(), "encoder")),
        lambda: kol.layerwise("adam", decay=0.1),
        lambda: Muon(0.1, adam_for="encoder/head|body/first"),
        lambda: kol.Cautious(without_decay(AdamW(0.1, weight_decay=0.5), "encoder|body")),
    ],
    ids=["own-name", "inner-name", "layers", "field", "decay"],
)
def test_what_a_saved_models_optimizer_chose_is_what_the_loaded_one_chooses(make, data, tmp_path):
    model = autoencoder(make())
    for _ in range(2):  # before the first step and after it
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert loaded.optimizer.get_config() == model.optimizer.get_config()
        for each in (model, loaded):
            each.train_on_batch(*data)
        for one, other in zip(state(model), state(loaded), strict=True):
            np.testing.assert_array_equal(one, other)
    loaded.save(tmp_path / "again.keras")
    again = keras.saving.load_model(tmp_path / "again.keras")
    assert again.optimizer.get_config() == model.optimizer.get_config()


@pytest.mark.once
def test_the_configuration_of_an_optimizer_chooses_anew_in_another_model(data):
    optimizer = kol.groups({"head": GradientDescent(0.5)}, default=GradientDescent(0.25))
    autoencoder(optimizer).train_on_batch(*data)
    other = type(optimizer).from_config(optimizer.get_config())
    assert [*rates(other).values()] == [0.25, 0.25, 0.5, 0.5]


@pytest.mark.once("tensorflow")
@pytest.mark.parametrize(
    "make",
    [COMPOSITIONS[0].make, COMPOSITIONS[-1].make, Adam, lambda: kol.SAM("adam"), kol.LBFGS],
    ids=["lookahead", "nested", "alone", "sam", "lbfgs"],
)
def test_tensorflow_checkpoints_and_exports_models_whatever_their_optimizer_is_made_of(
    make, data, tmp_path
):
    import tensorflow as tf

    model = network(make(), kol.Sequential, run_eagerly=True)
    model.layers[0].kernel.trainable = False
    model.train_on_batch(*data)
    model.layers[0].kernel.trainable = True  # its state is put beside that of the others
    model.optimizer.build(model.trainable_variables)
    model.train_on_batch(*data)
    saved = state(model)
    checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
    path = checkpoint.save(str(tmp_path / "checkpoint"))
    model.train_on_batch(*data)
    checkpoint.restore(path).assert_consumed()
    for one, other in zip(state(model), saved, strict=True):
        np.testing.assert_array_equal(one, other)
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(as_array(exported.serve(data[0])), model(data[0]), rtol=1e-6)


def network(optimizer, cls=keras.Sequential, **arguments):
    layers = keras.layers
    first = layers.Dense(4, activation="tanh", name="first", kernel_initializer=random(1))
    head = layers.Dense(1, name="head", kernel_initializer=random(2))
    model = cls([keras.Input((3,)), first, head], name="network")
    model.compile(optimizer, "mse", **arguments)
    return model


def random(seed):
    return keras.initializers.RandomNormal(0.0, 0.5, seed=seed)


def test_the_whole_is_read_and_set_through_its_members():
    optimizer = kol.Lookahead(Adam(0.5), share=0.25)
    assert (float(optimizer.learning_rate), optimizer.optimizer.beta_1) == (0.5, 0.9)
    optimizer.learning_rate = 0.125
    optimizer.optimizer.beta_1 = 0.5
    optimizer.share = 0.75
    found = optimizer.get_config()
    assert (found["steps"], found["share"]) == (5, 0.75)
    inner = found["optimizer"]["config"]
    assert (inner["learning_rate"], inner["beta_1"]) == (0.125, 0.5)
    assert repr(optimizer).startswith("Lookahead(optimizer=Adam(learning_rate=0.125, beta_1=0.5,")
    step = walk(optimizer, GRADIENTS[:1])
    assert_close(step, walk(Adam(0.125, beta_1=0.5), GRADIENTS[:1]))


@pytest.mark.once
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: kol.Lookahead(keras.optimizers.Adam()), TypeError, "`optimizer` must be an opt"),
        (lambda: kol.Lookahead("adamm"), ValueError, "Did you mean 'adam'"),
        (lambda: kol.Lookahead(), TypeError, "missing a required argument: 'optimizer'"),
        (lambda: kol.Lookahead(kol.LBFGS()), ValueError, "asks for the loss itself"),
        (lambda: kol.Lookahead(ScheduleFreeSGD()), ValueError, "from one average"),
        (lambda: kol.Cautious("adam", steps=3), TypeError, "no argument `steps`"),
        (lambda: kol.Lookahead("adam", steps=0), ValueError, "`steps` must be an integer ≥ 1"),
        (lambda: optimizers.get("lookahead"), ValueError, r"around others.*Call kol.Look"),
        (lambda: kol.groups([], default="adam"), TypeError, "`rules` must be a dict such as"),
        (lambda: kol.groups({"(": "adam"}, default="adam"), ValueError, "no regular expression"),
        (lambda: kol.groups({3: "adam"}, default="adam"), TypeError, r"a key must be.*Received: 3"),
        (lambda: kol.groups({"a": 3}, default="adam"), TypeError, "Received: 'a': 3"),
        (
            lambda: kol.groups({"a": {"beta_3": 0.0}}, default="adam"),
            TypeError,
            "Adam has no argument `beta_3`",
        ),
        (
            lambda: kol.groups({"a": Adam(clipnorm=1.0)}, default="adam"),
            ValueError,
            r"`clipnorm` belongs to the whole. Give clipnorm=1.0 to the groups, .* of to 'a'",
        ),
        (
            lambda: kol.Cautious(Adam(use_ema=True), use_ema=False),
            ValueError,
            "given twice: use_ema=False here and use_ema=True to `optimizer`. Leave one of them",
        ),
        (
            lambda: kol.groups({"a": "adam"}, Adam(clipnorm=2.0), clipnorm=1.0),
            ValueError,
            "given twice: clipnorm=1.0 here and clipnorm=2.0 to `default`",
        ),
        (
            lambda: kol.Lookahead("adam", clipnorm=-1.0),
            ValueError,
            "Lookahead: `clipnorm` must be a finite number > 0 or None. Received: clipnorm=-1.0",
        ),
        (
            lambda: kol.groups({"a": "adam"}, default=Adam(0.0)),
            ValueError,
            "default's learning_rate must be > 0",
        ),
    ],
)
def test_what_cannot_be_composed_is_refused_with_what_to_do(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_an_optimizer_in_training_is_refused():
    adam = Adam()
    walk(adam, GRADIENTS[:1])
    with pytest.raises(ValueError, match="in training already"):
        kol.Lookahead(adam)


# Single wrappers.


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_step_that_is_not_finite_changes_nothing_bit_for_bit(dtype):
    optimizer = kol.SkipNonFinite(
        kol.groups({"head": kol.ScheduleFreeAdamW(0.1)}, default=kol.Prodigy(initial_distance=0.1))
    )
    kept = kol.SkipNonFinite(optimizer.optimizer.changed({}))
    infinite, no_number = ({**GRADIENTS[1], "head/bias": np.full(4, x)} for x in (np.inf, np.nan))
    path = walk(optimizer, [GRADIENTS[0], infinite, no_number, GRADIENTS[2]], dtype)
    expected = walk(kept, [GRADIENTS[0], GRADIENTS[2]], dtype)
    for found, other in zip(path, [*[expected[0]] * 3, expected[1]], strict=True):
        for name in SHAPES:
            np.testing.assert_array_equal(found[name], other[name])
    for name, own in optimizer._slot_variables.items():
        for slot, other in zip(own, kept._slot_variables[name], strict=True):
            assert slot is None or np.array_equal(as_array(slot), as_array(other))
    assert (optimizer.skipped, kept.skipped) == (2, 0)
    assert kol.SkipNonFinite("adam").skipped == 0


def test_adaptive_clipping_and_centralized_gradients_reach_methods_that_look_at_all_weights():
    flat = {name: g - g.reshape(-1, g.shape[-1]).mean(0) for name, g in GRADIENTS[0].items()}
    flat = {name: g if len(SHAPES[name]) > 1 else GRADIENTS[0][name] for name, g in flat.items()}
    prodigy = kol.Prodigy(initial_distance=0.1)
    found = walk(kol.CentralizedGradients(prodigy.changed({})), [GRADIENTS[0]] * 3)
    assert_close(found, walk(prodigy, [flat] * 3))


@pytest.mark.once
def test_layers_are_what_stands_right_below_the_model():
    from keras_optim_lab.optimizers.wrappers.layerwise_decay import depths

    assert depths(["net/a/kernel", "net/b/q/kernel", "net/b/k/kernel", "net/c/bias"]) == [
        2,
        1,
        1,
        0,
    ]
    assert depths(["a/kernel", "b/kernel", "b/bias"]) == [1, 0, 0]
    assert depths(["net/only/kernel", "net/only/bias"]) == [0, 0]
    assert depths([]) == []


# Groups.


def rates(optimizer):
    """By path how far a gradient of 1 moves each weight."""
    weights = variables({name: np.zeros(shape, "float32") for name, shape in SHAPES.items()})
    optimizer.build(weights)
    optimizer.apply([ops.ones(shape) for shape in SHAPES.values()], weights)
    return {n: float(-as_array(w).ravel()[0]) for n, w in zip(SHAPES, weights, strict=True)}


def in_groups(**settings):
    return kol.groups(
        {"head": GradientDescent(0.5), "bias": {"learning_rate": 0.25}},
        default=GradientDescent(1.0, **settings),
    )


def test_the_first_key_that_fits_decides_and_the_default_has_the_rest():
    found = rates(in_groups())
    assert [*found.values()] == [1.0, 0.25, 0.5, 0.5]


@pytest.mark.parametrize("eta", [0.0, 0.5, 4.0])
def test_the_rate_of_the_whole_moves_all_in_proportion(eta):
    optimizer = in_groups()
    optimizer.learning_rate = eta
    assert float(optimizer.learning_rate) == eta
    assert [*rates(optimizer).values()] == [1.0 * eta, 0.25 * eta, 0.5 * eta, 0.5 * eta]
    again = type(optimizer).from_config(optimizer.get_config())
    assert [*rates(again).values()] == [1.0 * eta, 0.25 * eta, 0.5 * eta, 0.5 * eta]


def test_callbacks_and_schedules_change_the_rate_of_the_whole(data):
    halving = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    reducing = keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=0, min_delta=1e9)
    for wrap in (lambda optimizer: optimizer, kol.Lookahead):
        model = network(wrap(in_groups()))
        model.fit(*data, epochs=3, callbacks=[halving, reducing], verbose=0)
        assert float(model.optimizer.learning_rate) == 2.0**-5
    scheduled = in_groups()
    scheduled.learning_rate = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.5, 0.25])
    assert [*rates(scheduled).values()] == [0.5, 0.125, 0.25, 0.25]


def test_a_layer_a_path_or_a_function_chooses_weights_in_a_loaded_model_too(tmp_path):
    model = network("sgd")
    keys = {
        model.layers[1]: GradientDescent(0.5),
        ("network/first/bias",): GradientDescent(0.25),
        is_matrix: GradientDescent(0.125),
    }
    model.compile(kol.groups(keys, default="adam"), "mse", run_eagerly=True)
    model.save(tmp_path / "model.keras")
    for each in (model, keras.saving.load_model(tmp_path / "model.keras")):
        weights = each.trainable_variables
        before = [as_array(w) for w in weights]
        each.optimizer.build(weights)
        each.optimizer.apply([ops.ones(w.shape) for w in weights], weights)
        moved = [b - as_array(w) for b, w in zip(before, weights, strict=True)]
        for step, expected in zip(moved, [0.125, 0.25, 0.5, 0.5], strict=True):
            np.testing.assert_allclose(step, expected, rtol=1e-5)


@pytest.mark.once
@pytest.mark.parametrize("root", ["", "model/"])
def test_a_path_is_not_taken_for_one_that_ends_alike(root):
    places = [Place(f"{root}{path}", (2, 2)) for path in ("encoder/dense/kernel", "dense/kernel")]
    for key in ("dense/kernel", "model/dense/kernel"):
        groups = kol.groups({(key,): GradientDescent()}, default="adam")
        assert groups.parts(places) == [("default",), ("group_1",)]


def test_a_key_that_chooses_nothing_is_an_error_that_lists_the_weights():
    for keys, message in [
        ({"heat": "adam"}, r"'heat' chooses no weight.*first/kernel, first/bias, head/kernel"),
        ({"h": "adam", "head": "adam"}, r"'head' chooses head/kernel, .*which keys before it"),
    ]:
        with pytest.raises(ValueError, match=message):
            kol.groups(keys, default="adam").build(variables())
        with pytest.raises(ValueError, match=message):
            Functional(kol.groups(keys, default="adam"), list(SHAPES)).init([*START.values()])


@pytest.mark.parametrize(
    "key", ["work/first", "layer", "lora"], ids=["frozen", "frozen-layer", "adapter"]
)
def test_a_group_waits_for_weights_that_are_frozen_or_that_enable_lora_adds(key, data, tmp_path):
    model = network("sgd")
    first = model.layers[0]
    first.trainable = key == "lora"
    rules = {first if key == "layer" else key: GradientDescent(0.5)}
    model.compile(kol.groups(rules, default=Momentum(0.25)), "mse", run_eagerly=True)
    model.train_on_batch(*data)
    model.save(tmp_path / "model.keras")
    for each in (model, keras.saving.load_model(tmp_path / "model.keras")):
        first, optimizer = each.layers[0], each.optimizer
        first.trainable = True
        if key == "lora":
            first.enable_lora(1)
        weights = each.trainable_variables
        optimizer.build(weights)
        optimizer.apply([ops.zeros(w.shape) for w in weights], weights)
        members = [optimizer.member_of(optimizer.place(w)) for w in weights]
        waited = ["lora" in w.path or (key != "lora" and "head" not in w.path) for w in weights]
        assert members == ["group_1" if waits else "default" for waits in waited]
        assert waited.count(True) == 2
        first.trainable = False
        optimizer.build(each.trainable_variables)  # it waits again


@pytest.mark.once
def test_a_key_that_no_weight_of_the_model_can_ever_match_is_an_error(data):
    for key in ("heat", "lroa"):
        model = network(kol.groups({key: "adam"}, default="adam"), run_eagerly=True)
        model.layers[0].trainable = False
        with pytest.raises(ValueError, match=f"'{key}' chooses no .*/head/.* May join .*/first/"):
            model.train_on_batch(*data)


@keras.saving.register_keras_serializable(package="tests")
def is_matrix(weight):
    return len(weight.shape) == 2 and "bias" not in weight.path


def test_weights_left_out_of_decay_by_a_member_or_the_whole_stay_so():
    inner, outer = AdamW(**DECAY), AdamW(**DECAY)
    inner.exclude_from_weight_decay(var_names=["bias"])
    wrapped = kol.Lookahead(inner)
    whole = kol.Lookahead(outer)
    whole.exclude_from_weight_decay(var_names=["bias"])
    alone = AdamW(**DECAY)
    alone.exclude_from_weight_decay(var_names=["bias"])
    expected = walk(alone, GRADIENTS[:2])
    for optimizer in (wrapped, whole, type(whole).from_config(whole.get_config())):
        assert_close(walk(optimizer, GRADIENTS[:2]), expected)


def test_schedule_free_members_show_their_average(data):
    free = kol.groups({"head": ScheduleFreeSGD(0.3)}, default=GradientDescent(0.1))
    model = network(kol.SkipNonFinite(free))
    model.fit(*data, batch_size=4, epochs=2, verbose=0)
    optimizer = model.optimizer
    shown = [as_array(w) for w in model.trainable_variables]
    assert not optimizer.at_gradient_point
    optimizer.to_gradient_point(model.trainable_variables)
    held = [as_array(w) for w in model.trainable_variables]
    np.testing.assert_array_equal(shown[0], held[0])
    fast = as_array(optimizer._slot_variables["group_1.fast"][2])
    np.testing.assert_allclose(shown[2], held[2] + (1 - 1 / 0.9) * (fast - held[2]), rtol=1e-5)
    assert np.any(shown[2] != held[2])


def test_one_optimizer_in_two_groups_has_a_state_in_each():
    adam = Adam(0.5)
    optimizer = kol.groups({"head": adam, "bias": adam}, default=Muon(0.1))
    walk(optimizer, GRADIENTS[:1])
    assert len(optimizer.variables) == len({id(v) for v in optimizer.variables})
    assert len({id(each) for each in optimizer.members.values()}) == 3


# Other packages.


def optax_path(optimizer, slow=False):
    """The weights after every step of optax, in float64."""
    import jax
    import optax

    def wide(tree):
        return {name: np.float64(x) for name, x in tree.items()}

    with jax.enable_x64(True):
        weights, path = wide(START), []
        if slow:
            weights = optax.LookaheadParams.init_synced(weights)
        state, update = optimizer.init(weights), jax.jit(optimizer.update)
        for g in GRADIENTS:
            change, state = update(wide(g), state, weights)
            weights = optax.apply_updates(weights, change)
            path.append({n: np.asarray(w) for n, w in getattr(weights, "fast", weights).items()})
        return path


@pytest.mark.once("torch")
def test_lookahead_adaptive_clipping_and_groups_are_those_of_optax():
    import optax

    adam = kol.Adam(0.1)
    found = walk(kol.Lookahead(adam.changed({}), steps=3, share=0.25))
    assert_close(found, optax_path(optax.lookahead(optax.adam(0.1), 3, 0.25), slow=True))
    # Kernels of three axes have two of outputs there.
    found = walk(kol.AdaptiveClipping(adam.changed({}), clipping=0.1, epsilon=0.5))
    clipped = optax.chain(optax.adaptive_grad_clip(0.1, 0.5), optax.adam(0.1))
    for weights, others in zip(found, optax_path(clipped), strict=True):
        for name in list(SHAPES)[1:]:
            np.testing.assert_allclose(weights[name], others[name], rtol=1e-5, atol=1e-6)
    found = walk(kol.groups({"head": kol.GradientDescent(0.3)}, default=adam.changed({})))
    labels = {name: "head" if "head" in name else "rest" for name in SHAPES}
    each = {"head": optax.sgd(0.3), "rest": optax.adam(0.1)}
    assert_close(found, optax_path(optax.multi_transform(each, labels)))


@pytest.mark.once("torch")
def test_centralized_and_cautious_steps_are_those_of_other_packages_in_their_own_terms():
    import optax
    import torch
    from pytorch_optimizer import Lion

    kernel = GRADIENTS[0]["first/kernel"]
    ours = arrays(kol.CentralizedGradients("adam").gradient(tensors(kernel[None]), None, None))
    theirs, _ = optax.centralize().update(np.moveaxis(kernel, -1, 0), optax.EmptyState())
    np.testing.assert_allclose(ours[0], np.moveaxis(theirs, 0, -1), atol=1e-6)

    path = [START["first/kernel"] * 0, *(w["first/kernel"] for w in walk_from_zero())]
    weight = torch.nn.Parameter(torch.zeros(2, 2, 3, device="cpu"))
    lion = Lion([weight], lr=0.1, weight_decay=0.0, cautious=True)
    for g, before, after in zip(GRADIENTS, path, path[1:], strict=False):
        start = weight.detach().numpy().copy()
        weight.grad = torch.tensor(g["first/kernel"], device="cpu")
        lion.step()
        agreed = np.count_nonzero(after - before)
        step = (weight.detach().numpy() - start) * (agreed + 1) / agreed
        np.testing.assert_allclose(after - before, step, rtol=1e-4, atol=1e-6)


def walk_from_zero():
    optimizer = kol.Cautious(kol.Lion(0.1))
    weights = variables({name: np.zeros(shape, "float32") for name, shape in SHAPES.items()})
    optimizer.build(weights)
    for g in GRADIENTS:
        optimizer.apply([tensors(g[name]) for name in SHAPES], weights)
        yield dict(zip(SHAPES, map(as_array, weights), strict=True))


def test_a_trace_shows_slots_and_scalars_of_all_members():
    found = kol.trace(kol.Lookahead(kol.Adam(0.1), steps=2), "x**2", 1.0, steps=3)
    assert {"momentum", "velocity", "momentum_corrected", "lookahead.slow"} <= {*found.columns}
    np.testing.assert_allclose(found["theta"][1], (1.0 + (1.0 - 0.2)) / 2, atol=1e-3)
    np.testing.assert_array_equal(found["lookahead.slow"][1], found["theta"][1])


@pytest.mark.parametrize("wrapper", [kol.CentralizedGradients, kol.AdaptiveClipping, kol.Cautious])
def test_groups_inside_of_a_wrapper_keep_their_own_weight_decay(wrapper):
    weights = [keras.Variable(np.ones(3, "float32"), name=name) for name in ("kernel", "bias")]
    inner = kol.GradientDescent(0.1, weight_decay=0.5)
    optimizer = wrapper(kol.groups({"bias": {"weight_decay": 0.0}}, default=inner))
    optimizer.build(weights)
    optimizer.apply([ops.zeros(3), ops.zeros(3)], weights)
    np.testing.assert_allclose(arrays(weights), [[0.95] * 3, [1.0] * 3], rtol=1e-6)
