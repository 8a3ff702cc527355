"""What contains what: true by the formulas, and judged by the runs that an experiment has."""

import numpy as np
import pytest

import keras_optim_lab as kol
from keras_optim_lab.experiments.inclusion import NESTED, Searched, inclusions, sentence
from tests.experiments.texts import OPTIMIZERS

pytestmark = pytest.mark.once

RATE, BETA, FAR = 0.02, 0.8, 1e4  # FAR: an ε that leaves nothing of the root beside it

# By pair: both with settings by which they are one, and what the first one's correction for its
# beginning, of β or ρ, makes of a step.
SAME = {
    ("adamw", "adam"): (
        *({"beta_1": BETA, "weight_decay": 0.0}, {"beta_1": BETA}),
        lambda t: 1.0,
    ),
    ("adam", "momentum"): (
        {"learning_rate": RATE * FAR, "beta_1": BETA, "epsilon": FAR},
        {"learning_rate": RATE, "beta": BETA},
        lambda t: 1 - BETA**t,
    ),
    ("adam", "rmsprop"): (
        {"learning_rate": RATE, "beta_1": 0.0, "beta_2": BETA},
        {"learning_rate": RATE, "rho": BETA},
        lambda t: (1 - BETA**t) ** -0.5,
    ),
    ("momentum", "gradient_descent"): (
        *({"learning_rate": RATE, "beta": 0.0}, {"learning_rate": RATE}),
        lambda t: 1.0,
    ),
    ("rmsprop", "gradient_descent"): (
        {"learning_rate": RATE * FAR, "epsilon": FAR},
        {"learning_rate": RATE},
        lambda t: 1.0,
    ),
}


def steps(name, settings, gradients):
    method = getattr(kol.functional, name)(**settings)
    weights = np.zeros(gradients.shape[1], "float32")
    state, taken = method.init(weights), []
    for gradient in gradients:
        after, state = method.update(weights, gradient, state)
        taken.append(np.asarray(after))
    return np.array(taken)  # each from zero


@pytest.mark.parametrize("pair", NESTED)
def test_the_larger_takes_the_steps_of_the_smaller(pair):
    large, small, corrected = SAME[pair]
    gradients = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
    longer = np.array([[corrected(t)] for t in range(1, 7)])
    taken, wanted = steps(pair[0], large, gradients), steps(pair[1], small, gradients)
    np.testing.assert_allclose(taken * longer, wanted, rtol=2e-3, atol=1e-7)


def test_reasons_hold_the_ends_of_the_ranges_that_are_searched():
    adam, momentum, adamw = map(kol.search_space, ("adam", "momentum", "adamw"))
    assert f"λ is searched from {adamw['weight_decay'].low} on" in NESTED["adamw", "adam"]
    assert f"β₁ up to {1 - adam['1-beta_1'].low}" in NESTED["adam", "momentum"]
    assert f"β₁ is searched from {1 - adam['1-beta_1'].high} on" in NESTED["adam", "rmsprop"]
    lowest = NESTED["momentum", "gradient_descent"]
    assert f"β is searched from {1 - momentum['1-beta'].high} on" in lowest


def named(*optimizers):
    return {name: Searched(name, {}) for name in optimizers}


def pairs(methods):
    values = {name: [1.0, 2.0] for name in methods}
    return [(e.larger, e.smaller) for e in inclusions(methods, values, "minimize")]


def test_what_stands_between_is_passed_over_only_where_it_is_missing():
    every = named("gradient_descent", "momentum", "rmsprop", "adam", "adamw", "lion", "nadam")
    assert {*pairs(every)} == {*NESTED}
    methods = named("adamw", "momentum", "gradient_descent")
    through = [("adamw", "momentum"), ("adamw", "gradient_descent")]  # by momentum and RMSprop
    assert pairs(methods) == [*through, ("momentum", "gradient_descent")]
    (first, *_) = inclusions(methods, {name: [1.0, 2.0] for name in methods}, "minimize")
    assert first.because == f"{NESTED['adamw', 'adam']}; then {NESTED['adam', 'momentum']}"
    assert pairs(named("adam", "gradient_descent")) == [("adam", "gradient_descent")]


def test_a_method_contains_what_is_searched_in_less():
    """A space that was changed says nothing of other optimizers."""
    methods = {
        "all": Searched("adam", {}),
        "ε fixed": Searched("adam", {"epsilon": 1e-8}),
        "β₁ fixed": Searched("adam", {"beta_1": 0.9, "epsilon": 1e-8}),
        "narrow": Searched("adam", {"beta_1": (0.8, 0.9)}),
        "beyond": Searched("adam", {"epsilon": 10.0}),
        "scheduled": Searched("adam", {"schedule": ["constant", "cosine"]}),
        "plain": Searched("momentum", {}),
        "batches of 32": Searched("adam", {"batch_size": 32}),
        "some batches": Searched("adam", {"batch_size": [16, 32]}),
    }
    assert {*pairs(methods)} == {
        *(("all", name) for name in ("ε fixed", "β₁ fixed", "narrow", "plain")),
        *((name, "β₁ fixed") for name in ("ε fixed", "narrow")),
        *(("scheduled", name) for name in ("all", "ε fixed", "β₁ fixed", "narrow")),
        ("some batches", "batches of 32"),
    }


@pytest.mark.parametrize(
    ("adam", "momentum", "direction", "worse"),
    [
        ([1.0, 1.1, 1.2], [1.0, 1.12, 1.19], "minimize", False),
        ([1.5, 1.6, 1.7], [1.0, 1.1, 1.21], "minimize", True),
        ([1.5, 1.6, 1.7], [1.0, 1.1, 1.21], "maximize", False),
        ([1.0, 1.1, 1.2], [1.5, 1.6, 1.71], "maximize", True),
        ([1.0, np.nan, 1.2], [1.0, 1.1, 1.2], "minimize", True),
        ([1.0, 1.1, 1.2], [1.0, np.nan, 1.2], "minimize", False),
        ([1.5, 1.1, 1.3], [1.2, 1.3, 1.0], "minimize", False),
    ],
)
def test_a_search_has_not_finished_where_what_it_contains_is_better(
    adam, momentum, direction, worse
):
    values = {"adam": adam, "momentum": momentum}
    (found,) = inclusions(named("adam", "momentum"), values, direction)
    assert found.worse == worse
    assert ("adam is worse than momentum" in sentence([found])) == worse
    assert ("not finished" in sentence([found])) == worse


def test_the_page_of_an_experiment_says_it(experiment):
    text = OPTIMIZERS.replace('"momentum", "adam"', '"gradient_descent", "momentum"')
    run = experiment(text + 'document = "../docs/tuned.md"\n')
    page = run.run().read_text(encoding="utf-8")
    (found,) = run._inclusions
    assert (found.larger, found.smaller) == ("momentum", "gradient_descent")
    document = run.documents()[0].path.read_text(encoding="utf-8")
    for written in (page, document):
        assert sentence([found]) in written
        assert found.because in written
    alone = experiment(OPTIMIZERS.replace('"momentum", "adam"', '"momentum", "lion"'), "alone")
    assert "Inclusion" not in alone.run().read_text(encoding="utf-8")
