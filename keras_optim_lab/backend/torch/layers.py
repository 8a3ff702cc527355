"""Layers of one row and of many under vmap, in the form that PyTorch is fastest in."""

import torch

from keras_optim_lab.backend.torch.private import is_of_rows, with_rows, without_rows

_SEQUENCES = 8  # more than are gone through at the same time


class _Steps:
    """Takes a sequence apart at once: the gradient of each step alone would be as large as all."""

    def __init__(self):
        self._sequences: dict = {}  # by id, with all of their steps from the second use on

    def __call__(self, x, i):
        sequence, steps = self._sequences.get(id(x), (None, None))
        if sequence is None:
            if len(self._sequences) == _SEQUENCES:  # they would be held for a whole epoch
                self._sequences.pop(next(iter(self._sequences)))
            self._sequences[id(x)] = x, None
            return torch.select(x, 0, i)
        if steps is None:
            steps = _apart(x)
            self._sequences[id(x)] = x, steps
        return steps[i]


class _Layers(torch.overrides.TorchFunctionMode):
    def __init__(self):
        super().__init__()
        self._step = _Steps()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.Tensor.__getitem__ and type(args[1]) is int and args[0].ndim > 1:
            return self._step(*args)
        return self.run(function, args, kwargs or {})

    def run(self, function, args, kwargs):
        return function(*args, **kwargs)


class OneRow(_Layers):
    """Layers of one row, with the channels of a pixel side by side in memory.

    There pooling is six times as fast as on one channel after the other. Keras copies images out
    of that order for every layer; here nothing is copied.
    """

    def run(self, function, args, kwargs):
        if function is torch.Tensor.contiguous and not kwargs and _channels_side_by_side(args[0]):
            return args[0]
        if function is torch.Tensor.view and not isinstance(args[1], torch.dtype):
            function = torch.Tensor.reshape  # of what would have been copied
        return super().run(function, args, kwargs)


def _channels_side_by_side(x):
    return not is_of_rows(x) and x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)


class Rows(_Layers):
    """Layers under vmap, whose own rules do one row after the other, or copy all of them.

    Images have the channels of all rows side by side and last in memory: there a convolution of
    every row with its own kernel is a grouped one, and nothing is copied between layers.
    """

    def run(self, function, args, kwargs):
        if function is torch.Tensor.is_contiguous and "memory_format" in kwargs:
            return True  # vmap cannot tell, and need not
        if function is torch.conv2d and len(args) == 2 and all(map(is_of_rows, args)):
            return _convolved(*args, **kwargs)
        if function is torch.nn.functional.max_pool2d and is_of_rows(args[0]):
            return _side_by_side(lambda x: function(x, *args[1:], **kwargs), args[0])
        if function is torch.unbind and len(args) == 1 and not kwargs:
            return _apart(*args)
        if function is _attention and _attends_alone(*args, **kwargs):
            return _attended(*args, **kwargs)
        return super().run(function, args, kwargs)


def _convolved(x, kernel, *, groups=1, **settings):
    kernels = without_rows(kernel, 0)
    together, groups = kernels.flatten(0, 1), groups * len(kernels)
    return _side_by_side(lambda x: torch.conv2d(x, together, groups=groups, **settings), x)


def _side_by_side(function, x):
    """A function of images, (samples, channels, height, width), that keeps channels in groups."""
    images = without_rows(x, 1)
    result = function(images.flatten(1, 2).contiguous(memory_format=torch.channels_last))
    parts = result.unflatten(1, (images.shape[1], -1))
    return with_rows(parts, 1, like=x)


def _apart(x):
    if not is_of_rows(x):
        return torch.unbind(x)
    return tuple(with_rows(part, 0, like=x) for part in torch.unbind(without_rows(x, 0), 1))


_attention = torch.nn.functional.scaled_dot_product_attention


def _attends_alone(query, key, value, attn_mask=None, **_):
    """Whether a sample's attention is that of a row, with a mask that all share or of its own."""
    mask = attn_mask is None or attn_mask.ndim > 3 or not is_of_rows(attn_mask)
    return mask and query.ndim > 3 and all(map(is_of_rows, (query, key, value)))


def _attended(query, key, value, attn_mask=None, **settings):
    """Attention, where samples of all rows are as good as those of one."""
    parts = [without_rows(x, 0) for x in (query, key, value)]
    rows, samples = parts[0].shape[:2]
    if attn_mask is not None and attn_mask.ndim > 3:
        own = is_of_rows(attn_mask)
        masks = without_rows(attn_mask, 0) if own else attn_mask[None]
        attn_mask = masks.expand(rows, samples, *masks.shape[2:]).flatten(0, 1)
    q, k, v = (part.flatten(0, 1) for part in parts)
    result = _attention(q, k, v, attn_mask, **settings)
    return with_rows(result.unflatten(0, (rows, samples)), 0, like=query)
