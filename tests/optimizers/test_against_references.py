import importlib
from unittest import mock

import keras
import numpy as np
import pytest

from keras_optim_lab import optimizers
from tests.frameworks import arrays, tensors
from tests.optimizers.table import CASES
from tests.oracles.adam import OptaxAMSGrad
from tests.oracles.case import Corrected
from tests.oracles.nadamw import AlgoPerfNAdamW, NAdamW

STEPS = 12
# A built-in of Keras is another one on each backend. The others are the same everywhere, as is
# the oracle, which every backend is compared with.
PAIRS = [
    pytest.param(
        case,
        reference,
        id=f"{case.id}-{reference.package}-{reference.name}-{i}",
        marks=[] if reference.package == "keras" else [pytest.mark.once("torch")],
    )
    for case in CASES
    for i, reference in enumerate(case.references)
]


# A weight that starts at zero is always about as large as the way it has gone, so that rounding
# the weight itself costs no digits of that way. It is far enough from zero soon for decay to show.
START = np.zeros((2, 3), "float32")


def gradients_of_many_sizes():
    """From 0.01 to 10: below, near and above the ε of the table."""
    rng = np.random.default_rng(2)
    size = 10.0 ** rng.uniform(-2, 1, START.shape)
    return (size * rng.normal(size=(STEPS, *START.shape))).astype("float32")


def trajectory(optimizer, gradients):
    """The weight after each step of a Keras optimizer."""
    weight = keras.Variable(START)
    for g in gradients:
        optimizer.apply([tensors(g)], [weight])
        yield arrays(weight.value)


def from_keras(name, settings):
    built_in = getattr(keras.optimizers, name)
    return lambda gradients: trajectory(built_in(**settings), gradients)


def from_torch(name, settings, package="torch.optim"):
    import torch

    def run(gradients):
        weight = torch.nn.Parameter(torch.tensor(START, dtype=torch.float64, device="cpu"))
        optimizer = getattr(importlib.import_module(package), name)([weight], **settings)
        if hasattr(optimizer, "train"):  # schedule-free: the weight is where gradients are taken
            optimizer.train()
        for g in gradients:
            weight.grad = torch.tensor(g, dtype=torch.float64, device="cpu")
            with mock.patch.object(torch.Tensor, "bfloat16", torch.Tensor.clone):
                optimizer.step()
            yield weight.detach().numpy().copy()

    return run


def from_pytorch_optimizer(name, settings):
    return from_torch(name, settings, "pytorch_optimizer")


def from_optax(name, settings, package="optax"):
    import jax

    def run(gradients):
        with jax.enable_x64(True):
            optimizer = getattr(importlib.import_module(package), name)(**settings)
            update = jax.jit(optimizer.update)
            weight = np.asarray(START, "float64")
            state = optimizer.init(weight)
            for g in gradients:
                change, state = update(np.asarray(g, "float64"), state, weight)
                weight = np.asarray(weight + change)
                yield weight

    return run


def from_optax_contrib(name, settings):
    return from_optax(name, settings, "optax.contrib")


def from_prodigyopt(name, settings):
    return from_torch(name, settings, "prodigyopt")


def from_schedulefree(name, settings):
    return from_torch(name, settings, "schedulefree")


PACKAGES = {
    "keras": from_keras,
    "torch": from_torch,
    "optax": from_optax,
    "optax.contrib": from_optax_contrib,
    "prodigyopt": from_prodigyopt,
    "pytorch_optimizer": from_pytorch_optimizer,
    "schedulefree": from_schedulefree,
}


def other(reference, gradients):
    return PACKAGES[reference.package](reference.name, reference.settings)(gradients)


def disagreement(ours, theirs):
    """The largest distance between two trajectories, as a share of the way a weight has gone."""
    ours, theirs = np.stack([*ours]), np.stack([*theirs])
    assert ours.shape == theirs.shape
    way = np.abs(theirs - START).max(axis=0)
    return (np.abs(ours - theirs).max(axis=0) / way).max()


@pytest.mark.parametrize(("case", "reference"), PAIRS)
def test_the_class_equals_the_reference(case, reference, agreement):
    gradients = gradients_of_many_sizes()
    ours = trajectory(case.make(**reference.ours), gradients)
    # Decompositions of matrices lose digits in float32, which the oracle does not.
    allowed = case.tolerance if case.cls.branches else 1e-5
    error = disagreement(ours, other(reference, gradients))
    assert error < allowed
    agreement(case.name, reference.full_name, error)


@pytest.mark.parametrize(
    ("case", "reference"),
    [
        pair
        for pair in PAIRS
        # The built-ins of Keras compute in float32, and an oracle takes no schedule.
        if pair.values[1].package != "keras"
        and not any(isinstance(value, Corrected) for value in pair.values[1].ours.values())
    ],
)
def test_the_oracle_equals_the_reference_in_float64(case, reference):
    gradients = gradients_of_many_sizes()
    ours = case.expected(**reference.ours).descend(START, gradients)
    # PyTorch keeps the product in NAdam's schedule in float32, and optax the decay in Adafactor's,
    # whatever the weights are in.
    # And ε stands elsewhere in front of everyone's Newton–Schulz iteration, and in Prodigy.
    allowed = 1e-6 if case.cls.elementwise and not case.surveys else 1e-5
    assert disagreement(ours, other(reference, gradients)) < allowed


@pytest.mark.once
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_every_case_has_a_relation_to_keras_or_keras_lacks_the_method(case):
    related = any(reference.package == "keras" for reference in case.references)
    assert related != bool(case.keras_has_no)
    assert not hasattr(keras.optimizers, case.keras_has_no or "no name")
    assert any(reference.package != "keras" for reference in case.references)


@pytest.mark.once("torch")
def test_optax_corrects_amsgrad_before_the_maximum_where_the_package_does_after_it():
    gradients = gradients_of_many_sizes()
    theirs = [*from_optax("amsgrad", {"learning_rate": 1e-3, "b2": 0.9})(gradients)]
    definition = OptaxAMSGrad(beta_2=0.9).descend(START, gradients)
    assert disagreement(definition, theirs) < 1e-12
    ours = trajectory(optimizers.Adam(amsgrad=True, beta_2=0.9), gradients)
    assert disagreement(ours, theirs) > 0.1


@pytest.mark.once("torch")
def test_pytorch_optimizer_skips_the_first_steps_of_radam_where_the_paper_takes_them():
    gradients = gradients_of_many_sizes()[:5]
    theirs = [*from_pytorch_optimizer("RAdam", {"n_sma_threshold": 4})(gradients)]
    ours = [*trajectory(optimizers.RAdam(), gradients)]
    assert [np.any(weight) for weight in theirs] == [False] * 4 + [True]
    assert all(np.all(weight) for weight in ours)


@pytest.mark.once("torch")
def test_pytorch_scales_radam_one_step_later_than_the_paper():
    gradients = gradients_of_many_sizes()[:6]
    theirs = [*from_torch("RAdam", {"eps": 0.0})(gradients)]
    ours = [*trajectory(optimizers.RAdam(epsilon=0.0), gradients)]
    assert disagreement(ours[:4], theirs[:4]) < 1e-5
    steps = (np.diff(np.stack(run)[3:], axis=0) for run in (ours, theirs))
    (fifth, sixth), (their_fifth, their_sixth) = steps
    assert np.all(np.abs(fifth / their_fifth - 1) > 1e-3)
    np.testing.assert_allclose(sixth, their_sixth, rtol=1e-3)


@pytest.mark.parametrize(
    ("ours", "built_in", "settings"),
    [
        (optimizers.Adam, "Adam", {}),
        (optimizers.AdamW, "AdamW", {"weight_decay": 0.01}),
        (optimizers.RMSprop, "RMSprop", {}),
        (optimizers.Adagrad, "Adagrad", {"initial_accumulator_value": 0.0}),
    ],
)
def test_the_same_epsilon_parts_from_keras_only_where_gradients_are_as_small(
    ours, built_in, settings
):
    settings = {"learning_rate": 1e-3, "epsilon": 1e-7, **settings}
    gradients = gradients_of_many_sizes()
    small, large = ([factor * g for g in gradients] for factor in (1e-6, 1e6))
    theirs = from_keras(built_in, settings)
    assert disagreement(trajectory(ours(**settings), small), theirs(small)) > 0.1
    assert disagreement(trajectory(ours(**settings), large), theirs(large)) < 1e-5


def test_the_nadam_of_keras_parts_from_that_of_the_paper():
    gradients = gradients_of_many_sizes()
    settings = {"learning_rate": 1e-3, "epsilon": 1e-8}
    ours = trajectory(optimizers.Nadam(**settings), gradients)
    assert disagreement(ours, from_keras("Nadam", settings)(gradients)) > 0.1


@pytest.mark.once
def test_the_nadamw_of_algoperf_takes_longer_steps_at_first():
    ones = np.ones((60, 1))
    ours, theirs = (
        np.diff([np.zeros(1), *oracle(weight_decay=0.0).descend(np.zeros(1), ones)], axis=0)
        for oracle in (NAdamW, AlgoPerfNAdamW)
    )
    longer = (theirs / ours - 1).ravel()
    assert longer[0] == pytest.approx(0.81 / 2.8)
    assert np.all(np.diff(longer) < 0)
    assert longer[49] < 1e-3


def test_the_adagrad_of_keras_starts_its_sum_at_a_tenth():
    assert keras.optimizers.Adagrad().initial_accumulator_value == 0.1
    assert optimizers.Adagrad().initial_accumulator_value == 0.0


def test_adamw_is_adam_with_weight_decay():
    gradients = gradients_of_many_sizes()
    adamw, adam = (
        np.stack([*trajectory(cls(learning_rate=0.01, weight_decay=0.5), gradients)])
        for cls in (optimizers.AdamW, optimizers.Adam)
    )
    np.testing.assert_array_equal(adamw, adam)
    assert optimizers.AdamW().weight_decay == 0.01
    assert keras.optimizers.AdamW().weight_decay == 0.004


@pytest.mark.parametrize("heavy_ball", [False, True])
def test_a_new_learning_rate_scales_the_stored_momentum_here_and_not_in_keras(heavy_ball):
    ours = optimizers.Momentum(0.5, heavy_ball=heavy_ball)
    theirs = keras.optimizers.SGD(0.5 if heavy_ball else 0.05, momentum=0.9)
    moves = {}
    for optimizer in (ours, theirs):
        weight = keras.Variable(START)
        optimizer.apply([tensors(np.ones_like(START))], [weight])
        first = arrays(weight.value)
        optimizer.learning_rate = 0.0
        optimizer.apply([tensors(np.ones_like(START))], [weight])
        moves[optimizer] = (arrays(weight.value) - first) / first
    np.testing.assert_array_equal(moves[ours], 0.0)
    np.testing.assert_allclose(moves[theirs], 0.9, rtol=1e-6)


@pytest.mark.once("torch")
def test_a_schedule_for_both_rates_of_adabound_is_what_its_authors_do_to_both():
    import torch

    gradients = gradients_of_many_sizes()
    schedule = keras.optimizers.schedules.ExponentialDecay
    ours = optimizers.AdaBound(
        learning_rate=schedule(1e-3, decay_steps=10, decay_rate=0.5),
        final_learning_rate=schedule(1e-2, decay_steps=10, decay_rate=0.5),
        gamma=0.1,
    )
    weight = torch.nn.Parameter(torch.zeros(START.shape, dtype=torch.float64))
    package = importlib.import_module("pytorch_optimizer")
    theirs = package.AdaBound([weight], lr=1e-3, final_lr=1e-2, gamma=0.1)
    way = []
    for t, g in enumerate(gradients):
        theirs.param_groups[0]["lr"] = 1e-3 * 0.5 ** (t / 10)
        weight.grad = torch.tensor(g, dtype=torch.float64)
        theirs.step()
        way.append(weight.detach().numpy().copy())
    assert disagreement(trajectory(ours, gradients), way) < 1e-5
