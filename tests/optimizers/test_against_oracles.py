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


def cut(vector, shapes=SHAPES):
    ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])
    assert ends[-1] == SIZE
    return [
        part.reshape(shape) for part, shape in zip(np.split(vector, ends), shapes, strict=False)
    ]


def through_keras(case, gradients):
    """For every weight its gradients, and it and its slots before the first and after every step.

    The weights begin at zero and are moved by `apply`, for fewer steps: each is a call of its own.
    """
    optimizer = case.make()
    gradients = gradients[: STEPS // 5]
    shapes = ((SIZE,),) if case.surveys else SHAPES
    weights = [keras.Variable(np.zeros(shape, "float32")) for shape in shapes]
    apply = applied(optimizer, weights)

    def now():
        shared = {name: optimizer._shared_variables[name] for name in case.oracle.shared}
        return [
            (arrays(w), arrays({**optimizer._slots[i], **shared})) for i, w in enumerate(weights)
        ]

    moments = [now()]
    for g in gradients:
        apply(tensors(cut(g, shapes)))
        moments.append(now())
    pieces = zip(*(cut(g, shapes) for g in gradients), strict=True)
    return [*zip(pieces, zip(*moments, strict=True), strict=True)]


def through_functions(case, gradients):
    """The same with all steps in one compiled program of the pure function.

    Numbers that are treated alone are one weight.
    """
    shapes = ((SIZE,),) if case.cls.elementwise else SHAPES
    functional = Functional(case.make())

    def step(before, g):
        after = functional.update(before[0], g, before[1])
        return after, after

    def descend(w, gradients):
        start = (w, functional.init(w))
        return start, ops.scan(step, start, gradients)[1]

    pieces = [np.stack(each) for each in zip(*(cut(g, shapes) for g in gradients), strict=True)]
    first = [np.zeros(shape) for shape in shapes]
    start, then = arrays(compiled(descend)(*tensors((first, pieces))))

    def path(i):
        (w, state), (ws, states) = start, then
        names = [name for name, each in state.slots.items() if each[i].size]
        shared = case.oracle.shared
        yield (
            w[i],
            {
                **{name: state.slots[name][i] for name in names},
                **{name: state.shared[name] for name in shared},
            },
        )
        for t in range(STEPS):
            yield (
                ws[i][t],
                {
                    **{name: states.slots[name][i][t] for name in names},
                    **{name: states.shared[name][t] for name in shared},
                },
            )

    return [(each, [*path(i)]) for i, each in enumerate(pieces)]


def gradients_of_all_sizes(size, decades=(-4, 2)):
    """Each number from 1e-4 to 1e2 at any step, and one in ten exactly zero."""
    rng = np.random.default_rng(1)
    gradients = rng.normal(size=(STEPS, size)) * 10.0 ** rng.uniform(*decades, (STEPS, size))
    return (gradients * (rng.random((STEPS, size)) > 0.1)).astype("float32")


def excess(actual, expected, allowed):
    """The largest error in units of what is allowed."""
    error = np.abs(actual - expected)
    units = np.divide(error, allowed, out=np.where(error == 0, 0.0, np.inf), where=allowed > 0)
    return units.max(initial=0.0)


def assert_step(case, oracle, t, g, before, after):
    """From the float32 state at hand, one step is that of the oracle to 1e-6.

    What is left where the terms of a sum cancel carries the rounding of the terms. So an error is
    measured by the step that magnitudes alone would give, where nothing cancels.
    """
    g, w = g.astype("float64"), before[0].astype("float64")
    slots = {name: slot.astype("float64") for name, slot in before[1].items()}
    expected_w, expected_slots = oracle.next(w, g, slots, t)
    largest_step, largest_slots = oracle.largest(w, g, slots, t)
    new_w, new_slots = after
    # A weight is rounded once more when the step is taken from it: half a unit in its last place.
    # The weights begin at zero, so that their last place stays small beside a step.
    allowed = case.tolerance * largest_step + 2.0**-24 * np.abs(expected_w)
    assert excess(new_w, expected_w, allowed) <= 1, f"weight, step {t}"
    assert new_slots.keys() == expected_slots.keys()
    for name, slot in new_slots.items():
        if name in oracle.undetermined:
            continue
        allowed = case.tolerance * largest_slots[name]
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
def gradients(case):
    return gradients_of_all_sizes(SIZE, case.decades)


@pytest.fixture(scope="module")
def paths(way, case, gradients):
    return way(case, gradients)


def test_every_step_is_that_of_the_paper(paths, case):
    oracle = case.expected()
    for gradients, path in paths:
        steps = zip(gradients, path, path[1:], strict=False)
        for t, (g, before, after) in enumerate(steps, start=1):
            assert_step(case, oracle, t, g, before, after)


def test_many_steps_do_not_drift(paths, case, agreement):
    for gradients, ((start, _), *steps) in paths:
        weights = np.stack([w for w, _ in steps])
        expected = np.stack([*case.expected().descend(start, gradients)])
        way = np.abs(expected).max(axis=0)
        allowed = np.broadcast_to(10 * case.tolerance * way, expected.shape)
        share = excess(weights, expected, allowed)
        assert share <= 1
        agreement(case.name, "the paper, in NumPy float64", 10 * case.tolerance * share)


def check_run(case, optimizer, oracle, gradients, start):
    """Every step of a short run on one vector."""
    weight = keras.Variable(start)
    optimizer.build([weight])

    def now():
        shared = {name: optimizer._shared_variables[name] for name in case.oracle.shared}
        return arrays(weight.value), arrays({**optimizer._slots[0], **shared})

    before = now()
    for t, g in enumerate(gradients, start=int(arrays(optimizer.iterations.value)) + 1):
        optimizer.apply([tensors(g)], [weight])
        after = now()
        assert_step(case, oracle, t, g, before, after)
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
    ("lion", {"beta_1": 0.0}),
    ("lion", {"beta_2": 0.99999}),
    ("adan", {"beta_1": 0.0, "beta_2": 0.0}),
    ("adan", {"beta_3": 0.99999, "epsilon": 0.0}),
    ("adabelief", {"beta_1": 0.5}),
    ("adabelief", {"beta_2": 0.99999, "epsilon": 1e-8}),
    ("adopt", {"beta_1": 0.0}),
    ("adopt", {"beta_2": 0.0, "epsilon": 0.0}),
    ("ademamix", {"warmup": 4.0}),
    ("ademamix", {"warmup": 1e6, "beta_3": 0.999999}),
    ("nadamw", {"beta_1": 0.0}),
    ("nadamw", {"beta_1": 0.99999, "beta_2": 0.99999}),
    ("adafactor", {"clip_threshold": 0.1}),
    ("adafactor-momentum", {"relative_step": False}),
    ("lamb", {"beta_2": 0.99999, "weight_decay": 1.0}),
    ("lars", {"momentum": 0.99999, "trust_coefficient": 1.0}),
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
    check_run(case, case.make(**changes), case.expected(**changes), gradients, still)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_every_method_subtracts_decoupled_weight_decay(case):
    changes = {"learning_rate": 0.1, "weight_decay": 0.5}
    gradients = gradients_of_all_sizes(4)[:6]
    check_run(
        case,
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
    check_run(case, optimizer, case.expected(**changes), gradients, np.zeros(4, "float32"))
