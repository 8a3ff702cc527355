"""Conversions from other packages take the same path, to the digits that the documents say."""

import inspect
import re
from pathlib import Path

import keras
import numpy as np
import optax
import pytest
import torch

import keras_optim_lab as kol

pytestmark = pytest.mark.once("torch")  # which has the least to do

DOCS = Path(__file__).parents[1] / "docs" / "coming-from"
PAIR = re.compile(r"^\| `(.+)` \| `(kol\..+)` \| (\d) \|$", re.MULTILINE)
PAIRS = [
    pytest.param(*pair, id=f"{page}: {pair[0]}")
    for page in ("torch-optim", "optax", "keras")
    for pair in PAIR.findall((DOCS / f"{page}.md").read_text("utf-8"))
]
STEPS = 10
START = 0.05 * np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
GRADIENTS = np.random.default_rng(1).normal(size=(STEPS, 4, 3)).astype("float32")


def ours(call):
    return keras_path(eval(call, {"kol": kol, "keras": keras}))


def keras_path(optimizer):
    weight = keras.Variable(START)
    optimizer.build([weight])
    path = []
    for gradient in GRADIENTS:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [weight])
        path.append(keras.ops.convert_to_numpy(weight).copy())
    return np.stack(path)


def theirs(call):
    if call.startswith("keras"):
        return keras_path(eval(call, {"keras": keras}))
    if call.startswith("optax"):
        return optax_path(eval(call, {"optax": optax}))
    weight = torch.nn.Parameter(torch.tensor(START))
    optimizer, path = eval(call, {"torch": torch, "params": [weight]}), []
    for gradient in GRADIENTS:
        weight.grad = torch.tensor(gradient)
        optimizer.step()
        path.append(weight.detach().numpy().copy())
    return np.stack(path)


def optax_path(rule):
    weight, path = START, []
    state = rule.init(weight)
    for gradient in GRADIENTS:
        step, state = rule.update(gradient, state, weight)
        weight = optax.apply_updates(weight, step)
        path.append(np.asarray(weight))
    return np.stack(path)


@pytest.mark.parametrize(("call", "converted", "digits"), PAIRS)
def test_a_conversion_takes_the_same_path(call, converted, digits):
    mine, other = ours(converted), theirs(call)
    way = np.abs(other - START).max()
    apart = np.abs(mine - other).max() / way
    assert apart < 10.0 ** -int(digits)


@pytest.mark.parametrize(
    ("module", "page", "but"),
    [
        (torch.optim, "torch-optim", {"Optimizer"}),
        (keras.optimizers, "keras", {"Optimizer", "OptimizerMap"}),
    ],
)
def test_every_optimizer_of_another_package_is_named(module, page, but):
    text = (DOCS / f"{page}.md").read_text("utf-8")
    classes = {name for name in dir(module) if inspect.isclass(getattr(module, name))}
    missing = [name for name in sorted(classes - but) if not re.search(rf"\b{name}\b", text)]
    assert not missing
