"""Where the numbers of weights and slots lie."""

import operator
from itertools import chain
from typing import Any, NamedTuple

import torch

from keras_optim_lab.backend.torch.kernels import block_size
from keras_optim_lab.backend.torch.private import copy_each
from keras_optim_lab.backend.torch.updates import dense


class Piece(NamedTuple):
    """Some numbers of the weights, and what a survey may ask of them."""

    gradient: Any
    weights: Any
    slots: dict[str, Any]
    part: tuple


class Place:
    """Where the numbers of a bundle are.

    Attributes:
        programs: by length and the gradient's dtype, what updates the numbers.
        device: of the weights.
        weights: all weights of the bundle in one tensor.
        length: of its first axis.
        slots: each slot of all of them, in one tensor.
    """

    def __init__(self, bundle, variables, slots, scratch):
        self.device = device = value(variables[0]).device
        self.programs: dict = {}
        self.weights = _side_by_side(variables, device, bundle.stacked)
        self.slots = {
            name: _side_by_side(own, device, bundle.stacked) for name, own in slots.items()
        }
        self._variables = [*variables, *chain(*slots.values())]
        self._pointers = self._point()
        self._dtype = value(variables[0]).dtype
        self._gradients = None
        if len(variables) > 1:
            wide = torch.promote_types(self.weights.dtype, torch.float32)
            whole = scratch(self.weights.numel(), wide, device)
            self._gradient = whole.view(self.weights.shape)
            self._gradients = _parts(whole, [value(variable) for variable in variables])
        self.length = len(self.weights)
        self._shape = self.weights.shape

    def holds(self) -> bool:
        """Whether all weights and slots are still where they were."""
        return self._point() == self._pointers and value(self._variables[0]).dtype == self._dtype

    def _point(self):
        return [*map(torch.Tensor.data_ptr, map(_held, self._variables))]

    def gather(self, gradients):
        if self._gradients is None:
            return dense(gradients[0]).reshape(self._shape)
        copy_each(self._gradients, gradients)
        return self._gradient

    def pieces(self, gradients, part):
        """All numbers with their gradients, in pieces of which each stays in the cache."""
        g = self.gather(gradients)
        # Other bundles' gradients are gathered in the same place.
        g = g if len(gradients) == 1 else g.clone()
        tensors = [g, self.weights, *self.slots.values()]
        size = block_size() if self.device.type == "cpu" else max(1, self.length)
        for g, w, *slots in zip(*(tensor.split(size) for tensor in tensors), strict=True):
            yield Piece(g, w, dict(zip(self.slots, slots, strict=True)), part)


class Scratch:
    """Memory for gradients, which the bundles of an optimizer use one after the other."""

    def __init__(self):
        self._buffers: dict = {}

    def __call__(self, numbers, dtype, device):
        key = (dtype, device)
        if key not in self._buffers or self._buffers[key].numel() < numbers:
            self._buffers[key] = torch.empty(numbers, dtype=dtype, device=device)
        return self._buffers[key][:numbers]


def _parts(whole, tensors):
    pieces = whole.split([tensor.numel() for tensor in tensors])
    return [piece.view(tensor.shape) for piece, tensor in zip(pieces, tensors, strict=True)]


def _side_by_side(variables, device, stacked):
    """The values of some variables as one tensor, of which each variable is a part from now on."""
    values = [value(variable).data for variable in variables]
    if len(values) > 1 or not values[0].is_contiguous() or values[0].device != device:
        whole = torch.cat([value.to(device).reshape(-1) for value in values])
        for variable, part in zip(variables, _parts(whole, values), strict=True):
            value(variable).data = part
    else:
        whole = values[0].view(-1)
    return whole.view(len(values), *values[0].shape) if stacked else whole


_held = operator.attrgetter("_value")


def value(variable):
    return getattr(variable, "_value", variable)
