"""Rules as programs that update the numbers of a bundle."""

import functools
from typing import Any

import torch

from keras_optim_lab.backend.torch.compiling import UncheckedProgram
from keras_optim_lab.backend.torch.recording import recorded, recordings

_BLOCK = 2**17  # numbers for every core, which its cache holds a few times


class Recorded:
    """A rule as PyTorch's own operations, over blocks of so many numbers or over all at once."""

    def __init__(self, method, block, *, records=True):
        self._method = method
        self._block = block
        self._records = records

    def __call__(self, place, g, h, bundle):
        w, slots = place.weights, place.slots.values()
        numbers = h.on(place.device).tensors
        # Of groups those are surveyed that have gradients in this step.
        form = h.layout.spec if self._method.surveys else None
        whole = self._block is None or place.device.type != "cpu"
        size = place.length if whole else min(self._block, place.length)
        for first in range(0, place.length, size or 1):
            tensors = [w, g, *slots]
            if size < place.length:
                tensors = [tensor[first : first + size] for tensor in tensors]
            arguments = (scalar(bundle.start + first), *tensors, *numbers)
            key = (min(size, place.length - first), g.dtype, form)
            if key not in place.programs:
                place.programs[key] = self._program(place, arguments, h.layout, bundle)
            place.programs[key](*arguments)

    def _program(self, place, arguments, layout, bundle):
        method, names, treatment = self._method, list(place.slots), bundle.treatment

        def update(start, w, g, *rest):
            h = layout(rest[len(names) :])
            slots = type(h)(dict(zip(names, rest, strict=False)))
            new_w, new_slots = method.next_weight(g, w, slots, h, treatment=treatment, start=start)
            w.copy_(new_w)
            for name, slot in slots.items():
                slot.copy_(new_slots[name])
            return ()

        if not self._records:
            return update
        w = arguments[1]
        dtypes = [tensor.dtype for tensor in arguments]
        surveyed = layout.spec if method.surveys else None
        general = ("rule", method.form, surveyed, treatment, *names, w.device, *dtypes)
        found = recordings.get(general)
        if found is not None and w.ndim == 1:
            return found
        shapes = [tuple(tensor.shape) for tensor in arguments]
        found = recorded((*general, *shapes), update, *arguments)
        if w.ndim == 1 and getattr(found, "any_length", False):
            recordings[general] = found
        return found


class Compiled:
    """A rule as one kernel that reads and writes every number once, for vectors of any length."""

    def __init__(self, method, h, *, cores):
        form = method.changed({})  # without state, which no program is to keep
        record, kinds = type(h), _kinds(h)
        self._kinds = kinds

        def update(tensors, names, treatment):
            w, g, vector, start, *slots = tensors
            new_w, new_slots = form.next_weight(
                g,
                w,
                record(dict(zip(names, slots, strict=True))),
                record(_apart(kinds, vector)),
                treatment=treatment,
                start=start,
            )
            w.copy_(new_w)
            for name, slot in zip(names, slots, strict=True):
                slot.copy_(new_slots[name])

        self._update = UncheckedProgram(update, cores)
        self._eager = Recorded(form, block_size())
        self._surveys = method.surveys

    def __call__(self, place, g, h, bundle):
        w, slots = place.weights, place.slots
        vector = h.together()
        # PyTorch would compile another program for one number, and one that is good for no other
        # length where two of its vectors happen to be as long.
        special = w.numel() in (0, 1, len(vector))
        if special or (self._surveys and _kinds(h.named()) != self._kinds):
            self._eager(place, g, h, bundle)
            return
        tensors = [w, g, vector.to(w.device), scalar(bundle.start), *slots.values()]
        self._update(tensors, tuple(slots), bundle.treatment)


def _kinds(h):
    return {
        name: type(value) if isinstance(value, tuple) else value is not None and value.dtype
        for name, value in h.items()
    }


def _apart(kinds, vector):
    h: dict[str, Any] = {}
    k = 0
    for name, kind in kinds.items():
        if hasattr(kind, "_fields"):
            count = len(kind._fields)
            h[name] = kind(*(vector[k + i] for i in range(count)))
            k += count
        elif kind:
            h[name] = vector[k].to(kind)
            k += 1
        else:
            h[name] = None
    return h


@functools.cache
def scalar(number):
    return torch.tensor(number, dtype=torch.int32)


def block_size() -> int:
    return _BLOCK * torch.get_num_threads()
