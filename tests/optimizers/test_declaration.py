"""What a declaration promises: arguments, help, errors, configuration and the catalogue."""

import inspect
import json
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from keras_optim_lab import optimizers
from keras_optim_lab.curvature import SAM
from keras_optim_lab.optimizers import Adam, AdamW, GradientDescent, Momentum, catalogue
from keras_optim_lab.optimizers.shell.field_kinds import Constant, KerasArgument, Static, Switch
from keras_optim_lab.optimizers.shell.fields import decay, nonnegative, rate
from keras_optim_lab.optimizers.shell.numeric import DecayRate, Numeric

pytestmark = pytest.mark.shell

CLASSES = {entry.name: entry.cls for entry in optimizers.entries()}
KERAS_ARGUMENTS = [
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "use_ema",
    "ema_momentum",
    "ema_overwrite_frequency",
    "loss_scale_factor",
    "gradient_accumulation_steps",
    "name",
]


def fields(*kinds):
    """Every field of these kinds of every optimizer, as test parameters `cls` and `name`."""
    return pytest.mark.parametrize(
        ("cls", "name"),
        [
            pytest.param(cls, name, id=f"{optimizer}-{name}")
            for optimizer, cls in CLASSES.items()
            for name, field in cls.fields.items()
            if isinstance(field, kinds)
        ],
    )


every_class = pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)


@pytest.fixture
def nothing_is_built(monkeypatch):
    def build(*_, **__):
        pytest.fail("Keras's constructor ran before the arguments were checked")

    monkeypatch.setattr(keras.optimizers.Optimizer, "__init__", build)
    monkeypatch.setattr(keras.Variable, "__init__", build)


# Signature and help.


def test_the_signature_of_adam_is_that_of_a_function_written_by_hand():
    shown = str(inspect.signature(Adam))
    assert shown.startswith("(learning_rate: ")
    assert re.findall(r"(\w+): [^=]+ = ([^,)]+)", shown)[:6] == [
        ("learning_rate", "0.001"),
        ("beta_1", "0.9"),
        ("beta_2", "0.999"),
        ("epsilon", "1e-08"),
        ("amsgrad", "False"),
        ("weight_decay", "None"),
    ]
    assert ", *, weight_decay:" in shown


@every_class
def test_the_signature_is_true(cls):
    parameters = inspect.signature(cls).parameters
    assert next(iter(parameters)) == "learning_rate"
    assert list(parameters)[-len(KERAS_ARGUMENTS) :] == KERAS_ARGUMENTS
    config = cls().get_config()
    given = {name: p.default for name, p in parameters.items() if name != "name"}
    assert given == {name: config[name] for name in given}
    positional = [p for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert cls(*[p.default for p in positional]).get_config().keys() == config.keys()
    with pytest.raises(TypeError, match="too many positional arguments"):
        cls(*[p.default for p in positional], None)


def test_positional_arguments_follow_the_paper_and_the_rest_are_named():
    optimizer = Adam(0.1, 0.8, 0.99, 1e-6, True)
    config = optimizer.get_config()
    assert [config[n] for n in ("learning_rate", "beta_1", "beta_2", "epsilon", "amsgrad")] == [
        0.1,
        0.8,
        0.99,
        1e-6,
        True,
    ]
    assert Momentum(0.1, 0.7).get_config()["beta"] == 0.7


def test_an_argument_given_twice_is_refused():
    with pytest.raises(TypeError, match="multiple values for argument 'learning_rate'"):
        Adam(0.1, learning_rate=0.1)


@every_class
def test_help_shows_idea_formula_and_every_argument(cls):
    shown = re.sub(r".\x08", "", pydoc.render_doc(cls))
    assert f"class {cls.__name__}" in shown
    assert "w ← w − " in shown
    assert "Reference:" in shown
    for name, field in cls.fields.items():
        assert f"{name}: {field.doc} Defaults to {field.default}." in shown


# Bad input.


@fields(Numeric, Static, KerasArgument)
def test_a_misspelt_argument_is_answered_with_the_right_name(cls, name):
    misspelt = name[:-1]
    with pytest.raises(TypeError, match=f"no argument `{misspelt}`.*Did you mean.*'{name}'"):
        cls(**{misspelt: 1.0})


def test_a_misspelt_field_cannot_be_set():
    optimizer = Adam()
    with pytest.raises(AttributeError, match=r"Adam has no field `beta1`\. Did you mean 'beta_1'"):
        optimizer.beta1 = 0.5
    for cls in (Adam, lambda: optimizers.Lookahead(Adam())):
        with pytest.raises(AttributeError, match=r"no field `lr`\. Did you mean 'learning_rate'"):
            cls().lr = 0.1
    with pytest.raises(AttributeError, match=r"no field `beta_1`\. The Adam inside has it: set it"):
        optimizers.Lookahead(Adam()).beta_1 = 0.5
    with pytest.raises(TypeError, match=r"no argument `lr`.*Did you mean 'learning_rate'"):
        Adam(lr=0.1)
    optimizer.remark = "what is no field may be noted"


def test_an_unknown_argument_is_answered_with_all_names(nothing_is_built):
    with pytest.raises(TypeError) as error:
        Adam(bogus=1)
    assert "Adam has no argument `bogus`." in str(error.value)
    assert all(name in str(error.value) for name in Adam.fields)


def refused(cls, name, value, error, accepted):
    with pytest.raises(error) as raised:
        cls(**{name: value})
    message = str(raised.value)
    assert message.startswith(f"{cls.__name__}: `{name}` must be {accepted}")
    assert message.endswith(f"Received: {name}={value!r}")
    assert raised.value.__context__ is None, "one error, not a chain of them"


NOT_NUMBERS = ["0.1", b"0.1", True, np.True_, [0.1], {}, 1j, np.ones(2), np.array("0.1"), float]


@fields(Numeric, Constant)
def test_what_is_no_number_is_refused_before_anything_is_built(cls, name, nothing_is_built):
    field = cls.fields[name]
    accepted = "a number in [0, 1)" if isinstance(field, DecayRate) else "a finite number ≥ 0"
    for value in NOT_NUMBERS + ([] if field.default is None else [None]):
        refused(cls, name, value, TypeError, accepted)


@fields(DecayRate)
def test_a_decay_rate_outside_0_to_1_is_refused_before_anything_is_built(
    cls, name, nothing_is_built
):
    for value in [1, 1.0, 1.5, -0.1, -1, np.nan, np.inf, -np.inf, np.float32(1.0), 10**400]:
        refused(cls, name, value, ValueError, "a number in [0, 1)")


@fields(Numeric, Constant)
def test_a_negative_or_infinite_number_is_refused_before_anything_is_built(
    cls, name, nothing_is_built
):
    accepted = "a number in [0, 1)" if isinstance(cls.fields[name], DecayRate) else "a finite"
    infinite = [np.nan, np.inf, -np.inf, np.array(np.nan), 10**400, -(10**400)]
    for value in [-1e-3, -1, np.float32(-1.0), *infinite]:
        refused(cls, name, value, ValueError, accepted)


@fields(Switch)
def test_a_switch_takes_nothing_but_true_and_false(cls, name, nothing_is_built):
    for value in [1, 0, "yes", None, 0.5]:
        refused(cls, name, value, TypeError, "True or False")


@pytest.mark.parametrize(
    ("name", "value", "error", "accepted"),
    [
        (name, value, error, accepted)
        for names, accepted, values in [
            (
                ["clipnorm", "clipvalue", "global_clipnorm", "loss_scale_factor"],
                "a finite number > 0 or None",
                {ValueError: [0, -1.0, np.nan, np.inf, 10**400], TypeError: ["1", True, [1.0]]},
            ),
            (
                ["ema_momentum"],
                "a number in [0, 1]",
                {ValueError: [-0.1, 1.1, np.nan], TypeError: ["1", None, True]},
            ),
            (["use_ema"], "True or False", {TypeError: [1, "yes", None]}),
            (
                ["ema_overwrite_frequency"],
                "an integer ≥ 1 or None",
                {ValueError: [0, -1], TypeError: [1.5, "2", True, np.nan]},
            ),
            (
                ["gradient_accumulation_steps"],
                "an integer ≥ 2 or None",
                {ValueError: [0, 1, -2], TypeError: [2.5, "2", True, np.inf]},
            ),
            (["name"], "a string or None", {TypeError: [1, b"adam"]}),
        ]
        for name in names
        for error, bad in values.items()
        for value in bad
    ],
)
def test_bad_arguments_of_keras_are_refused_before_anything_is_built(
    name, value, error, accepted, nothing_is_built
):
    refused(Adam, name, value, error, accepted)


def test_two_ways_of_clipping_at_once_are_refused():
    with pytest.raises(ValueError, match="Only one of `clipnorm`, `clipvalue`"):
        Adam(clipnorm=1.0, clipvalue=1.0)


@fields(Numeric)
def test_a_bad_value_is_refused_later_too_and_changes_nothing(cls, name):
    optimizer = cls()
    before = optimizer.get_config()
    for value, error in [(-1.0, ValueError), (np.nan, ValueError), ("x", TypeError)]:
        with pytest.raises(error, match=f"{cls.__name__}: `{name}` must be"):
            setattr(optimizer, name, value)
    assert optimizer.get_config() == before


@fields(Static)
def test_switches_and_constants_are_fixed(cls, name):
    optimizer = cls()
    with pytest.raises(AttributeError, match=f"`{name}` is fixed when the optimizer is created"):
        setattr(optimizer, name, not getattr(optimizer, name))


# Values.


@pytest.mark.parametrize(
    "make",
    [
        lambda: 1,
        lambda: 1.0,
        lambda: np.float32(1.0),
        lambda: np.float64(1.0),
        lambda: np.int64(1),
        lambda: np.array(1.0),
        lambda: np.array(1),
        lambda: ops.convert_to_tensor(1.0),
        lambda: keras.Variable(1.0),
        lambda: keras.optimizers.schedules.PolynomialDecay(1.0, 10, end_learning_rate=1.0),
        lambda: lambda: 1.0,
        lambda: lambda: ops.ones(()),
    ],
    ids=[
        "int",
        "float",
        "numpy-float32",
        "numpy-float64",
        "numpy-int",
        "0-d-array",
        "0-d-int-array",
        "0-d-tensor",
        "variable",
        "schedule",
        "callable-float",
        "callable-tensor",
    ],
)
def test_a_learning_rate_of_any_kind_takes_the_same_step(make, walk, start, gradients):
    path = walk(GradientDescent(make()), start, gradients[:1])
    for weight, before, gradient in zip(path[0], start, gradients[0], strict=True):
        np.testing.assert_allclose(weight, before - gradient, rtol=1e-6)


@fields(Numeric)
def test_the_configuration_holds_the_number_that_was_given(cls, name):
    for value in [0.8, 0.99999]:
        optimizer = cls(**{name: value})
        assert optimizer.get_config()[name] == value
        assert type(optimizer.get_config()[name]) is float
        optimizer.build([keras.Variable(np.ones(2, "float32"))])
        setattr(optimizer, name, value / 3)
        assert optimizer.get_config()[name] == value / 3
        assert float(getattr(optimizer, name)) == pytest.approx(value / 3, rel=1e-6)


def test_hyperparameters_read_as_plain_numbers():
    optimizer = Adam(beta_1=0.8, epsilon=np.float32(0.5))
    assert (optimizer.beta_1, optimizer.epsilon, optimizer.weight_decay) == (0.8, 0.5, None)
    assert type(optimizer.epsilon) is float


def test_arguments_of_numpy_are_stored_as_json_can_hold_them():
    optimizer = Adam(
        np.float32(0.5),
        amsgrad=np.True_,
        clipnorm=np.float32(0.5),
        use_ema=np.True_,
        gradient_accumulation_steps=np.int64(2),
    )
    config = json.loads(json.dumps(optimizer.get_config()))
    assert config["clipnorm"] == config["learning_rate"] == 0.5
    assert config["gradient_accumulation_steps"] == 2


@every_class
def test_repr_is_the_call_that_makes_the_optimizer(cls):
    optimizer = cls(weight_decay=0.25, clipnorm=2.0, use_ema=True)
    twin = eval(repr(optimizer), {cls.__name__: cls})
    assert twin.get_config() == {**optimizer.get_config(), "name": twin.name}
    assert repr(twin) == repr(optimizer)


def test_repr_is_short_and_names_a_schedule():
    assert repr(GradientDescent()) == "GradientDescent(learning_rate=0.01)"
    schedule = keras.optimizers.schedules.PolynomialDecay(1.0, 10)
    assert "PolynomialDecay" in repr(GradientDescent(schedule))


# An optimizer of the user's own.


@keras.saving.register_keras_serializable(package="tests")
class HalfStep(optimizers.Optimizer):
    """Moves half a step along a decaying sum.

    w ← w − η (β m + g) / divisor
    """

    learning_rate: optimizers.Hyperparameter = rate(default=0.1)
    beta: optimizers.Hyperparameter = decay(default=0.5, doc="Decay rate.")
    divisor: optimizers.Hyperparameter = nonnegative(default=2.0, doc="Divisor.")
    slots = ("momentum",)

    def rule(self, g, w, slot, h):
        m = h.beta.decay(slot.momentum) + g
        return h.learning_rate * m / h.divisor, slot(momentum=m)


def test_a_ten_line_optimizer_steps_trains_and_is_saved(walk, make_model, data, tmp_path):
    path = walk(HalfStep(), [np.ones(2, "float32")], [[np.ones(2, "float32")]] * 2)
    np.testing.assert_allclose(path[1][0], 1.0 - 0.05 * (1.0 + 1.5), rtol=1e-6)

    model = make_model(HalfStep(0.2, beta=0.25))
    losses = model.fit(*data, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is HalfStep
    assert loaded.optimizer.beta == 0.25
    assert loaded.evaluate(*data, verbose=0) == pytest.approx(model.evaluate(*data, verbose=0))


def test_an_optimizer_without_a_rule_says_so():
    class Nothing(optimizers.Optimizer):
        learning_rate: float = rate(default=0.1)

    with pytest.raises(NotImplementedError, match="Nothing defines no rule"):
        Nothing().apply([ops.ones(2)], [keras.Variable(np.ones(2, "float32"))])


# The catalogue.


@every_class
def test_the_catalogue_finds_an_optimizer_by_any_spelling_of_its_name(cls):
    name = next(n for n, c in CLASSES.items() if c is cls)
    for spelling in [name, name.upper(), name.replace("_", "-"), name.replace("_", " ")]:
        assert type(optimizers.get(spelling)) is cls
    assert optimizers.get(name, learning_rate=0.25).get_config()["learning_rate"] == 0.25
    assert optimizers.entry(name).idea in cls.__doc__


def test_the_catalogue_has_every_public_optimizer_in_order_of_year():
    public = {
        getattr(optimizers, name)
        for name in optimizers.__all__
        if inspect.isclass(getattr(optimizers, name))
        and issubclass(getattr(optimizers, name), optimizers.Optimizer)
    } - {optimizers.Optimizer}
    around = {entry.cls for entry in catalogue.compositions()}
    assert public == {*CLASSES.values(), *around} - {SAM}
    assert all(cls.composed for cls in around)
    assert not any(cls.composed for cls in CLASSES.values())
    years = [entry.year for entry in optimizers.entries()]
    assert years == sorted(years)
    assert optimizers.names() == [entry.name for entry in optimizers.entries()]


def test_an_unknown_optimizer_is_answered_with_near_names():
    with pytest.raises(ValueError, match=r"no optimizer 'radamm'\. Did you mean 'radam'"):
        optimizers.get("radamm")
    with pytest.raises(ValueError, match=r"Known: .*adam.*radam"):
        optimizers.get("xyz")
    with pytest.raises(TypeError, match="name=3"):
        optimizers.get(3)


def test_the_catalogue_returns_an_optimizer_unchanged():
    optimizer = AdamW()
    assert optimizers.get(optimizer) is optimizer


def test_a_taken_name_is_not_given_away():
    with pytest.raises(ValueError, match="'adam' belongs to Adam"):
        optimizers.register("adam", year=2026)(HalfStep)


# Type checkers.


@pytest.mark.once
def test_a_type_checker_sees_the_arguments(tmp_path):
    lines = {
        "Adam(1e-3, 0.9, 0.999, 1e-8, True, weight_decay=0.1, clipnorm=1.0)": "",
        "AdamW(lambda: 1e-3, weight_decay=0.1)": "",
        "Adam(bogus=1)": 'Unexpected keyword argument "bogus" for "Adam"',
        'Adam("x")': 'Argument 1 to "Adam" has incompatible type "str"',
        "Adam(1e-3, 0.9, 0.999, 1e-8, True, 0.1)": "Too many positional arguments",
        'Adam(clipnorm="x")': 'Argument "clipnorm" to "Adam" has incompatible type "str"',
    }
    script = tmp_path / "script.py"
    script.write_text("\n".join(["from keras_optim_lab.optimizers import Adam, AdamW", *lines]))
    result = subprocess.run(
        [sys.executable, "-m", "mypy", str(script)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    errors = {
        int(number): message
        for number, message in re.findall(r"script\.py:(\d+): error: (.*)", result.stdout)
    }
    expected = {n: message for n, message in enumerate(lines.values(), start=2) if message}
    assert errors.keys() == expected.keys(), result.stdout + result.stderr
    for number, message in expected.items():
        assert message in errors[number]
