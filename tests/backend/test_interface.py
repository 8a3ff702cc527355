"""A backend is a module that has what the package asks for, and nothing that it does not."""

from inspect import isclass, isfunction, signature

import pytest

from keras_optim_lab import backend
from keras_optim_lab.backend.interface import Derivatives, Rows, Updates

MODULE = backend.active()
PROTOCOLS = (Rows, Derivatives, Updates)
FUNCTIONS = {
    name: function
    for protocol in PROTOCOLS
    for name, function in vars(protocol).items()
    if isfunction(function) and not name.startswith("_")
}
VALUES = [name for protocol in PROTOCOLS for name in protocol.__annotations__]


def parameters(function):
    return [(p.name, p.kind, p.default) for p in signature(function).parameters.values()]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_backend_has_every_function_with_the_parameters_that_are_asked_for(name):
    _, *expected = parameters(FUNCTIONS[name])
    assert parameters(getattr(MODULE, name)) == expected


@pytest.mark.parametrize("name", VALUES)
def test_a_backend_has_every_value_that_is_asked_for(name):
    assert hasattr(MODULE, name)


def test_a_backend_has_no_other_name_that_looks_as_if_it_were_asked_for():
    own = {
        name
        for name, value in vars(MODULE).items()
        if (isfunction(value) or isclass(value))
        and f"{value.__module__}.".startswith(f"{MODULE.__name__}.")
    }
    assert {name for name in own if not name.startswith("_")} <= {*FUNCTIONS, *VALUES}
