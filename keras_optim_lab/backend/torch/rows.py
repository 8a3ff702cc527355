"""Programs that train many rows at once; `backend.interface` says what each does."""

import contextlib
from typing import Any

import keras
import torch

from keras_optim_lab.backend.torch.compiling import Guarded
from keras_optim_lab.backend.torch.gradients import in_one_row, one_by_one
from keras_optim_lab.backend.torch.private import of_all_rows
from keras_optim_lab.backend.torch.recording import recording_of
from keras_optim_lab.keras_private import get_device

# Its Python would wait for the other's; the operations themselves use all cores.
WORKERS = 1
JOINS_WEIGHTS = True
STATELESS_STEPS = False
COMPILES = False
_BLOCK = 2**17  # numbers
# Numbers to update after which compiling has paid for itself. It saves about 1.5 ns for each, and
# takes 6 s, but 27 s the first time on a machine.
_WORTH_COMPILING = 1e10


def on_host() -> bool:
    return get_device() == "cpu"


def accelerators() -> int:
    return 0 if on_host() else torch.cuda.device_count() or 1  # which is no CUDA device


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
    if not on_host():
        return _in_place(function)
    if numbers > _WORTH_COMPILING:
        return Guarded(torch.compile(function, dynamic=True), _in_blocks(function))
    return _in_blocks(function)


def _in_place(function):
    def write(weights, gradients, state, *rest):
        new = function(weights, gradients, state, *rest)
        keras.tree.map_structure(lambda x, y: x.copy_(y), (weights, state), new)
        return weights, state

    return write


def _in_blocks(function):
    # Blocks stay in the cache: larger temporaries cost a page fault for every 4 KiB.
    written = _in_place(function)
    recorded: dict[int, Any] = {}  # by the rows of a block

    def updated(weights, gradients, state, *rest):
        arguments = (weights, gradients, state, *rest)
        size = max(1, _BLOCK // max(1, sum(weight[0].numel() for weight in weights)))
        for first in range(0, len(weights[0]), size):
            block = keras.tree.map_structure(lambda x, i=first: x[i : i + size], arguments)
            leaves, rows = keras.tree.flatten(block), len(block[0][0])
            if rows not in recorded:
                recorded[rows] = recording_of(_of_leaves(written, block), *leaves, exact=True)
            recorded[rows](*leaves)
        return weights, state

    return updated


def _of_leaves(function, arguments):
    form = keras.tree.map_structure(lambda leaf: None, arguments)
    return lambda *leaves: keras.tree.flatten(function(*keras.tree.pack_sequence_as(form, leaves)))


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
