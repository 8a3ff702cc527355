"""SAM: two gradients for a step, within `fit`, `minimize` and around other optimizers."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_optim_lab as kol
from tests.curvature.functions import ALL_STEPS
from tests.frameworks import arrays

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 3)).astype("float32")
Y = X @ np.float32([[1.0], [-2.0], [0.5]]) + 1.0
START = RNG.normal(size=4).astype("float32")


def linear(optimizer, model=kol.Sequential, **arguments):
    network = model([keras.Input((3,)), layers.Dense(1)])
    network.set_weights([START[:3, None], START[3:]])
    network.compile(optimizer, "mse", **arguments)
    return network


def weights_of(model):
    return np.concatenate([w.ravel() for w in arrays(model.trainable_variables)])


def gradient(w):
    design = np.concatenate([X, np.ones((len(X), 1))], axis=1).astype("float64")
    return 2 / len(X) * design.T @ (design @ w - Y[:, 0])


def worst(w, radius, adaptive):
    scale = np.abs(w) if adaptive else 1.0
    g = gradient(w)
    return w + radius * scale**2 * g / np.linalg.norm(scale * g)


def descend(adaptive, steps, eta=0.1, radius=0.5):
    w = START.astype("float64")
    for _ in range(steps):
        w = w - eta * gradient(worst(w, radius, adaptive))
    return w


@pytest.mark.parametrize("adaptive", [False, True])
def test_steps_in_fit_and_in_minimize_are_those_of_the_paper(adaptive):
    def make():
        inner = kol.GradientDescent(0.1)
        return kol.SAM(inner, radius=0.5, adaptive=adaptive)

    model = linear(make())
    history = model.fit(X, Y, batch_size=8, epochs=3, verbose=0).history["loss"]
    np.testing.assert_allclose(weights_of(model), descend(adaptive, 3), rtol=1e-5)
    design = np.concatenate([X, np.ones((len(X), 1))], axis=1)
    assert history[0] == pytest.approx(np.mean((design @ START - Y[:, 0]) ** 2), rel=1e-5)

    def loss(w):
        predicted = ops.matmul(ops.convert_to_tensor(design, "float32"), w[:, None])
        return ops.mean(ops.square(predicted - ops.convert_to_tensor(Y)))

    found = kol.minimize(loss, START, make(), steps=3, **ALL_STEPS)
    np.testing.assert_allclose(arrays(found.path.x)[3], descend(adaptive, 3), rtol=1e-5)
    assert found.njev == 7


@pytest.mark.once("torch")
@pytest.mark.parametrize("adaptive", [False, True])
def test_the_formula_equals_pytorch_optimizer(adaptive):
    import torch
    from pytorch_optimizer import SAM

    w = torch.nn.Parameter(torch.tensor(START, dtype=torch.float64, device="cpu"))
    optimizer = SAM([w], torch.optim.SGD, rho=0.5, adaptive=adaptive, lr=0.1)
    for _ in range(3):
        for step in (optimizer.first_step, optimizer.second_step):
            w.grad = torch.tensor(gradient(w.detach().numpy()))
            step(zero_grad=True)
    np.testing.assert_allclose(w.detach().numpy(), descend(adaptive, 3), rtol=1e-6)


def test_what_is_inside_and_what_is_around_a_step_belongs_to_the_wrapped_optimizer(tmp_path):
    def make():
        groups = kol.groups({"bias": {"weight_decay": 0.0}}, default=kol.AdamW(0.1, use_ema=True))
        return kol.SAM(kol.Lookahead(groups, steps=2), radius=0.1)

    whole = linear(make(), metrics=["mae"])
    whole.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    parts = linear(make(), metrics=["mae"])
    parts.fit(X, Y, batch_size=4, epochs=1, shuffle=False, verbose=0)
    assert parts.optimizer._slot_variables.keys() >= {"momentum", "lookahead.slow"}
    parts.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == parts.optimizer.get_config()
    for one, other in zip(loaded.optimizer.variables, parts.optimizer.variables, strict=True):
        np.testing.assert_array_equal(arrays(one), arrays(other))
    assert float(whole.optimizer.learning_rate) == pytest.approx(0.1)
    assert int(arrays(whole.optimizer.iterations)) == 4


def test_a_plain_model_is_answered_with_the_line_to_change():
    model = linear(kol.SAM("adam"), keras.Sequential)
    with pytest.raises(TypeError, match=r"SAM needs the loss itself.*to kol.Sequential"):
        model.fit(X, Y, verbose=0)


@pytest.mark.once
def test_it_goes_outermost_and_its_gradients_are_not_scaled():
    with pytest.raises(ValueError, match="asks for the loss itself"):
        kol.Lookahead(kol.SAM("adam"))
    with pytest.raises(ValueError, match="loss_scale_factor"):
        kol.SAM(kol.Adam(loss_scale_factor=2.0))
    assert kol.functional.adam  # the functional form of SAM would need the loss
    with pytest.raises(ValueError, match="SAM needs the loss itself"):
        kol.functional.Functional(kol.SAM("adam"))
