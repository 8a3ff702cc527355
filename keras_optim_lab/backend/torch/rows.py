"""Programs that train many rows at once; `backend.interface` says what each does."""

import contextlib

import keras
import torch

from keras_optim_lab.backend.torch.compiling import Guarded
from keras_optim_lab.backend.torch.gradients import in_one_row, one_by_one
from keras_optim_lab.backend.torch.private import of_all_rows
from keras_optim_lab.keras_private import get_device

# Its Python would wait for the other's; the operations themselves use all cores.
WORKERS = 1
JOINS_WEIGHTS = True
STATELESS_STEPS = False
COMPILES = False
_BLOCK = 2**17  # numbers
# Numbers to update after which compiling has paid for itself. It saves about 9 ns for each, and
# takes 6 s, but 27 s the first time on a machine.
_WORTH_COMPILING = 1e9


def on_host() -> bool:
    return get_device() == "cpu"


def devices() -> list[str]:
    return [get_device()]  # constants within a model would be on the first of several


def free_memory() -> int | None:
    return torch.cuda.mem_get_info()[0] if get_device().startswith("cuda") else None


def prefers_vectorized() -> bool:
    return True


def reuse_compiled_programs() -> None:
    pass


def take(array, indices):
    return array[indices]


def update_rows(function, numbers):
    if on_host() and numbers > _WORTH_COMPILING:
        # As one kernel, six times as fast.
        return Guarded(torch.compile(function, dynamic=True), _in_blocks(function))
    return _in_blocks(function)


def _in_blocks(function):
    # Blocks stay in the cache: larger temporaries cost a page fault for every 4 KiB.
    def updated(weights, gradients, state, *rest):
        old = (weights, state)
        arguments = (weights, gradients, state, *rest)
        count = len(weights[0])
        numbers = sum(weight[0].numel() for weight in weights)
        size = max(1, _BLOCK // max(1, numbers)) if on_host() else count
        for first in range(0, count, size):
            block = slice(first, first + size)
            new = function(*keras.tree.map_structure(lambda x, block=block: x[block], arguments))
            keras.tree.map_structure(lambda x, y, block=block: x[block].copy_(y), old, new)
        return old

    return updated


def map_rows(function, logs):
    return one_by_one(in_one_row(function))


def fori_loop(count, body, carry):
    for i in range(count):
        carry = body(i, carry)
    return carry


def cond(condition, yes, no, state):
    rows = of_all_rows(condition)
    if rows is None:
        return yes(state) if bool(condition) else no(state)
    if not bool(rows.any()):
        return no(state)
    return keras.tree.map_structure(
        lambda one, other: torch.where(condition, one, other), yes(state), no(state)
    )


def seeding():
    return contextlib.nullcontext()


class Program:
    """A function of (state, …); PyTorch runs it as it is, and only then tells whether it can."""

    def __init__(self, function, *examples):
        self.traces = 0
        self._function = function
        self(*examples)

    def __call__(self, *arguments):
        with torch.no_grad():
            return self._function(*arguments)


def put_row(state, row, values):
    def put(rows, value):
        # By Keras, which knows NumPy's arrays of bfloat16.
        rows[row] = keras.ops.convert_to_tensor(value).to(rows.device)
        return rows

    return keras.tree.map_structure(put, state, values)
