"""Weights and gradients at the edge of what can be trained: none, huge, tiny, no real numbers."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

from keras_optim_lab import optimizers
from keras_optim_lab.functional import Functional
from keras_optim_lab.optimizers import Adam, SkipNonFinite, catalogue
from tests.frameworks import applied, tensors
from tests.optimizers.conftest import as_array

AROUND = [entry for entry in catalogue.compositions() if "optimizer" in entry.cls.fields]
OPTIMIZERS = {
    **{name: partial(optimizers.get, name) for name in optimizers.names()},
    **{
        entry.name: partial(optimizers.get, f"{entry.name}(adafactor)")
        for entry in AROUND
        if not entry.needs_objective
    },
    "groups": lambda: optimizers.groups({"a$": "lion"}, default="adafactor"),
}
WITH_OBJECTIVE = {
    **{name: partial(optimizers.get, name) for name in optimizers.names(needs_objective=True)},
    "sam": partial(optimizers.get, "sam(adam)"),
}
# Eigenvectors in every step instead of in every tenth or hundredth.
DECOMPOSES = {name: {"precondition_every": 1} for name in ("shampoo", "soap")}


def each_optimizer(*, everywhere=()):
    """By name; on other backends than one, some of each kind and those that are named here."""
    return pytest.mark.parametrize(
        "name",
        [
            pytest.param(name, marks=() if name in everywhere else pytest.mark.shell)
            for name in OPTIMIZERS
        ],
    )


each_rule = each_optimizer(everywhere=("rmsprop", *DECOMPOSES))


def made(name):
    return optimizers.get(name, **DECOMPOSES[name]) if name in DECOMPOSES else OPTIMIZERS[name]()


def trained(optimizer, start, gradients):
    """The weights after every step, and at last all that the optimizer holds."""
    weights = [keras.Variable(w, name=name) for w, name in zip(start, "abcdef", strict=False)]
    step, path = applied(optimizer, weights), []
    for g in gradients:
        step(tensors(g))
        path.append([as_array(w) for w in weights])
    return path, [as_array(v) for v in optimizer.variables]


def drawn(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


SHAPES = [(3, 4), (4,)]
START, *GRADIENTS = (drawn(SHAPES, seed) for seed in range(5))


@pytest.mark.parametrize("name", [*OPTIMIZERS, *WITH_OBJECTIVE])
def test_a_complex_weight_is_refused_by_name_before_anything_is_built(name):
    optimizer = {**OPTIMIZERS, **WITH_OBJECTIVE}[name]()
    weights = [keras.Variable(1.0), keras.Variable(3 + 2j, dtype="complex64", name="a")]
    message = "'a' is complex64, .*real numbers.*real and imaginary part as two weights"
    with pytest.raises(TypeError, match=f"{type(optimizer).__name__}: .*{message}"):
        optimizer.build(weights)
    assert not optimizer.built
    if not optimizer.needs_objective:
        with pytest.raises(TypeError, match=message):
            Functional(optimizer).init({"a": weights[1].value})


def test_an_integer_weight_is_refused_with_what_to_do():
    with pytest.raises(TypeError, match=r"functional: Adam: .*'n' is int32.*trainable=False"):
        Functional(Adam()).init({"n": ops.zeros(2, "int32")})


@each_optimizer()
def test_weights_without_numbers_stay_so_beside_others(name):
    shapes = [(3, 4), (0, 4), (4, 0), (0,), (2, 0, 3)]
    path, state = trained(made(name), drawn(shapes), [drawn(shapes, seed) for seed in (1, 2)])
    assert [w.shape for w in path[-1]] == shapes
    assert all(np.all(np.isfinite(x)) for x in [*path[-1], *state])
    assert np.any(path[-1][0] != path[0][0])


@pytest.mark.parametrize("name", ["adafactor", "prodigy"])
def test_a_model_of_weights_without_numbers_only_trains(name):
    trained(made(name), drawn([(0, 4)]), [drawn([(0, 4)])])


@each_rule
def test_huge_and_tiny_gradients_leave_weights_and_state_finite(name):
    scales = np.float32([1e30, 1e30, 1.0, 1e-30])
    scaled = [[scale * g for g in step] for scale, step in zip(scales, GRADIENTS, strict=True)]
    path, state = trained(made(name), START, scaled)
    assert all(np.all(np.isfinite(x)) for x in [*path[-1], *state])


@pytest.mark.parametrize("name", ["adam", "rmsprop", "lamb"])
def test_a_step_whose_length_the_gradient_does_not_change_is_the_same_for_a_huge_one(name):
    signs = [np.sign(g) for g in GRADIENTS[0]]
    expected, _ = trained(made(name), START, [signs])
    found, _ = trained(made(name), START, [[np.float32(1e30) * g for g in signs]])
    for weight, other in zip(found[0], expected[0], strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-5)


@each_rule
def test_a_gradient_that_is_no_number_is_skipped_before_a_rule_sees_it(name):
    optimizer = SkipNonFinite(made(name))
    bad = [np.full_like(g, np.nan) for g in GRADIENTS[1]]
    path, state = trained(optimizer, START, [GRADIENTS[0], bad, GRADIENTS[2]])
    assert optimizer.skipped == 1
    for before, after in zip(path[0], path[1], strict=True):
        np.testing.assert_array_equal(before, after)
    assert all(np.all(np.isfinite(x)) for x in [*path[-1], *state])


@pytest.mark.parametrize("name", ["adam", "adafactor", "prodigy", "lookahead"])
def test_a_gradient_that_is_no_number_is_not_hidden(name):
    path, _ = trained(made(name), START, [[np.full_like(g, np.nan) for g in GRADIENTS[0]]] * 2)
    assert np.all(np.isnan(path[-1][0]))
