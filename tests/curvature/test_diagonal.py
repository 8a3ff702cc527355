"""AdaHessian and SophiaH beside other packages and their papers' formulas."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from scipy.optimize import rosen_der, rosen_hess_prod

import keras_optim_lab as kol
from tests.curvature.functions import ALL_STEPS, rosenbrock

RNG = np.random.default_rng(0)


class Given:
    """Gives probes instead of drawing them."""

    def probe(self, x, t):
        return ops.take(
            ops.convert_to_tensor(self.given, dtype=x.dtype), ops.cast(t, "int32") - 1, axis=0
        )


class GivenAdaHessian(Given, kol.AdaHessian):
    pass


class GivenSophiaH(Given, kol.SophiaH):
    pass


@pytest.mark.once("torch")
@pytest.mark.parametrize("name", ["AdaHessian", "SophiaH"])
def test_diagonal_methods_match_pytorch_optimizer_when_given_the_same_probes(name, agreement):
    import pytorch_optimizer
    import torch

    steps = 6
    start = np.array([-1.2, 1.0, 0.5], "float64")
    probes = np.random.default_rng(0).choice([-1.0, 1.0], size=(steps, 3))
    if name == "AdaHessian":
        ours = GivenAdaHessian(learning_rate=0.1, epsilon=1e-2, weight_decay=0.1)
        theirs = {"lr": 0.1, "eps": 1e-2, "weight_decay": 0.1, "weight_decouple": True}
    else:
        probes = np.random.default_rng(0).normal(size=(steps, 3))
        ours = GivenSophiaH(learning_rate=0.1, gamma=1.0, clip=0.05, every=2, weight_decay=0.1)
        theirs = {"lr": 0.1, "p": 0.05, "update_period": 2, "weight_decay": 0.1}
        theirs |= {"betas": (0.96, 0.99), "eps": 1e-12, "weight_decouple": True}
    ours.__dict__["given"] = probes
    result = kol.minimize(rosenbrock, start, ours, steps=steps, **ALL_STEPS)

    x = torch.tensor(start, requires_grad=True, device="cpu")
    other = getattr(pytorch_optimizer, name)([x], **theirs)
    for i in range(steps):
        with torch.device("cpu"):
            loss = torch.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)
            (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
            z = torch.tensor(probes[i])
            (product,) = torch.autograd.grad(gradient, x, z)
            x.grad = gradient.detach()
            due = name == "AdaHessian" or i % 2 == 0
            if due:
                other.step(hessian=[z * product])
            else:
                other.step()
        np.testing.assert_allclose(result.path.x[i + 1], x.detach().numpy(), rtol=1e-9)
    error = np.abs(result.path.x[-1] - x.detach().numpy()).max()
    agreement(
        "adahessian" if name == "AdaHessian" else "sophia_h", f"pytorch_optimizer.{name}", error
    )


@pytest.mark.once
def test_sophia_h_matches_optax_where_both_correct_nothing_and_see_the_same_curvature():
    """With β₁ = 0 nothing is corrected; a call before the first step makes up for its delay."""
    import jax
    import optax

    steps, every = 7, 3
    start, probes = np.array([-1.2, 1.0, 0.5]), RNG.normal(size=(steps, 3))
    ours = GivenSophiaH(0.02, beta_1=0.0, beta_2=0.5, clip=0.4, every=every, weight_decay=0.1)
    ours.__dict__["given"] = probes
    result = kol.minimize(rosenbrock, start, ours, steps=steps, **ALL_STEPS)
    assert 0 < np.sum(np.abs(np.diff(result.path.x, axis=0)) < 0.02 * 0.4) < 3 * steps

    def handed_over(updates, state, params=None, *, curvature):
        return curvature, state

    estimator = optax.GradientTransformationExtraArgs(lambda params: (), handed_over)
    with jax.enable_x64(True):
        theirs = optax.contrib.sophia(
            0.02, b1=0.0, b2=0.5, eps=1e-12, weight_decay=0.1, clip_threshold=0.4,
            update_interval=every, hessian_diagonal_fn=estimator,
        )  # fmt: skip
        x = jax.numpy.asarray(start)
        state = theirs.init(x)

        def step(x, state, gradient, i):
            seen = result.path.x[min(i, steps - 1)]
            z = probes[min(i, steps - 1)]
            curvature = z * rosen_hess_prod(seen, z)
            return theirs.update(gradient, state, x, curvature=curvature)

        _, state = step(x, state, jax.numpy.zeros(3), 0)
        for i in range(steps):
            updates, state = step(x, state, jax.numpy.asarray(rosen_der(np.asarray(x))), i + 1)
            x = optax.apply_updates(x, updates)
            np.testing.assert_allclose(result.path.x[i + 1], x, rtol=1e-9)


@pytest.mark.once("torch")
def test_adahessian_averages_the_curvature_over_the_places_of_a_convolution():
    shapes = {"kernel": (3, 2, 4, 5), "dense": (4, 5), "bias": (5,), "volume": (2, 2, 2, 3, 4)}
    start = {name: RNG.normal(size=shape) for name, shape in shapes.items()}
    curvature = {name: RNG.normal(size=shape) for name, shape in shapes.items()}

    def quadratic(w):
        parts = [ops.sum(ops.convert_to_tensor(curvature[n]) * w[n] ** 2) / 2 for n in shapes]
        return sum(parts)

    # With signs for z, z ⊙ H z is the diagonal itself where H is diagonal.
    optimizer = kol.AdaHessian(0.1, epsilon=0.01, hessian_power=0.5)
    found = kol.minimize(quadratic, start, optimizer, steps=1, **ALL_STEPS).path.x
    places = {"kernel": (0, 1), "volume": (0, 1, 2)}
    for name, w in start.items():
        mean = np.abs(curvature[name]).mean(axis=places.get(name, ()), keepdims=True)
        expected = w - 0.1 * curvature[name] * w / (mean**0.5 + 0.01)
        np.testing.assert_allclose(found[name][1], expected, rtol=1e-9)


@pytest.mark.once("torch")
@pytest.mark.parametrize("method", [kol.AdaHessian, kol.SophiaH])
def test_weights_that_are_excluded_do_not_decay(method):
    keras.utils.set_random_seed(0)
    optimizer = method(0.1, weight_decay=0.0)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model = kol.Sequential([keras.Input((3,)), layers.Dense(2, bias_initializer="ones")])
    model.compile(optimizer=optimizer, loss="mse")
    optimizer.build(model.trainable_variables)
    state = model.variables + optimizer.variables
    before = [np.array(ops.convert_to_numpy(variable)) for variable in state]

    def after_a_step(weight_decay):
        for variable, value in zip(state, before, strict=True):
            variable.assign(value)
        optimizer.weight_decay = weight_decay
        model.train_on_batch(np.ones((4, 3)), np.zeros((4, 2)))
        return [np.array(ops.convert_to_numpy(v)) for v in model.trainable_variables]

    (kernel, bias), (decayed, kept) = after_a_step(0.0), after_a_step(0.5)
    np.testing.assert_allclose(decayed, kernel - 0.1 * 0.5 * before[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(kept, bias)
