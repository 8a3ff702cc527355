"""Updates of weights in place at the speed of memory, on PyTorch.

The slots of small weights lie side by side, so that one call of a rule updates them all; their
gradients are gathered for it. Rules are compiled where that pays; until then they run over blocks
that stay in the cache, because large temporaries cost a page fault for every 4 KiB.
"""

import contextlib
import functools
import logging
import operator
import re
import shutil
import time
import types
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from keras.src.backend.common.stateless_scope import in_stateless_scope
from torch.utils import _pytree as tree

from keras_optim_lab.backend import active
from keras_optim_lab.backend.torch_numbers import Numbers
from keras_optim_lab.backend.torch_records import Recording

JOINED = 2**16  # numbers: a call of a program takes as long as updating about so many
_BLOCK = 2**17  # numbers for every core, which its cache holds a few times
_SHARED = 2**17  # numbers of a model from which on cores share the work of a compiled rule
# Seconds of updates after which a rule is compiled: about what compiling takes, so that in no
# training waiting for the compiler outweighs what the updates would have taken without it.
_PATIENCE = 6.0

_log = logging.getLogger("keras_optim_lab")
# By what the code depends on: a second optimizer need not wait again.
_compiled: dict = {}
_recordings: dict = {}


def dense(gradient):
    """A dense gradient in at least float32."""
    if gradient.dtype in (torch.float16, torch.bfloat16):
        return gradient.float()
    return gradient


def value(variable):
    return getattr(variable, "value", variable)


def nearer(average, x, share):
    # `keras.ops` multiplies matrices of float64 in float32.
    return torch.lerp(average, x.to(average.dtype), share)


def within(x, bound):
    return torch.clamp(x, -bound, bound)


def eagerly(optimizer):
    return contextlib.nullcontext()


def beside(optimizer, variable):
    return contextlib.nullcontext()


def on_every_device(optimizer, update, gradients, indices):
    with torch.no_grad():
        update(gradients, indices)


def run(execution, write, gradients, h):
    write(gradients, h)


class InPlace:
    """Writes one optimizer's steps straight into its weights and slots."""

    def __init__(self, optimizer):
        self._optimizer = optimizer
        self._places: dict = {}
        self._scratch = _Scratch()
        self._beginning = _Beginning(optimizer)
        self._survey = _Survey(optimizer)
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
                _value(variable).copy_(shared[name])
        _value(optimizer._iterations).add_(1)

    def __call__(self, plan, variables, gradients, slots, h) -> None:
        """Updates by the plan; the others are found by the indices of weights."""
        if isinstance(h, dict):
            h = _Scalars(*_flat(h))
        kernel = self._kernel or self._choose(h)
        begun = time.perf_counter()
        for bundle in plan:
            place = self._place(bundle, variables, slots)
            g = place.gather([gradients[i] for i in bundle.indices])
            try:
                kernel(place, g, h, bundle)
            except torch._dynamo.exc.TorchDynamoException as error:
                if self._optimizer.execution != "auto":
                    raise
                # Nothing has been written yet: a compiler fails before the first number.
                _log.info("the rule is not compiled (%s)", str(error).partition("\n")[0])
                kernel = self._kernel = _Recorded(self._optimizer, _block())
                kernel(place, g, h, bundle)
        self._spent += time.perf_counter() - begun

    def _place(self, bundle, variables, slots):
        place = self._places.get(bundle.indices)
        if place is None or not place.holds():
            members = [variables[i] for i in bundle.indices]
            states = [slots[i] for i in bundle.indices]
            place = self._places[bundle.indices] = _Place(bundle, members, states, self._scratch)
        return place

    def _choose(self, h):
        """The kernel for this step; it is remembered once it will not change any more."""
        execution = self._optimizer.execution
        blocked = _Recorded(self._optimizer, _block())
        if execution == "per_tensor":
            self._kernel = _Recorded(self._optimizer, block=None, records=False)
        elif not self._optimizer.elementwise:
            # A recording knows one way only.
            records = not self._optimizer.branches
            self._kernel = _Recorded(self._optimizer, block=None, records=records)
        elif execution == "blocked" or (execution == "auto" and not _compiler()):
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
            _compiled[code] = _Compiled(self._optimizer, h.named(), cores=code[-1])
        return _compiled[code]

    @functools.cached_property
    def _code(self):
        """What the compiled code depends on; a small model is updated before a core could help."""
        numbers = sum(_value(weight).numel() for weight in self._optimizer._trainable_variables)
        return self._optimizer.form, 1 if numbers < _SHARED else torch.get_num_threads()


class _Scalars(NamedTuple):
    """The scalars of a step as tensors, and how they are named and put together."""

    tensors: Sequence[Any]
    layout: "_Layout"
    vector: Any = None  # all of them in float32, where they are there as such

    def named(self) -> dict[str, Any]:
        return self.layout(self.tensors)

    def together(self):
        """As one vector, for programs that take every argument by itself."""
        if self.vector is None:
            return torch.stack([tensor.float() for tensor in self.tensors])
        return self.vector

    def on(self, device) -> "_Scalars":
        """On the device of the weights, which may have moved since they were built."""
        if self.tensors[0].device == device:
            return self
        return self._replace(tensors=[tensor.to(device) for tensor in self.tensors])


class _Layout(NamedTuple):
    leaves: list[Any]  # None for every tensor
    places: list[int]  # of tensors
    spec: Any

    def __call__(self, tensors):
        leaves = list(self.leaves)
        for place, tensor in zip(self.places, tensors, strict=True):
            leaves[place] = tensor
        return tree.tree_unflatten(leaves, self.spec)


def _flat(h) -> tuple[list[Any], _Layout]:
    leaves, spec = tree.tree_flatten(h)
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
    tensors = [leaves[i] for i in places]
    return tensors, _Layout(
        [None if i in places else x for i, x in enumerate(leaves)], places, spec
    )


def _recorded(key, function, *examples, kind=Recording):
    """A recording of the function, which all optimizers of its form share, or itself."""
    try:
        found = _recordings.get(key)
        if found is None:
            found = _recordings[key] = kind(function, *examples)
        return found
    except Exception as error:  # there is no end of what a rule may do that cannot be recorded
        _log.info("a rule is not recorded (%s)", str(error).partition("\n")[0])
        return function


class _Beginning:
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
        values = map(_value, (optimizer.iterations, *held, *shared.values()))
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
            return [*(state[name] for name in shared), *_flat(h)[0]]

        def begun(results, vector=None):
            scalars = _Scalars(results[count:], layout, vector)
            return dict(zip(shared, results, strict=False)), scalars

        def on_host(*tensors):
            memory.put(program(*tensors))
            return kept

        _, layout = _flat(named(*tensors)[1])
        device = tensors[0].device
        key = (optimizer.form, device, *held, *[tensor.dtype for tensor in tensors])
        if device.type == "cpu":
            program = _recorded(("numbers", *key), begin, *tensors, kind=Numbers)
            if isinstance(program, Numbers):
                memory = _Memory(program.dtypes)
                kept = begun(memory.tensors, memory.vector[count:])
                return on_host
        recording = _recorded(("scalars", *key), begin, *tensors)
        return lambda *tensors: begun(recording(*tensors))


class _Piece(NamedTuple):
    """Some numbers of the weights, and what a survey may ask of them."""

    gradient: Any
    weights: Any
    slots: dict[str, Any]
    part: tuple


class _Survey:
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
        return dict(zip(shared, results, strict=False)), _Scalars(results[count:], found)

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
            return [*(shared[name] for name in names), *_flat(h)[0]]

        key = ("survey", optimizer.form, tensors[0].device, layout, *parts)
        kinds = [(tuple(tensor.shape), tensor.dtype) for tensor in tensors]
        return _recorded((*key, *kinds), survey, *tensors), _flat(named(*tensors)[1])[1]


class _Memory:
    """Where the numbers of a step are put: tensors that stay the same."""

    def __init__(self, dtypes):
        self.vector = torch.zeros(len(dtypes))
        self.tensors = [
            place if dtype is torch.float32 else torch.zeros((), dtype=dtype)
            for place, dtype in zip(self.vector, dtypes, strict=True)
        ]
        self._array = self.vector.numpy()
        special = [k for k, dtype in enumerate(dtypes) if dtype is not torch.float32]
        self._special = [(k, self.tensors[k].numpy()) for k in special]

    def put(self, numbers):
        self._array[:] = numbers
        for k, place in self._special:
            place[...] = numbers[k]


class _Recorded:
    """A rule as PyTorch's own operations, over blocks of so many numbers or over all at once."""

    def __init__(self, optimizer, block, *, records=True):
        self._optimizer = optimizer
        self._block = block
        self._records = records

    def __call__(self, place, g, h, bundle):
        w, slots = place.weights, place.slots.values()
        numbers = h.on(place.device).tensors
        # Of groups those are surveyed that have gradients in this step.
        form = h.layout.spec if self._optimizer.surveys else None
        whole = self._block is None or place.device.type != "cpu"
        size = place.length if whole else min(self._block, place.length)
        for first in range(0, place.length, size or 1):
            tensors = [w, g, *slots]
            if size < place.length:
                tensors = [tensor[first : first + size] for tensor in tensors]
            arguments = (_scalar(bundle.start + first), *tensors, *numbers)
            key = (min(size, place.length - first), g.dtype, form)
            if key not in place.programs:
                place.programs[key] = self._program(place, arguments, h.layout, bundle)
            place.programs[key](*arguments)

    def _program(self, place, arguments, layout, bundle):
        optimizer, names, treatment = self._optimizer, list(place.slots), bundle.treatment

        def update(start, w, g, *rest):
            slots = dict(zip(names, rest, strict=False))
            h = layout(rest[len(names) :])
            new_w, new_slots = optimizer.next_numbers(w, g, slots, h, start, treatment)
            w.copy_(new_w)
            for name, slot in slots.items():
                slot.copy_(new_slots[name])
            return ()

        if not self._records:
            return update
        w = arguments[1]
        dtypes = [tensor.dtype for tensor in arguments]
        surveyed = layout.spec if optimizer.surveys else None
        general = ("rule", optimizer.form, surveyed, treatment, *names, w.device, *dtypes)
        found = _recordings.get(general)
        if found is not None and w.ndim == 1:
            return found
        shapes = [tuple(tensor.shape) for tensor in arguments]
        found = _recorded((*general, *shapes), update, *arguments)
        if w.ndim == 1 and getattr(found, "any_length", False):
            _recordings[general] = found
        return found


class _Compiled:
    """A rule as one kernel that reads and writes every number once, for vectors of any length."""

    def __init__(self, optimizer, h, *, cores):
        form = optimizer.detached()
        kinds = self._kinds = _kinds(h)

        def update(tensors, names, treatment):
            w, g, vector, start, *slots = tensors
            new_w, new_slots = form.next_numbers(
                w, g, dict(zip(names, slots, strict=True)), _apart(kinds, vector), start, treatment
            )
            w.copy_(new_w)
            for name, slot in zip(names, slots, strict=True):
                slot.copy_(new_slots[name])

        self._update = _Program(update, cores)
        self._eager = _Recorded(form, _block())
        self._surveys = optimizer.surveys

    def __call__(self, place, g, h, bundle):
        w, slots = place.weights, place.slots
        vector = h.together()
        # PyTorch would compile another program for one number, and one that is good for no other
        # length where two of its vectors happen to be as long.
        special = w.numel() in (0, 1, len(vector))
        if special or (self._surveys and _kinds(h.named()) != self._kinds):
            self._eager(place, g, h, bundle)
            return
        tensors = [w, g, vector.to(w.device), _scalar(bundle.start), *slots.values()]
        self._update(tensors, tuple(slots), bundle.treatment)


class _Program:
    """A compiled function of a list of tensors, called without checking what its caller sees to.

    For every call PyTorch asks whether the program still fits its arguments, which takes several
    times as long as updating a small model. Here only what may differ is asked: dtypes, devices
    and choices; lengths are arguments of the program.
    """

    def __init__(self, function, cores):
        # PyTorch remembers programs by code, and only some for each: ours are as many as rules.
        own = types.FunctionType(
            function.__code__.replace(), globals(), function.__name__, None, function.__closure__
        )
        # A rule may ask for the backend: the import of its module is not part of a program.
        torch.compiler.assume_constant_result(active)
        # Not part of PyTorch's public interface; without it every call is checked.
        self._compile = _inductor(cores)
        backend = self._remember if self._compile else "inductor"
        self._checked = torch.compile(own, dynamic=True, fullgraph=True, backend=backend)
        self._direct: dict[tuple, Callable] = {}
        self._found: Callable | None = None

    def __call__(self, tensors, *choices):
        key = (choices, tensors[0].device, *[tensor.dtype for tensor in tensors])
        direct = self._direct.get(key)
        if direct is not None:
            return direct(tensors)
        self._found = None
        result = self._checked(tensors, *choices)
        if self._found is not None:
            self._direct[key] = self._found
        return result

    def _remember(self, graph, examples):
        """The compiler, which also keeps a way to call what it has compiled."""
        sources = _sources([node for node in graph.graph.nodes if node.op == "placeholder"])
        program: Any = self._compile(graph, examples)

        def direct(tensors):
            results = program(*[source(tensors) for source in sources or ()])
            return results[0] if results else None

        self._found = direct if sources is not None else None
        return program


def _inductor(cores):
    try:
        from torch._inductor.compile_fx import compile_fx
    except ImportError:
        return None
    return partial(compile_fx, config_patches={"cpp.threads": cores})


def _sources(inputs) -> list[Callable[..., Any]] | None:
    """For each input of a graph, how it is read off the tensors; None if one is not known."""
    places: dict[str, int] = {}
    lengths: dict[str, int] = {}
    symbols = {node.name: node.meta.get("example_value") for node in inputs}
    for name, symbol in symbols.items():
        if isinstance(symbol, torch.Tensor):
            place = re.fullmatch(r"l_tensors_(\d+)_", name)
            if not place:
                return None
            places[name] = int(place[1])
            for length in symbol.shape:
                lengths.setdefault(str(length), places[name])
    if any(name not in places and str(symbol) not in lengths for name, symbol in symbols.items()):
        return None
    return [
        operator.itemgetter(places[name])
        if name in places
        else partial(_length, place=lengths[str(symbol)])
        for name, symbol in symbols.items()
    ]


def _length(tensors, place):
    return len(tensors[place])


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


class _Place:
    """Where the numbers of a bundle are.

    Attributes:
        programs: by length and the gradient's dtype, what updates the numbers.
        device: of the weights.
        weights: all weights of the bundle in one tensor.
        length: of its first axis.
        slots: each slot of all of them, in one tensor.
    """

    def __init__(self, bundle, variables, slots, scratch):
        self.device = device = _value(variables[0]).device
        self.programs: dict = {}
        self.weights = _side_by_side(variables, device, bundle.stacked)
        self.slots = {
            name: _side_by_side([state[name] for state in slots], device, bundle.stacked)
            for name in slots[0]
        }
        self._variables = [*variables, *(slot for state in slots for slot in state.values())]
        self._pointers = self._point()
        self._dtype = _value(variables[0]).dtype
        self._gradients = None
        if len(variables) > 1:
            wide = torch.promote_types(self.weights.dtype, torch.float32)
            whole = scratch(self.weights.numel(), wide, device)
            self._gradient = whole.view(self.weights.shape)
            self._gradients = _parts(whole, [_value(variable) for variable in variables])
        self.length = len(self.weights)
        self._shape = self.weights.shape

    def holds(self) -> bool:
        """Whether all weights and slots are still where they were."""
        return self._point() == self._pointers and _value(self._variables[0]).dtype == self._dtype

    def _point(self):
        return [*map(torch.Tensor.data_ptr, map(_held, self._variables))]

    def gather(self, gradients):
        if self._gradients is None:
            return dense(gradients[0]).reshape(self._shape)
        torch._foreach_copy_(self._gradients, gradients)
        return self._gradient

    def pieces(self, gradients, part):
        """All numbers with their gradients, in pieces of which each stays in the cache."""
        g = self.gather(gradients)
        # Other bundles' gradients are gathered in the same place.
        g = g if len(gradients) == 1 else g.clone()
        tensors = [g, self.weights, *self.slots.values()]
        size = _block() if self.device.type == "cpu" else max(1, self.length)
        for g, w, *slots in zip(*(tensor.split(size) for tensor in tensors), strict=True):
            yield _Piece(g, w, dict(zip(self.slots, slots, strict=True)), part)


class _Scratch:
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
    values = [_value(variable).data for variable in variables]
    if len(values) > 1 or not values[0].is_contiguous() or values[0].device != device:
        whole = torch.cat([value.to(device).reshape(-1) for value in values])
        for variable, part in zip(variables, _parts(whole, values), strict=True):
            _value(variable).data = part
    else:
        whole = values[0].view(-1)
    return whole.view(len(values), *values[0].shape) if stacked else whole


_held = operator.attrgetter("_value")


def _value(variable):
    return getattr(variable, "_value", variable)


@functools.cache
def _scalar(number):
    return torch.tensor(number, dtype=torch.int32)


def _block() -> int:
    return _BLOCK * torch.get_num_threads()


@functools.cache
def _compiler() -> bool:
    return any(map(shutil.which, ("c++", "g++", "clang++", "cl")))
