"""Hyperparameters can be changed, scheduled and given as callables while a model trains."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_optim_lab import optimizers
from keras_optim_lab.optimizers import Adam, GradientDescent
from keras_optim_lab.optimizers.shell.numeric import DecayRate

pytestmark = pytest.mark.shell

CLASSES = {entry.name: entry.cls for entry in optimizers.entries()}

SMALLEST = 1e-30

every_number = pytest.mark.parametrize(
    ("cls", "name"),
    [
        pytest.param(cls, name, id=f"{optimizer}-{name}")
        for optimizer, cls in CLASSES.items()
        for name in cls.numeric
    ],
)


class Sequence(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that gives the numbers of a list, and repeats the last."""

    def __init__(self, numbers):
        self.numbers = numbers

    def __call__(self, step):
        index = ops.minimum(ops.cast(step, "int32"), len(self.numbers) - 1)
        return ops.take(ops.convert_to_tensor(self.numbers, dtype="float32"), index)


def given(case, name):
    """The number that the case gives to a field; 0.01 for weight decay, which has none."""
    return float(case.make().get_config()[name] or 0.01)


def another(case, name):
    """A number far from the one that the case gives."""
    return 0.5 * given(case, name) if is_decay(case, name) else 3.0 * given(case, name)


def numbers(case, which):
    return {name: which(case, name) for name in CLASSES[case.name].numeric}


def is_decay(case, name):
    return isinstance(CLASSES[case.name].fields[name], DecayRate)


def state_of(optimizer):
    """The variables that are no hyperparameters."""
    return [v for v in optimizer.variables if v.path.split("/")[-1] not in optimizer.numeric]


# Changes between steps.


def test_changed_numbers_act_from_the_next_step_on(case, walk, start, gradients, assert_same_path):
    changed = case.make(**numbers(case, given))
    between = walk(changed, start, gradients[:3])[-1]
    created = case.make(**numbers(case, another))
    walk(created, start, [])
    for variable, value in zip(state_of(created), state_of(changed), strict=True):
        variable.assign(value)

    for name, number in numbers(case, another).items():
        setattr(changed, name, number)
    path = walk(changed, between, gradients[3:5])
    assert_same_path(path, walk(created, between, gradients[3:5]), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("learning_rate", 0.5),
        ("beta_1", 0.1),
        ("beta_2", 0.1),
        ("epsilon", 0.5),
        ("weight_decay", 0.5),
    ],
)
def test_changing_a_number_of_adam_changes_the_numbers(name, number, walk, start, gradients):
    kept, changed = Adam(0.1, weight_decay=0.0), Adam(0.1, weight_decay=0.0)
    between = walk(kept, start, gradients[:2])[-1]
    walk(changed, start, gradients[:2])
    setattr(changed, name, number)
    moves = [walk(o, between, gradients[2:3])[0][0] - between[0] for o in (kept, changed)]
    assert np.min(np.abs(moves[0] - moves[1])) > 1e-3


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)
def test_changing_numbers_between_fits_traces_nothing_again(
    cls, make_model, data, backend, monkeypatch
):
    calls = []
    rule = cls.rule
    monkeypatch.setattr(cls, "rule", lambda *args: calls.append(1) or rule(*args))
    if backend == "torch":
        from keras_optim_lab.backend.torch import recording

        recording.recordings.clear()
    model = make_model(cls(weight_decay=0.0), build=False)  # but by `fit`
    model.fit(*data, batch_size=4, epochs=1, verbose=0)
    before = len(calls)
    weights = model.get_weights()

    for name, field in cls.numeric.items():
        setattr(model.optimizer, name, 0.5 if isinstance(field, DecayRate) else SMALLEST)
    model.fit(*data, batch_size=4, epochs=1, verbose=0)
    # PyTorch cannot record a rule that branches, and has nothing to trace.
    assert before > 0
    assert before == len(calls) or (backend == "torch" and cls.branches)
    if hasattr(cls, "average_field"):
        return  # the average goes on moving to where the fast weights are
    # With a learning rate of nearly zero the compiled step moves nothing: the change has arrived.
    for weight, old in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_allclose(weight, old, rtol=0, atol=1e-20)


# Schedules and callables.


def test_constant_schedules_and_callables_equal_constants(
    case, walk, start, gradients, assert_same_path
):
    expected = walk(case.make(**numbers(case, given)), start, gradients[:2])
    callables = {name: lambda x=number: x for name, number in numbers(case, given).items()}
    path = walk(case.make(**callables), start, gradients[:2])
    assert_same_path(path, expected, rtol=1e-6, atol=1e-7)
    # A schedule computes β in float32, which has four digits of 1 − 0.999.
    schedules = {name: Sequence([number]) for name, number in numbers(case, given).items()}
    path = walk(case.make(**schedules), start, gradients[:2])
    assert_same_path(path, expected, rtol=1e-4, atol=1e-5)


def test_schedules_equal_setting_the_numbers_before_each_step(
    case, walk, start, gradients, assert_same_path
):
    sequences = {
        name: [given(case, name), another(case, name), given(case, name)]
        for name in CLASSES[case.name].numeric
    }
    schedules = {name: Sequence(sequence) for name, sequence in sequences.items()}
    scheduled = walk(case.make(**schedules), start, gradients[:3])

    by_hand = case.make(**numbers(case, given))
    path = [start]
    for i, step in enumerate(gradients[:3]):
        for name, sequence in sequences.items():
            setattr(by_hand, name, sequence[i])
        path += walk(by_hand, path[-1], [step])
    assert_same_path(scheduled, path[1:], rtol=1e-4, atol=1e-5)


def test_a_schedule_gives_each_step_its_own_learning_rate(walk, start, gradients):
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1, 3], [1.0, 0.1, 0.01])
    path = walk(GradientDescent(schedule), start, gradients[:5])
    weights = start
    for after, step, eta in zip(path, gradients, [1.0, 1.0, 0.1, 0.1, 0.01], strict=False):
        weights = [w - eta * g for w, g in zip(weights, step, strict=True)]
        np.testing.assert_allclose(after[0], weights[0], rtol=1e-5)


def test_a_schedule_acts_in_a_compiled_fit(make_model, data):
    model = make_model(GradientDescent(Sequence([0.1, 0.0])))
    model.fit(*data, batch_size=8, verbose=0)
    weights = model.get_weights()
    model.fit(*data, batch_size=8, epochs=2, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], weights[0])
    assert float(model.optimizer.learning_rate) == 0.0


def test_a_schedule_of_a_decay_rate_can_be_read_at_its_present_step(walk, start, gradients):
    optimizer = Adam(beta_1=Sequence([0.5, 0.75, 0.875]))
    assert optimizer.beta_1 == 0.5
    walk(optimizer, start, gradients[:2])
    assert optimizer.beta_1 == 0.875


@every_number
def test_a_number_cannot_be_set_where_a_schedule_was_given(cls, name):
    optimizer = cls(**{name: Sequence([0.5])})
    with pytest.raises(TypeError, match=rf"`{name}` is given by .* cannot be set to 0\.25"):
        setattr(optimizer, name, 0.25)
    assert float(getattr(optimizer, name)) == 0.5


@every_number
def test_a_schedule_takes_the_place_of_a_number_and_of_its_variable(cls, name):
    optimizer = cls(**{name: 0.75})
    count = len(optimizer.variables)
    setattr(optimizer, name, Sequence([0.25, 0.5]))
    assert len(optimizer.variables) == count - 1
    assert not any(v.path.endswith(f"/{name}") for v in optimizer.variables)
    assert float(getattr(optimizer, name)) == 0.25


# Weight decay can be None.


def test_weight_decay_can_be_switched_on_until_the_optimizer_is_built(walk, start, gradients):
    optimizer = GradientDescent(0.1)
    optimizer.weight_decay = 0.5
    path = walk(optimizer, start, [[np.zeros_like(w) for w in start]])
    np.testing.assert_allclose(path[0][0], 0.95 * start[0], rtol=1e-6)
    optimizer.weight_decay = 0.25
    assert optimizer.weight_decay == 0.25


@pytest.mark.parametrize(("old", "new"), [(None, 0.1), (0.1, None)])
def test_weight_decay_cannot_change_between_none_and_a_number_once_built(old, new, walk, start):
    optimizer = Adam(weight_decay=old)
    walk(optimizer, start, [])
    with pytest.raises(ValueError, match=r"cannot change between None and a number.*=0\.0"):
        optimizer.weight_decay = new
    assert optimizer.weight_decay == old
    optimizer.weight_decay = old


# Callbacks of Keras.


def test_keras_callbacks_set_the_learning_rate(make_model, data):
    model = make_model(Adam(0.1))
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    history = model.fit(*data, epochs=3, callbacks=[schedule], verbose=0).history
    np.testing.assert_allclose(history["learning_rate"], [0.05, 0.025, 0.0125], rtol=1e-6)
    assert model.optimizer.get_config()["learning_rate"] == pytest.approx(0.0125, rel=1e-6)

    plateau = keras.callbacks.ReduceLROnPlateau(
        monitor="loss", factor=0.1, patience=1, min_delta=1e9
    )
    model.fit(*data, epochs=3, callbacks=[plateau], verbose=0)
    np.testing.assert_allclose(float(model.optimizer.learning_rate), 0.000125, rtol=1e-5)
