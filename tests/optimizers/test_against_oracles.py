import keras
import numpy as np
import pytest
from keras import ops

from keras_optim_lab.functional import Functional
from tests.frameworks import applied, arrays, compiled, tensors
from tests.optimizers.table import CASES

STEPS = 200


# The numbers of a test as weights of zero to four dimensions.
SHAPES = ((), (3,), (2, 3), (2, 1, 2, 2))
SIZE = 18


def cut(vector):
    ends = np.cumsum([np.prod(shape, dtype=int) for shape in SHAPES])
    assert ends[-1] == SIZE
    return [
        part.reshape(shape) for part, shape in zip(np.split(vector, ends), SHAPES, strict=False)
    ]


def joined(variables):
    return np.concatenate([arrays(variable.value).ravel() for variable in variables])


def through_keras(optimizer, gradients):
    """Weights of zero and their slots before the first and after every `apply`, as vectors."""
    weights = [keras.Variable(np.zeros(shape, "float32")) for shape in SHAPES]
    apply = applied(optimizer, weights)

    def now():
        slots = optimizer._slot_variables.items()
        return joined(weights), {name: joined(variables) for name, variables in slots}

    path = [now()]
    for g in gradients:
        apply(tensors(cut(g)))
        path.append(now())
    return path


def through_functions(optimizer, gradients):
    """The same for one vector, with all steps in one compiled program of the pure function."""
    functional = Functional(optimizer)

    def step(before, g):
        after = functional.update(before[0], g, before[1])
        return after, after

    def descend(w, gradients):
        start = (w, functional.init(w))
        return start, ops.scan(step, start, gradients)[1]

    (w, first), (weights, state) = arrays(compiled(descend)(*tensors((np.zeros(SIZE), gradients))))
    slots = [{name: slot[t] for name, slot in state.slots.items()} for t in range(STEPS)]
    return [(w, first.slots), *zip(weights, slots, strict=True)]


def gradients_of_all_sizes(size):
    """Each number from 1e-4 to 1e2 at any step, and one in ten exactly zero."""
    rng = np.random.default_rng(1)
    gradients = rng.normal(size=(STEPS, size)) * 10.0 ** rng.uniform(-4, 2, (STEPS, size))
    return (gradients * (rng.random((STEPS, size)) > 0.1)).astype("float32")


def excess(actual, expected, allowed):
    """The largest error in units of what is allowed."""
    error = np.abs(actual - expected)
    return np.divide(error, allowed, out=np.where(error == 0, 0.0, np.inf), where=allowed > 0).max()


def assert_step(oracle, t, g, before, after):
    """From the float32 state at hand, one step is that of the oracle to 1e-6.

    What is left where the terms of a sum cancel carries the rounding of the terms. So an error is
    measured by the step that magnitudes alone would give, where nothing cancels.
    """
    g, w = g.astype("float64"), before[0].astype("float64")
    slots = {name: slot.astype("float64") for name, slot in before[1].items()}
    expected_w, expected_slots = oracle.next(w, g, slots, t)
    magnitudes = {name: np.abs(slot) for name, slot in slots.items()}
    largest_w, largest_slots = oracle.next(-np.abs(w), np.abs(g), magnitudes, t)
    largest_step = np.abs(largest_w + np.abs(w))
    new_w, new_slots = after
    # A weight is rounded once more when the step is taken from it: half a unit in its last place.
    # The weights begin at zero, so that their last place stays small beside a step.
    allowed = 1e-6 * largest_step + 2.0**-24 * np.abs(expected_w)
    assert excess(new_w, expected_w, allowed) <= 1, f"weight, step {t}"
    assert new_slots.keys() == expected_slots.keys()
    for name, slot in new_slots.items():
        allowed = 1e-6 * largest_slots[name]
        assert excess(slot, expected_slots[name], allowed) <= 1, f"{name}, step {t}"


@pytest.fixture(
    scope="module", params=[through_keras, through_functions], ids=["keras", "functions"]
)
def way(request):
    return request.param


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.id)
def case(request):
    return request.param


@pytest.fixture(scope="module")
def gradients():
    return gradients_of_all_sizes(SIZE)


@pytest.fixture(scope="module")
def path(way, case, gradients):
    return way(case.make(), gradients)


def test_every_step_is_that_of_the_paper(path, case, gradients):
    oracle = case.expected()
    for t, (g, before, after) in enumerate(zip(gradients, path, path[1:], strict=False), start=1):
        assert_step(oracle, t, g, before, after)


def test_two_hundred_steps_do_not_drift(path, case, gradients):
    (start, _), *steps = path
    weights = np.stack([w for w, _ in steps])
    expected = np.stack([*case.expected().descend(start, gradients)])
    way = np.abs(expected).max(axis=0)
    assert excess(weights, expected, np.broadcast_to(1e-5 * way, expected.shape)) <= 1


def check_run(optimizer, oracle, gradients, start):
    """Every step of a short run on one vector."""
    weight = keras.Variable(start)
    optimizer.build([weight])

    def now():
        slots = {n: arrays(each.value) for n, (each,) in optimizer._slot_variables.items()}
        return arrays(weight.value), slots

    before = now()
    for t, g in enumerate(gradients, start=int(arrays(optimizer.iterations.value)) + 1):
        optimizer.apply([tensors(g)], [weight])
        after = now()
        assert_step(oracle, t, g, before, after)
        before = after


HARD = [
    ("momentum", {"beta": 0.0}),
    ("momentum", {"beta": 0.99999}),
    ("heavy-ball", {"beta": 0.0}),
    ("heavy-ball", {"beta": 0.99999}),
    ("rmsprop", {"rho": 0.0}),
    ("rmsprop", {"rho": 0.99999}),
    ("rmsprop", {"epsilon": 0.0}),
    ("rmsprop-centered", {"epsilon": 0.0}),
    ("rmsprop-momentum", {"momentum": 0.999}),
    ("adagrad", {"epsilon": 0.0}),
    ("adagrad", {"initial_accumulator_value": 1e6}),
    ("adam", {"beta_1": 0.0}),
    ("adam", {"beta_2": 0.0}),
    ("adam", {"beta_1": 0.0, "beta_2": 0.0}),
    ("adam", {"beta_2": 0.99999}),
    ("adam", {"beta_1": 0.99999, "beta_2": 0.9999999}),
    ("adam", {"epsilon": 0.0}),
    ("adam", {"epsilon": 1.0}),
    ("amsgrad", {"beta_2": 0.99999, "epsilon": 0.0}),
    ("adamw", {"beta_2": 0.99999, "weight_decay": 1.0}),
    ("nadam", {"beta_1": 0.0}),
    ("nadam", {"beta_2": 0.99999}),
    ("nadam", {"epsilon": 0.0, "momentum_decay": 0.0}),
    ("nadam", {"beta_1": 0.996, "momentum_decay": 1.0}),
    ("radam", {"beta_1": 0.0}),
    ("radam", {"beta_2": 0.0}),
    ("radam", {"beta_2": 0.5}),
    ("radam", {"beta_2": 0.6}),
    ("radam", {"beta_2": 0.9}),
    ("radam", {"beta_2": 0.99999, "epsilon": 0.0}),
    ("radam", {"beta_2": 0.9999999}),
    ("radam", {"threshold": 0.0}),
    ("adabound", {"beta_1": 0.0}),
    ("adabound", {"beta_2": 0.99999, "final_learning_rate": 1e-3}),
    ("amsbound", {"epsilon": 0.0, "gamma": 1.0}),
]


@pytest.mark.parametrize(
    ("case", "changes"),
    [pytest.param(next(c for c in CASES if c.id == id_), h, id=f"{id_}-{h}") for id_, h in HARD],
)
def test_steps_stay_exact_at_hard_hyperparameters_and_scales(case, changes):
    rng = np.random.default_rng(3)
    scale = np.repeat([1e-12, 1.0, 1e6], 4)
    sign = rng.choice([-1.0, 1.0], (6, 12))
    gradients = (scale * sign * 10.0 ** rng.uniform(-2, 2, (6, 12))).astype("float32")
    still = np.zeros(12, "float32")
    check_run(case.make(**changes), case.expected(**changes), gradients, still)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_every_method_subtracts_decoupled_weight_decay(case):
    changes = {"learning_rate": 0.1, "weight_decay": 0.5}
    gradients = gradients_of_all_sizes(4)[:6]
    check_run(
        case.make(**changes),
        case.expected(**changes),
        gradients,
        np.array([1.0, -2.0, 0.0, 1e-3], "float32"),
    )


@pytest.mark.parametrize("steps", [10**5, 10**7])
@pytest.mark.parametrize("id_", ["adam", "amsgrad", "radam", "adabound"])
def test_steps_stay_exact_after_millions_of_steps(id_, steps):
    case = next(case for case in CASES if case.id == id_)
    changes = {"beta_2": 0.999999}
    optimizer = case.make(**changes)
    optimizer.iterations.assign(steps)
    gradients = gradients_of_all_sizes(4)[:3]
    check_run(optimizer, case.expected(**changes), gradients, np.zeros(4, "float32"))
