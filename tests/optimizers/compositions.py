"""Optimizers made of others, and a network and numbers to try them on."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

import keras_optim_lab as kol
from keras_optim_lab.optimizers import (
    Adam,
    GradientDescent,
    Momentum,
    Nadam,
)
from tests.frameworks import applied, tensors
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


def assert_equal(found, expected):
    for name, number in expected.items():
        np.testing.assert_array_equal(as_array(found[name]), np.float32(number))


def network(optimizer, cls=keras.Sequential, **arguments):
    layers = keras.layers
    first = layers.Dense(4, activation="tanh", name="first", kernel_initializer=random(1))
    head = layers.Dense(1, name="head", kernel_initializer=random(2))
    model = cls([keras.Input((3,)), first, head], name="network")
    model.compile(optimizer, "mse", **arguments)
    return model


def random(seed):
    return keras.initializers.RandomNormal(0.0, 0.5, seed=seed)


def rates(optimizer):
    """By path how far a gradient of 1 moves each weight."""
    weights = variables({name: np.zeros(shape, "float32") for name, shape in SHAPES.items()})
    optimizer.build(weights)
    optimizer.apply([ops.ones(shape) for shape in SHAPES.values()], weights)
    return {n: float(-as_array(w).ravel()[0]) for n, w in zip(SHAPES, weights, strict=True)}
