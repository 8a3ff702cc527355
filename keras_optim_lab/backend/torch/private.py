"""What is used of PyTorch that PyTorch does not publish: each name once, and what for.

After an update of PyTorch the tests of `NAMES` say which of them is gone.
"""

from functools import partial

import torch
from torch.utils import _pytree as tree

__all__ = [
    "NAMES",
    "compiler_error",
    "copy_each",
    "inductor",
    "is_of_rows",
    "of_all_rows",
    "schema",
    "transformed",
    "tree",
    "unchanged_functions",
    "with_rows",
    "without_rows",
]

NAMES = {
    "torch._C.DisableTorchFunction": "a recording needs no mode to look at its operations again",
    "torch._C._functorch.is_batchedtensor": "whether vmap does several rows at once",
    "torch._C._functorch.get_unwrapped": "what all rows have; `autograd.Function.vmap` is slow",
    "torch._C._functorch.maybe_get_bdim": "along which axis the rows stand there",
    "torch._C._functorch.maybe_get_level": "of which vmap these rows are",
    "torch._C._functorch._add_batch_dim": "a result of all rows becomes that of each row again",
    "torch._C._functorch.peek_interpreter_stack": "whether a function of torch.func is running",
    "torch._dynamo.exc.TorchDynamoException": "tells a compiler that fails from a rule that does",
    "torch._foreach_copy_": "gathers gradients of any dtype in one call",
    "torch._inductor.compile_fx.compile_fx": "a program without the checks before every call of it",
    "torch.ops.aten.add.Tensor._schema": "which form of an operation writes its result into `out`",
    "torch.utils._pytree.tree_flatten": "keras.tree tells no structure by which programs are found",
    "torch.utils._pytree.tree_unflatten": "makes the structure again",
    "torch.utils._pytree.register_pytree_node": "the only way to have it know a container",
}

copy_each = torch._foreach_copy_
unchanged_functions = torch._C.DisableTorchFunction

_functorch = torch._C._functorch
is_of_rows = _functorch.is_batchedtensor


def without_rows(x, axis):
    """What all rows have for a tensor of one of them, with the rows along this axis."""
    return _functorch.get_unwrapped(x).movedim(_functorch.maybe_get_bdim(x), axis)


def with_rows(whole, axis, like):
    """What `whole` has for one row, where rows are those of `like` and stand along this axis."""
    return _functorch._add_batch_dim(whole, axis, _functorch.maybe_get_level(like))


def of_all_rows(x):
    """The tensor of all rows that vmap does at once, or None outside of it."""
    if not is_of_rows(x):
        return None
    while is_of_rows(x):
        x = _functorch.get_unwrapped(x)
    return x


def transformed() -> bool:
    """Whether torch.func is transforming a function, where nothing may ask for gradients."""
    return _functorch.peek_interpreter_stack() is not None


def compiler_error() -> type[Exception]:
    """What torch.compile raises; its module takes a second to import."""
    return torch._dynamo.exc.TorchDynamoException


def inductor(cores: int):
    """The compiler of torch.compile, with code for so many cores."""
    from torch._inductor.compile_fx import compile_fx

    return partial(compile_fx, config_patches={"cpp.threads": cores})


def schema(operation):
    """The arguments of one of PyTorch's operations, and whether it writes into them."""
    return operation._schema
