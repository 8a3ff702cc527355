"""Updates of weights in place at the speed of memory, on PyTorch.

The slots of small weights lie side by side, so that one call of a rule updates them all; their
gradients are gathered for it. Rules are compiled where that pays; until then they run over blocks
that stay in the cache, because large temporaries cost a page fault for every 4 KiB.
"""

import functools
import logging
import time
from typing import Any

import torch
from keras.src.backend.common.stateless_scope import in_stateless_scope

from keras_optim_lab.backend.torch.beginning import Beginning, Survey
from keras_optim_lab.backend.torch.compiling import compiler
from keras_optim_lab.backend.torch.kernels import Compiled, Recorded, block_size
from keras_optim_lab.backend.torch.memory import Place, Scratch, value
from keras_optim_lab.backend.torch.private import compiler_error
from keras_optim_lab.backend.torch.scalars import Scalars, flat
from keras_optim_lab.backend.torch.updates import dense

_SHARED = 2**17  # numbers of a model from which on cores share the work of a compiled rule
# Seconds of updates after which a rule is compiled: about what compiling takes, so that in no
# training waiting for the compiler outweighs what the updates would have taken without it.
_PATIENCE = 6.0

_log = logging.getLogger("keras_optim_lab")
# By what the code depends on: a second optimizer need not wait again.
_compiled: dict = {}


class InPlace:
    """Writes one optimizer's steps straight into its weights and slots."""

    def __init__(self, optimizer):
        self._optimizer = optimizer
        self._places: dict = {}
        self._scratch = Scratch()
        self._beginning = Beginning(optimizer)
        self._survey = Survey(optimizer)
        self._kernel: Any = None
        self._spent = 0.0

    def possible(self) -> bool:
        return not (in_stateless_scope() or torch.compiler.is_compiling())

    def begin(self, plan, variables, gradients, slots):
        """Shared state and scalars of this step, where programs compute them; else None.

        The weights are those of the plan; the others are found by their indices.
        """
        optimizer = self._optimizer
        looks = optimizer.surveys and not (optimizer.elementwise and plan)
        if looks or optimizer.execution == "per_tensor":
            return None
        shared, h = self._beginning()
        if not optimizer.surveys:
            return shared, h
        pieces = [
            piece
            for bundle in plan
            for piece in self._place(bundle, variables, slots).pieces(
                [gradients[i] for i in bundle.indices], bundle.treatment.part
            )
        ]
        return self._survey(shared, h, pieces)

    @torch.no_grad()
    def step(self, gradients) -> None:
        """A step of all weights, which joined together, and of nothing else."""
        optimizer = self._optimizer
        plan, variables, slots = optimizer._plan, optimizer._trainable_variables, optimizer._slots
        begun = self.begin(plan, variables, gradients, slots)
        if begun is None:
            optimizer._update([*map(dense, gradients)], [*range(len(gradients))])
        else:
            shared, h = begun
            self(plan, variables, gradients, slots, h)
            for name, variable in optimizer._shared_variables.items():
                value(variable).copy_(shared[name])
        value(optimizer._iterations).add_(1)

    def __call__(self, plan, variables, gradients, slots, h) -> None:
        """Updates by the plan; the others are found by the indices of weights."""
        if isinstance(h, dict):
            h = Scalars(*flat(h))
        kernel = self._kernel or self._choose(h)
        begun = time.perf_counter()
        for bundle in plan:
            place = self._place(bundle, variables, slots)
            g = place.gather([gradients[i] for i in bundle.indices])
            try:
                kernel(place, g, h, bundle)
            except compiler_error() as error:
                if self._optimizer.execution != "auto":
                    raise
                # Nothing has been written yet: a compiler fails before the first number.
                _log.info("the rule is not compiled (%s)", str(error).partition("\n")[0])
                kernel = self._kernel = Recorded(self._optimizer, block_size())
                kernel(place, g, h, bundle)
        self._spent += time.perf_counter() - begun

    def _place(self, bundle, variables, slots):
        place = self._places.get(bundle.indices)
        if place is None or not place.holds():
            members = [variables[i] for i in bundle.indices]
            states = [slots[i] for i in bundle.indices]
            place = self._places[bundle.indices] = Place(bundle, members, states, self._scratch)
        return place

    def _choose(self, h):
        """The kernel for this step; it is remembered once it will not change any more."""
        execution = self._optimizer.execution
        blocked = Recorded(self._optimizer, block_size())
        if execution == "per_tensor":
            self._kernel = Recorded(self._optimizer, block=None, records=False)
        elif not self._optimizer.elementwise:
            # A recording knows one way only.
            records = not self._optimizer.branches
            self._kernel = Recorded(self._optimizer, block=None, records=records)
        elif execution == "blocked" or (execution == "auto" and not compiler()):
            self._kernel = blocked
        elif execution == "compiled" or self._code in _compiled or self._pays():
            self._kernel = self._compile(h)
        else:
            return blocked
        return self._kernel

    def _pays(self) -> bool:
        return self._spent > _PATIENCE

    def _compile(self, h):
        code = self._code
        if code not in _compiled:
            _compiled[code] = Compiled(self._optimizer, h.named(), cores=code[-1])
        return _compiled[code]

    @functools.cached_property
    def _code(self):
        """What the compiled code depends on; a small model is updated before a core could help."""
        numbers = sum(value(weight).numel() for weight in self._optimizer._trainable_variables)
        return self._optimizer.form, 1 if numbers < _SHARED else torch.get_num_threads()
