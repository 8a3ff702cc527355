"""Updates of weights in place at the speed of memory, on PyTorch.

The slots of small weights lie side by side, so that one call of a rule updates them all; their
gradients are gathered for it. Rules are compiled where that pays; until then they run over blocks
that stay in the cache, because large temporaries cost a page fault for every 4 KiB.
"""

import functools
import time
from typing import Any

import torch

from keras_optim_lab.backend import updating
from keras_optim_lab.backend.torch import updates
from keras_optim_lab.backend.torch.beginning import Beginning, Survey
from keras_optim_lab.backend.torch.compiling import Guarded, compiler
from keras_optim_lab.backend.torch.kernels import Compiled, Recorded, block_size
from keras_optim_lab.backend.torch.memory import Place, Scratch, value
from keras_optim_lab.backend.torch.scalars import Scalars, flat
from keras_optim_lab.backend.torch.updates import dense
from keras_optim_lab.keras_private import in_stateless_scope

_SHARED = 2**17  # numbers of a model from which on cores share the work of a compiled rule
# Seconds of updates after which a rule is compiled: about what compiling takes, so that in no
# training waiting for the compiler outweighs what the updates would have taken without it.
_PATIENCE = 6.0

# By what the code depends on: a second optimizer need not wait again.
_compiled: dict = {}


class Updater(updating.Updater):
    """Writes the steps of some weights straight into them and their slots."""

    value = staticmethod(updates.value)

    def __init__(self, step, weights, slots, shared):
        super().__init__(step, weights, slots, shared)
        self._method = step.method
        self._places: dict = {}
        self._scratch = Scratch()
        self._beginning = Beginning(step, shared)
        self._survey = Survey(step)
        self._kernel: Any = None
        self._spent = 0.0

    def can_run_alone(self):
        return not (in_stateless_scope() or torch.compiler.is_compiling())

    @torch.no_grad()
    def run_alone(self, gradients, now, iterations):
        self._run_in_place(gradients, now)
        value(iterations).add_(1)

    @torch.no_grad()
    def run(self, gradients, now):
        if self.can_run_alone():
            self._run_in_place(gradients, now)
        else:
            super().run(gradients, now)

    def _run_in_place(self, gradients, now):
        plan = self.step.plan(gradients)
        shared, h = self._begin(plan, gradients, *now())
        self._update(plan, gradients, h)
        # Last: scalars in h may be the variables' own memory.
        for name, variable in self.shared.items():
            value(variable).copy_(shared[name])

    def _begin(self, plan, gradients, count, held):
        """Shared state and scalars of this step, by programs where there can be some."""
        method = self._method
        looks = method.surveys and not (method.elementwise and plan)
        if looks or method.execution == "per_tensor":
            shared = {name: value(variable) for name, variable in self.shared.items()}
            wide = [None if gradient is None else dense(gradient) for gradient in gradients]
            shared, h = self.step.begin(*self._read(), wide, shared, held, count)
            return shared, Scalars(*flat(h))
        shared, h = self._beginning(count, held)
        if not method.surveys:
            return shared, h
        pieces = [
            piece
            for bundle in plan
            for piece in self._place(bundle).pieces(
                [gradients[i] for i in bundle.indices], bundle.treatment.part
            )
        ]
        return self._survey(shared, h, pieces)

    def _update(self, plan, gradients, h) -> None:
        kernel = self._kernel or self._choose(h)
        begun = time.perf_counter()
        for bundle in plan:
            place = self._place(bundle)
            g = place.gather([gradients[i] for i in bundle.indices])
            kernel(place, g, h, bundle)
        self._spent += time.perf_counter() - begun

    def _place(self, bundle):
        place = self._places.get(bundle.indices)
        if place is None or not place.holds():
            weights = [self.weights[i] for i in bundle.indices]
            slots = {n: [self.slots[n][i] for i in bundle.indices] for n in self.step.has(bundle)}
            place = self._places[bundle.indices] = Place(bundle, weights, slots, self._scratch)
        return place

    def _choose(self, h):
        """The kernel for this step; it is remembered once it will not change any more."""
        execution = self._method.execution
        blocked = Recorded(self._method, block_size())
        if execution == "per_tensor":
            self._kernel = Recorded(self._method, block=None, records=False)
        elif not self._method.elementwise:
            # A recording knows one way only.
            records = not self._method.branches
            self._kernel = Recorded(self._method, block=None, records=records)
        elif execution == "blocked" or (execution == "auto" and not compiler()):
            self._kernel = blocked
        elif execution == "compiled" or self._code in _compiled or self._pays():
            compiled = self._compile(h)
            # One who asks for a compiled rule is to know why there is none.
            self._kernel = compiled if execution == "compiled" else Guarded(compiled, blocked)
        else:
            return blocked
        return self._kernel

    def _pays(self) -> bool:
        return self._spent > _PATIENCE

    def _compile(self, h):
        code = self._code
        if code not in _compiled:
            _compiled[code] = Compiled(self._method, h.named(), cores=code[-1])
        return _compiled[code]

    @functools.cached_property
    def _code(self):
        """What the compiled code depends on; a small model is updated before a core could help."""
        numbers = sum(value(weight).numel() for weight in self.weights)
        return self._method.form, 1 if numbers < _SHARED else torch.get_num_threads()
