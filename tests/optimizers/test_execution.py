"""One rule, run in every way: joined, stacked, in blocks, compiled, weight by weight."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_optim_lab as kol
from keras_optim_lab import functional, optimizers
from keras_optim_lab.functional import Functional
from keras_optim_lab.optimizers import Adam, GradientDescent, RAdam
from keras_optim_lab.optimizers.shell.bundles import Weight, bundles
from keras_optim_lab.optimizers.shell.fields import decay, rate
from keras_optim_lab.optimizers.shell.optimizer import Optimizer
from keras_optim_lab.optimizers.shell.slots import Slot
from tests.frameworks import arrays as numpy_arrays
from tests.frameworks import tensors
from tests.optimizers.conftest import as_array

on_torch = pytest.mark.only("torch")  # which alone updates in place

# Joined, of a size that is no multiple of a block, and large enough to stand alone.
SHAPES = [(4, 3), (3,), (), (300, 500), (0, 2), (70_000,)]


@pytest.fixture(scope="module")
def many():
    """Weights, and gradients for three steps."""
    rng = np.random.default_rng(5)
    draw = lambda: [rng.normal(size=shape).astype("float32") for shape in SHAPES]  # noqa: E731
    return draw(), [draw() for _ in range(3)]


def _first_axis(optimizer, place):
    return place.shape[:1] if len(place.shape) == 2 else None


class Normalized(Optimizer):
    """Each matrix, vector or number takes a step of length η times its number of dimensions."""

    learning_rate: float = rate(default=0.1)
    beta: float = decay(default=0.5, doc="Of the average of each row.")
    elementwise = False
    slots = ("momentum", Slot("rows", shape=_first_axis))

    def rule(self, g, w, slot, h):
        m = h.beta.average(slot.momentum, g)
        slot = slot(momentum=m)
        if g.ndim == 3:
            slot = slot(rows=h.beta.average(slot.rows, ops.mean(g, axis=2)))
        flat = ops.reshape(m, (m.shape[0], -1))
        norm = ops.sqrt(ops.sum(ops.square(flat), axis=1))
        norm = ops.reshape(norm, (-1, *[1] * (m.ndim - 1)))
        return h.learning_rate * (g.ndim - 1) * m / norm, slot


class Distant(Optimizer):
    """Takes steps as long as the weights are, all together, and remembers the longest."""

    learning_rate: float = rate(default=0.1)
    shared = ("longest",)

    def survey(self, shared, h, gradients, weights, slots):
        length = ops.sqrt(sum(ops.sum(ops.square(ops.cast(w, "float32"))) for w in weights))
        return shared(longest=ops.maximum(shared.longest, length)), h(length=length)

    def rule(self, g, w, slot, h):
        return h.learning_rate * h.length * g, slot


# What goes together.


@pytest.mark.once
def test_small_weights_of_one_kind_are_joined_and_all_that_have_numbers_are_in_one_bundle():
    kinds = ["a", "b", "a", "a", "a"]
    weights = [
        Weight((size,), kind) for size, kind in zip([5, 6, 70_000, 0, 7], kinds, strict=True)
    ]
    plan = bundles(weights, elementwise=True, small=2**16)
    assert sorted(bundle.indices for bundle in plan) == [(0, 4), (1,), (2,)]
    starts = sorted((bundle.start, bundle.size) for bundle in plan)
    assert [start for start, _ in starts] == [0, 12, 18]
    joined = next(bundle for bundle in plan if len(bundle.indices) == 2)
    assert [one.start - joined.start for one in joined.alone()] == [0, 5]


@pytest.mark.once
def test_weights_of_one_shape_are_stacked_for_rules_on_whole_weights():
    weights = [
        Weight(shape, "a", decays) for shape, decays in [((2, 3), 1), ((3,), 1), ((2, 3), 0)]
    ]
    plan = bundles([*weights, *weights], elementwise=False)
    assert sorted(bundle.indices for bundle in plan) == [(0, 3), (1, 4), (2, 5)]
    assert all(bundle.stacked for bundle in plan)


# Every way gives the same numbers.

EXECUTIONS = ["auto", "blocked", "compiled", "per_tensor"]


@pytest.mark.shell
@pytest.mark.parametrize("execution", ["auto", "blocked"])
def test_joined_and_blocked_weights_take_the_steps_of_single_ones(
    case, execution, walk, start, gradients, assert_same_path
):
    settings = {"weight_decay": 0.1}
    path = walk(case.make(execution=execution, **settings), start, gradients[:2])
    alone = walk(case.make(execution="per_tensor", **settings), start, gradients[:2])
    assert_same_path(path, alone, rtol=1e-6, atol=1e-7)


@on_torch
@pytest.mark.parametrize("name", ["radam"])  # compiling takes seconds
def test_compiled_blocked_and_single_steps_agree(name, many, walk, assert_same_path):
    start, gradients = many
    paths = [
        walk(optimizers.get(name, execution=execution, weight_decay=0.1), start, gradients)
        for execution in ["per_tensor", "blocked", "compiled"]
    ]
    for path in paths[1:]:
        assert_same_path(path, paths[0], rtol=1e-6, atol=1e-6)


@on_torch
@pytest.mark.parametrize("around", [False, True])
def test_what_is_asked_of_all_weights_may_be_asked_of_their_pieces(
    around, many, walk, assert_same_path, monkeypatch
):
    from keras_optim_lab.backend.torch import recording

    monkeypatch.setattr(recording, "recordings", {})
    start, gradients = many
    paths = []
    for execution in ["per_tensor", "auto"]:
        optimizer = optimizers.Prodigy(execution=execution, weight_decay=0.1)
        walked = optimizers.SkipNonFinite(optimizer) if around else optimizer
        paths.append(walk(walked, start, gradients))
    assert_same_path(paths[1], paths[0], rtol=1e-6, atol=1e-6)
    assert "survey" in {key[0] for key in recording.recordings}


@on_torch
def test_groups_are_surveyed_as_alone_where_only_some_have_gradients():
    g = np.array([0.1, -0.2, 0.3], "float32")
    steps = [[g, None], [None, g], [g, None], [None, -g], [g, g]]
    paths = []
    for execution in ["per_tensor", "auto", "compiled"]:
        few = optimizers.Prodigy(0.5, initial_distance=1e-3, execution=execution)
        many = optimizers.Prodigy(initial_distance=0.1, execution=execution)
        variables = [keras.Variable(np.ones(3, "float32"), name=name) for name in "ab"]
        optimizer = kol.groups({"b": many}, default=few)
        optimizer.build(variables)
        path = []
        for step in steps:
            given = [None if each is None else ops.convert_to_tensor(each) for each in step]
            optimizer.apply(given, variables)
            path.append([as_array(variable) for variable in variables])
        paths.append(path)
    assert abs(paths[0][-1][1] - 1.0).max() > 0.1  # as far as its distance lets it
    for path in paths[1:]:
        np.testing.assert_allclose(path, paths[0], rtol=1e-6)


def test_a_choice_of_execution_is_checked_and_saved():
    with pytest.raises(ValueError, match="`execution` must be one of 'auto', 'compiled'"):
        Adam(execution="fast")
    assert Adam(execution="blocked").get_config()["execution"] == "blocked"


# Rules on whole weights and on all of them.


def test_weights_of_one_shape_take_the_steps_that_each_takes_alone(walk, assert_same_path):
    rng = np.random.default_rng(0)
    shapes = [(2, 3), (2, 3), (4,), (2, 3), (4,), ()]
    start, *steps = [
        [rng.normal(size=shape).astype("float32") for shape in shapes] for _ in range(3)
    ]
    stacked = walk(Normalized(weight_decay=0.1), start, steps)
    alone = walk(Normalized(weight_decay=0.1, execution="per_tensor"), start, steps)
    assert_same_path(stacked, alone, rtol=1e-6, atol=1e-7)
    assert np.linalg.norm(walk(Normalized(), start, steps)[0][1] - start[1]) == pytest.approx(0.2)
    pure = Functional(Normalized(weight_decay=0.1))
    w = [tensors(array) for array in start]
    state = pure.init(w)
    for step in steps:
        w, state = pure.update(w, [tensors(g) for g in step], state)
    assert_same_path([[numpy_arrays(each) for each in w]], [stacked[-1]], rtol=1e-5)


def test_a_slot_has_a_shape_of_its_own_or_is_missing(walk):
    optimizer = Normalized()
    start = [np.ones(shape, "float32") for shape in [(2, 3), (3,)]]
    walk(optimizer, start, [start])
    rows = optimizer._slot_variables["rows"]
    assert tuple(rows[0].shape) == (2,)
    assert rows[1] is None
    np.testing.assert_allclose(as_array(rows[0]), [0.5, 0.5])


def test_a_rule_may_depend_on_all_weights_together(walk, start, gradients):
    optimizer = Distant(0.5)
    path = walk(optimizer, start, gradients[:1])
    length = np.sqrt(sum(np.sum(np.square(w)) for w in start))
    for weight, w, g in zip(path[0], start, gradients[0], strict=True):
        np.testing.assert_allclose(weight, w - 0.5 * length * g, rtol=1e-5)
    assert float(as_array(optimizer._shared_variables["longest"])) == pytest.approx(length)
    pure = functional.Functional(Distant(0.5))
    w = [tensors(array) for array in start]
    moved, _ = pure.update(w, [tensors(g) for g in gradients[0]], pure.init(w))
    np.testing.assert_allclose(numpy_arrays(moved[0]), path[0][0], rtol=1e-5)


# Weights that move, on PyTorch.


@on_torch
def test_replaced_weights_and_slots_are_noticed(walk, start, gradients, assert_same_path):
    import torch

    expected = walk(RAdam(0.1), start, gradients[:3])
    optimizer = RAdam(0.1)
    walk(optimizer, start, gradients[:1])
    weights = optimizer._trainable_variables
    slot = optimizer._slot_variables["momentum"][0]
    weights[0]._value.data = weights[0]._value.data.clone()
    weights[1]._value = torch.nn.Parameter(weights[1]._value.detach().clone())
    slot._value = torch.nn.Parameter(slot._value.detach().clone(), requires_grad=False)
    for step in gradients[1:3]:
        optimizer.apply([torch.tensor(g) for g in step], weights)
    assert_same_path([[as_array(w) for w in weights]], expected[2:], rtol=0, atol=0)


@on_torch
def test_a_model_that_changes_its_dtype_trains_on(walk, start, gradients):
    import torch

    optimizer = Adam(0.1)
    path = walk(optimizer, start, gradients[:1])
    for variable in optimizer._trainable_variables:
        variable._value.data = variable._value.data.to(torch.bfloat16)
    optimizer.apply([torch.tensor(g) for g in gradients[1]], optimizer._trainable_variables)
    expected = walk(Adam(0.1), start, gradients[:2])[1]
    for variable, before, after in zip(
        optimizer._trainable_variables, path[0], expected, strict=True
    ):
        assert variable._value.dtype == torch.bfloat16
        np.testing.assert_allclose(as_array(variable._value), after, rtol=1e-2, atol=1e-2)
        assert np.any(as_array(variable._value) != before)


@on_torch
def test_state_given_from_outside_is_written_into_the_shared_memory(walk, start, gradients):
    optimizer = Adam(0.1)
    walk(optimizer, start, gradients[:1])
    kept = [as_array(v) for v in optimizer.variables]
    after = walk(optimizer, start, gradients[1:2])[0]
    for variable, value in zip(optimizer.variables, kept, strict=True):
        variable.assign(value)
    again = walk(optimizer, start, gradients[1:2])[0]
    np.testing.assert_array_equal(again[0], after[0])


@on_torch
def test_no_temporaries_of_the_size_of_the_model(monkeypatch):
    """What an update creates is at most as large as a block: 128 Ki numbers for every core."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            known = {t.untyped_storage().data_ptr() for t in args if isinstance(t, torch.Tensor)}
            if isinstance(result, torch.Tensor):
                new = result.untyped_storage().data_ptr() not in known
                Largest.numbers = max(Largest.numbers, new and result.numel())
            return result

    block = 2**17 * torch.get_num_threads()
    weights = [keras.Variable(np.ones(2 * block + 1, "float32")), keras.Variable(np.ones(50))]
    optimizer = Adam(0.1)
    optimizer.build(weights)
    gradients = [torch.ones(2 * block + 1), torch.ones(50)]
    optimizer.apply(gradients, weights)
    with Largest():
        optimizer.apply(gradients, weights)
    assert 0 < Largest.numbers <= block


@on_torch
def test_a_rule_is_compiled_once_updates_have_taken_as_long(monkeypatch, walk, start, gradients):
    from keras_optim_lab.backend.torch import in_place

    optimizer = Adam(0.1, amsgrad=True, weight_decay=0.125)
    monkeypatch.setattr(in_place, "_compiled", {})
    walk(optimizer, start, gradients[:2])
    assert not in_place._compiled
    monkeypatch.setattr(in_place, "_PATIENCE", 0.0)
    monkeypatch.setattr(
        in_place, "Compiled", lambda optimizer, h, cores: in_place.Recorded(optimizer, 1)
    )
    walk(optimizer, start, gradients[:1])
    assert list(in_place._compiled) == [(optimizer.form, 1)]


@on_torch
def test_a_compiler_that_fails_leaves_the_rule_as_it_was(
    monkeypatch, walk, start, gradients, assert_same_path
):
    import torch

    from keras_optim_lab.backend.torch import compiling, in_place

    def fails(self, *arguments):
        raise torch._dynamo.exc.TorchDynamoException("no header files")

    monkeypatch.setattr(in_place, "_compiled", {})
    monkeypatch.setattr(compiling.UncheckedProgram, "__call__", fails)
    expected = walk(Adam(0.1, execution="blocked"), start, gradients[:3])
    monkeypatch.setattr(in_place, "_PATIENCE", -1.0)
    monkeypatch.setattr(in_place, "compiler", lambda: True)
    assert_same_path(walk(Adam(0.1), start, gradients[:3]), expected, rtol=0, atol=0)
    with pytest.raises(torch._dynamo.exc.TorchDynamoException, match="no header"):
        walk(Adam(0.1, execution="compiled"), start, gradients[:1])


@on_torch
def test_inputs_that_are_not_known_by_name_are_left_to_pytorch():
    import torch
    from torch.fx import Graph

    from keras_optim_lab.backend.torch.compiling import _sources

    def inputs(*names):
        graph = Graph()
        for name in names:
            graph.placeholder(name).meta["example_value"] = torch.ones(3)
        return list(graph.nodes)

    known = _sources(inputs("l_tensors_1_", "l_tensors_0_"))
    assert [source("ab") for source in known] == ["b", "a"]
    assert _sources(inputs("l_tensors_0_", "argument_1")) is None


@on_torch
def test_without_a_compiler_rules_run_in_blocks(monkeypatch, walk, start, gradients):
    from keras_optim_lab.backend.torch import compiling, in_place

    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    monkeypatch.setattr(in_place, "compiler", compiling.compiler.__wrapped__)
    monkeypatch.setattr(in_place, "_PATIENCE", 0.0)
    monkeypatch.setattr(in_place, "_compiled", {})
    optimizer = Adam(0.1)
    walk(optimizer, start, gradients[:3])
    assert isinstance(optimizer._cohorts[0].updater._kernel, in_place.Recorded)
    assert not in_place._compiled


@on_torch
def test_a_rule_that_asks_for_values_runs_without_being_recorded(walk, start, gradients):
    class Halving(GradientDescent):
        def rule(self, g, w, slot, h):
            step, slot = super().rule(g, w, slot, h)
            return (step if float(ops.sum(ops.abs(w))) > 0 else g), slot

    path = walk(Halving(0.1), start, gradients[:1])
    np.testing.assert_array_equal(
        path[0][0], walk(GradientDescent(0.1), start, gradients[:1])[0][0]
    )


@on_torch
def test_weights_without_a_gradient_leave_the_others_together(walk, assert_same_path):
    rng = np.random.default_rng(0)
    start, *steps = [[rng.normal(size=3).astype("float32") for _ in range(4)] for _ in range(3)]
    steps[0][1] = None
    optimizer = Adam(0.1)
    path = walk(optimizer, start, steps)
    assert sorted(
        bundle.indices for bundle in optimizer._cohorts[0].updater.step.plan(steps[1])
    ) == [(0, 2, 3), (1,)]
    alone = walk(Adam(0.1, execution="per_tensor"), start, steps)
    assert_same_path(path, alone, rtol=1e-6, atol=1e-7)


@on_torch
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"global_clipnorm": 0.5},
        {"use_ema": True},
        {"loss_scale_factor": 2.0},
        {"gradient_accumulation_steps": 2},
    ],
)
def test_what_keras_does_around_an_update_is_left_out_only_where_it_is_nothing(
    settings, walk, start, gradients, monkeypatch, assert_same_path
):
    path = walk(Adam(0.1, **settings), start, gradients[:4])
    monkeypatch.setattr(Optimizer, "_is_update_only", lambda *arguments: False)
    optimizer = Adam(0.1, **settings)
    assert_same_path(path, walk(optimizer, start, gradients[:4]), rtol=0, atol=0)
    assert int(as_array(optimizer._iterations)) == 4


def test_only_pytorch_takes_steps_with_nothing_of_kerass_around(walk):
    optimizer = GradientDescent(0.1)
    walk(optimizer, [np.ones(3, "float32")], [[np.ones(3, "float32")]])
    (cohort,) = optimizer._cohorts
    assert cohort.updater.can_run_alone() == (keras.backend.backend() == "torch")
