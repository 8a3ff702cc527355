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

    def __init__(self, optimizer):
        self._optimizer = optimizer
        given = {n: f for n, f in optimizer.numeric.items() if f.given(optimizer) is not None}
        self._held, self._fields = [*given], [*given.values()]
        self._program: Any = None

    def __call__(self):
        optimizer = self._optimizer
        shared = optimizer._shared_variables
        held = [field.current(optimizer) for field in self._fields]
        values = map(value, (optimizer.iterations, *held, *shared.values()))
        tensors = [x if isinstance(x, torch.Tensor) else torch.as_tensor(x) for x in values]
        if self._program is None:
            self._program = self._made(tensors)
        return self._program(*tensors)

    def _made(self, tensors):
        optimizer, held, shared = self._optimizer, self._held, [*self._optimizer._shared_variables]
        count = len(shared)

        def named(iterations, *values):
            numbers = {**dict.fromkeys(optimizer.numeric), **dict(zip(held, values, strict=False))}
            state = dict(zip(shared, values[len(held) :], strict=True))
            return optimizer.first_numbers(iterations, numbers, state)

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
        key = (optimizer.form, device, *held, *[tensor.dtype for tensor in tensors])
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

    def __init__(self, optimizer):
        self._optimizer = optimizer
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
        optimizer = self._optimizer
        start, end = len(names), len(names) + len(scalars.places)

        def named(*tensors):
            of_pieces = tree.tree_unflatten(tensors[end:], layout)
            shared = dict(zip(names, tensors, strict=False))
            columns = zip(*of_pieces, strict=True)
            return optimizer.surveyed(shared, scalars(tensors[start:end]), *columns, [*parts])

        def survey(*tensors):
            shared, h = named(*tensors)
            return [*(shared[name] for name in names), *flat(h)[0]]

        key = ("survey", optimizer.form, tensors[0].device, layout, *parts)
        kinds = [(tuple(tensor.shape), tensor.dtype) for tensor in tensors]
        return recorded((*key, *kinds), survey, *tensors), flat(named(*tensors)[1])[1]
