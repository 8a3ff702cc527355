"""What single wrappers do, which group a weight belongs to, and what other packages do."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_optim_lab as kol
from keras_optim_lab.functional import Functional
from keras_optim_lab.optimizers import (
    Adam,
    AdamW,
    GradientDescent,
    Momentum,
    Muon,
    ScheduleFreeSGD,
)
from keras_optim_lab.optimizers.shell.slots import Place
from tests.frameworks import arrays, tensors
from tests.optimizers.compositions import (
    DECAY,
    GRADIENTS,
    SHAPES,
    START,
    assert_close,
    network,
    rates,
    variables,
    walk,
)
from tests.optimizers.conftest import as_array

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
