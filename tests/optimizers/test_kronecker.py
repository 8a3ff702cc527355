"""Shampoo and SOAP: how weights are seen, and that the dear work is done every k steps only."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_optim_lab.functional import Functional
from keras_optim_lab.optimizers import SOAP, Shampoo
from keras_optim_lab.optimizers.rules.kronecker import Axes, inverse_root, merged
from tests.frameworks import BACKEND, arrays, mapped, tensors

STEPS = 4


def descend(optimizer, gradients):
    """The weight, which begins at zero, after all gradients."""
    functional = Functional(optimizer)
    w = ops.zeros(gradients.shape[1:])
    state = functional.init(w)
    for g in gradients:
        w, state = functional.update(w, tensors(g), state)
    return arrays(w), state


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=(STEPS, *shape)).astype("float32")


@pytest.mark.once
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((1, 5), (1, 5)),
        ((256, 8, 32), (256, 256)),
        ((8, 32, 256), (256, 256)),
        ((3, 3, 3, 64), (27, 64)),
        ((3, 3, 64, 128), (9, 64, 128)),
        ((5, 1, 1), (5,)),
    ],
)
def test_neighbouring_axes_are_merged_up_to_the_longest(shape, axes):
    assert merged(shape) == axes


@pytest.mark.once("torch")
@pytest.mark.parametrize("make", [Shampoo, SOAP])
def test_a_merged_kernel_takes_the_steps_of_the_matrix(make):
    gradients = normal(4, 2, 2)
    merged, _ = descend(make(precondition_every=2), gradients)
    plain, _ = descend(make(precondition_every=2), gradients.reshape(STEPS, 4, 4))
    np.testing.assert_array_equal(merged.reshape(4, 4), plain)


@pytest.mark.once("torch")
def test_blocks_take_the_steps_of_weights_of_their_own():
    settings = {"precondition_every": 2, "epsilon": 1e-3, "grafting": "none"}
    gradients = normal(5, 3, 4)
    cut = Shampoo(block_size=4, **settings)
    assert cut.axes((5, 3, 4)) == Axes((5, 3, 4), (2, 1, 1), 4)
    whole, _ = descend(cut, gradients)
    for rows in (slice(0, 3), slice(3, 5)):
        alone, _ = descend(Shampoo(**settings), gradients[:, rows])
        np.testing.assert_allclose(whole[rows], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.once("torch")
def test_blocks_are_put_together_as_they_were():
    axes = Axes.in_blocks((5, 7, 6), 3)
    x = normal(5, 7, 6)
    found = axes.joined(axes.blocks(tensors(x)), x.shape)
    np.testing.assert_array_equal(arrays(found), x)


@pytest.mark.once("torch")
@pytest.mark.parametrize("make", [Shampoo, SOAP])
def test_weights_of_half_precision_keep_matrices_of_float32(make):
    weight = keras.Variable(np.zeros((2, 3)), dtype="bfloat16")
    optimizer = make(0.1, precondition_every=2, state_dtype="bfloat16", weight_decay=0.0)
    for g in normal(2, 3):
        optimizer.apply([tensors(g)], [weight])
    expected, _ = descend(make(0.1, precondition_every=2, weight_decay=0.0), normal(2, 3))
    np.testing.assert_allclose(arrays(ops.cast(weight, "float32")), expected, atol=0.02)
    matrices = "roots" if make is Shampoo else "bases"
    for name in ("statistics", matrices):
        assert optimizer._slot_variables[name][0].dtype == "float32"


def test_the_inverse_root_of_a_singular_matrix_leaves_out_what_it_lacks():
    x = tensors(np.diag([16.0, 1.0, 0.0])[None])
    root = arrays(inverse_root(x, 4, 0.0, relative=True))
    np.testing.assert_allclose(root[0], np.diag([0.5, 1.0, 0.0]), atol=1e-6)
    damped = arrays(inverse_root(x, 2, 1e-2, relative=True))
    np.testing.assert_allclose(damped[0], np.diag(np.array([16.16, 1.16, 0.16]) ** -0.5), rtol=1e-5)


@pytest.mark.once("torch")
def test_soap_turns_into_the_eigenvectors_of_its_statistics():
    _, state = descend(SOAP(precondition_every=1), np.repeat(normal(3, 4)[:1], STEPS, 0))
    axes = SOAP().axes((3, 4))
    products, bases = (axes.matrices(state.slots[name]) for name in ("statistics", "bases"))
    p, q = (arrays(m)[0].astype("float64") for m in (products[0], bases[0]))
    np.testing.assert_allclose(q.T @ q, np.eye(3), atol=1e-6)
    values = q.T @ p @ q
    np.testing.assert_allclose(values, np.diag(np.diag(values)), atol=1e-5 * np.trace(p))
    assert np.all(np.diff(np.diag(values)) < 0)


@pytest.mark.parametrize("make", [Shampoo, SOAP])
def test_decompositions_are_computed_in_the_steps_that_need_them(make, monkeypatch):
    """By one program for all steps, in which they stand in a branch."""
    functional = Functional(make(precondition_every=3))
    w = ops.zeros((2, 3))
    arguments = (w, tensors(normal(2, 3)[0]), functional.init(w))
    if BACKEND == "jax":
        import jax

        program = jax.make_jaxpr(functional.update)(*arguments)
        outside = {equation.primitive.name for equation in program.eqns}
        assert "cond" in outside
        assert not outside & {"eigh", "qr", "householder_product"}
    elif BACKEND == "tensorflow":
        import tensorflow as tf

        update = tf.function(functional.update, autograph=False)
        graph = update.get_concrete_function(*arguments).graph.as_graph_def()
        inside = {node.op for function in graph.library.function for node in function.node_def}
        outside = {node.op for node in graph.node}
        assert "SelfAdjointEigV2" in inside
        assert not outside & {"SelfAdjointEigV2", "Qr"}
    else:
        calls, found = [], []
        for name in ("eigh", "qr"):
            own = getattr(ops, name)
            monkeypatch.setattr(ops, name, lambda x, own=own: calls.append(1) or own(x))
        for _ in range(7):
            calls.clear()
            w, state = functional.update(*arguments)
            arguments = (w, arguments[1], state)
            found.append(bool(calls))
        due = [3, 6] if make is Shampoo else [1, 4, 7]
        assert found == [t in due for t in range(1, 8)]


@pytest.mark.only("torch")  # the others do both branches for all rows
def test_rows_side_by_side_branch_each_for_itself_and_not_at_all_where_none_is_due(monkeypatch):
    import torch

    gradients = normal(2, 3)
    functional = Functional(Shampoo(precondition_every=2, epsilon=1e-3))
    found = []
    eigh = ops.eigh
    monkeypatch.setattr(ops, "eigh", lambda x: found.append(1) or eigh(x))

    def update(arguments):
        return functional.update(*arguments)

    def stacked(*states):
        return keras.tree.map_structure(lambda *each: torch.stack(each), *states)

    w = ops.zeros((2, 3))
    first = (w, functional.init(w))
    paths = [first]
    for g in gradients:
        paths.append(functional.update(paths[-1][0], tensors(g), paths[-1][1]))
    for steps, due in [((0, 2), False), ((0, 1), True)]:
        found.clear()
        rows = stacked(*((paths[t][0], tensors(gradients[t]), paths[t][1]) for t in steps))
        after = mapped(update)(rows)
        assert bool(found) == due
        for row, t in enumerate(steps):
            np.testing.assert_allclose(arrays(after[0])[row], arrays(paths[t + 1][0]), atol=1e-7)
