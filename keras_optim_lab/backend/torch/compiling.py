"""Compiled programs, called without checks."""

import functools
import logging
import operator
import re
import shutil
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from keras_optim_lab.backend.torch.private import compiler_error, inductor

_log = logging.getLogger("keras_optim_lab")


class Guarded:
    """A compiled function, and `plain` in its place from when the compiler fails.

    Nothing has been written then: a compiler fails before the first number.
    """

    def __init__(self, compiled, plain):
        self._call = compiled
        self._plain = plain

    def __call__(self, *arguments):
        try:
            return self._call(*arguments)
        except compiler_error() as error:
            _log.info("an update is not compiled (%s)", str(error).partition("\n")[0])
            self._call = self._plain
            return self._call(*arguments)


class UncheckedProgram:
    """A compiled function of a list of tensors, called without checking what its caller sees to.

    For every call PyTorch asks whether the program still fits its arguments, which takes several
    times as long as updating a small model. Here only what may differ is asked: dtypes, devices
    and choices; lengths are arguments of the program.
    """

    def __init__(self, function, cores):
        # PyTorch remembers programs by code, and only some for each: ours are as many as rules.
        own = types.FunctionType(
            function.__code__.replace(),
            function.__globals__,
            function.__name__,
            None,
            function.__closure__,
        )
        self._compile = inductor(cores)
        self._checked = torch.compile(own, dynamic=True, fullgraph=True, backend=self._remember)
        self._direct: dict[tuple, Callable] = {}
        self._found: Callable | None = None

    def __call__(self, tensors, *choices):
        key = (choices, tensors[0].device, *[tensor.dtype for tensor in tensors])
        direct = self._direct.get(key)
        if direct is not None:
            return direct(tensors)
        self._found = None
        result = self._checked(tensors, *choices)
        if self._found is not None:
            self._direct[key] = self._found
        return result

    def _remember(self, graph, examples):
        """The compiler, which also keeps a way to call what it has compiled."""
        sources = _sources([node for node in graph.graph.nodes if node.op == "placeholder"])
        program: Any = self._compile(graph, examples)

        def direct(tensors):
            results = program(*[source(tensors) for source in sources or ()])
            return results[0] if results else None

        self._found = direct if sources is not None else None
        return program


def _sources(inputs) -> list[Callable[..., Any]] | None:
    """For each input of a graph, how it is read off the tensors; None if one is not known."""
    places: dict[str, int] = {}
    lengths: dict[str, int] = {}
    symbols = {node.name: node.meta.get("example_value") for node in inputs}
    for name, symbol in symbols.items():
        if isinstance(symbol, torch.Tensor):
            place = re.fullmatch(r"l_tensors_(\d+)_", name)
            if not place:
                return None
            places[name] = int(place[1])
            for length in symbol.shape:
                lengths.setdefault(str(length), places[name])
    if any(name not in places and str(symbol) not in lengths for name, symbol in symbols.items()):
        return None
    return [
        operator.itemgetter(places[name])
        if name in places
        else partial(_length, place=lengths[str(symbol)])
        for name, symbol in symbols.items()
    ]


def _length(tensors, place):
    return len(tensors[place])


@functools.cache
def compiler() -> bool:
    return any(map(shutil.which, ("c++", "g++", "clang++", "cl")))
