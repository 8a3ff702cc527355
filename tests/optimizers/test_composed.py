"""Wrappers and groups: for an optimizer around others, all holds that holds for one alone."""

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
    ScheduleFreeSGD,
)
from tests.frameworks import arrays, compiled, tensors
from tests.optimizers.compositions import (
    COMPOSITIONS,
    GRADIENTS,
    SHAPES,
    START,
    STEPS,
    assert_close,
    assert_equal,
    each_composition,
    network,
    rates,
    some,
    walk,
)
from tests.optimizers.conftest import as_array


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


def test_a_name_that_a_wrapper_and_its_optimizer_share_is_the_optimizers():
    wrapper = kol.AdaptiveClipping(Adam(0.1, epsilon=1e-5))
    changed = wrapper.changed({"epsilon": 1e-3})
    assert (changed.optimizer.epsilon, changed.epsilon) == (1e-3, wrapper.epsilon)
    changed = wrapper.changed({"adaptive_clipping.epsilon": 0.5, "clipping": 0.2})
    assert (changed.optimizer.epsilon, changed.epsilon, changed.clipping) == (1e-5, 0.5, 0.2)
