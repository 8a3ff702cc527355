"""What a step computes before it updates weights."""

from typing import Any

import torch

from keras_optim_lab.backend.torch.memory import value
from keras_optim_lab.backend.torch.numbers import Numbers
from keras_optim_lab.backend.torch.private import tree
from keras_optim_lab.backend.torch.recording import recorded
from keras_optim_lab.backend.torch.scalars import Memory, Scalars, flat


class Beginning:
    """Computes the shared state and scalars of a step."""

    def __init__(self, step, shared):
        self._step = step
        self._shared = shared
        self._program: Any = None

    def __call__(self, count, held):
        given = [number for number in held.values() if number is not None]
        values = map(value, (count, *given, *self._shared.values()))
        tensors = [x if isinstance(x, torch.Tensor) else torch.as_tensor(x) for x in values]
        if self._program is None:
            self._program = self._made([*held], [n for n in held if held[n] is not None], tensors)
        return self._program(*tensors)

    def _made(self, names, held, tensors):
        step, shared = self._step, [*self._shared]
        count = len(shared)

        def named(taken, *values):
            numbers = {**dict.fromkeys(names), **dict(zip(held, values, strict=False))}
            state = dict(zip(shared, values[len(held) :], strict=True))
            return step.prepared(state, numbers, taken)

        def begin(*tensors):
            state, h = named(*tensors)
            return [*(state[name] for name in shared), *flat(h)[0]]

        def begun(results, vector=None):
            scalars = Scalars(results[count:], layout, vector)
            return dict(zip(shared, results, strict=False)), scalars

        def on_host(*tensors):
            memory.put(program(*tensors))
            return kept

        _, layout = flat(named(*tensors)[1])
        device = tensors[0].device
        key = (step.method.form, device, *held, *[tensor.dtype for tensor in tensors])
        if device.type == "cpu":
            program = recorded(("numbers", *key), begin, *tensors, kind=Numbers)
            if isinstance(program, Numbers):
                memory = Memory(program.dtypes)
                kept = begun(memory.tensors, memory.vector[count:])
                return on_host
        recording = recorded(("scalars", *key), begin, *tensors)
        return lambda *tensors: begun(recording(*tensors))


class Survey:
    """Computes what a step needs of all weights together."""

    def __init__(self, step):
        self._step = step
        self._programs: dict = {}

    def __call__(self, shared, h, pieces):
        count, numbers = len(shared), h.on(pieces[0].weights.device).tensors
        tensors, layout = tree.tree_flatten([piece[:3] for piece in pieces])
        tensors = [*shared.values(), *numbers, *tensors]
        parts = tuple(piece.part for piece in pieces)
        key = (layout, parts, *[(tensor.shape, tensor.dtype) for tensor in tensors])
        if key not in self._programs:
            self._programs[key] = self._made([*shared], h.layout, parts, layout, tensors)
        program, found = self._programs[key]
        results = program(*tensors)
        return dict(zip(shared, results, strict=False)), Scalars(results[count:], found)

    def _made(self, names, scalars, parts, layout, tensors):
        step = self._step
        start, end = len(names), len(names) + len(scalars.places)

        def named(*tensors):
            of_pieces = tree.tree_unflatten(tensors[end:], layout)
            shared = dict(zip(names, tensors, strict=False))
            columns = zip(*of_pieces, strict=True)
            return step.surveyed(shared, scalars(tensors[start:end]), *columns, [*parts])

        def survey(*tensors):
            shared, h = named(*tensors)
            return [*(shared[name] for name in names), *flat(h)[0]]

        key = ("survey", step.method.form, tensors[0].device, layout, *parts)
        kinds = [(tuple(tensor.shape), tensor.dtype) for tensor in tensors]
        return recorded((*key, *kinds), survey, *tensors), flat(named(*tensors)[1])[1]
