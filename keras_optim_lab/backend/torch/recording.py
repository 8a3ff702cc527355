"""Functions recorded as PyTorch's own operations, and run again without what led to them.

`keras.ops` asks much of every argument before an operation takes place, which takes longer than
updating a small model. A recording also writes results where they are to stay, or over numbers
that are not read any more.
"""

import functools
import logging
from typing import Any

import torch
from torch.fx import Graph, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.node import map_arg

from keras_optim_lab.backend.torch.fusion import fuse
from keras_optim_lab.backend.torch.private import schema

_COPY = torch.ops.aten.copy_.default

_log = logging.getLogger("keras_optim_lab")
# By what the code depends on: a second optimizer need not record again.
recordings: dict = {}


class Recording:
    """A function of tensors, which may write into them, for tensors of these shapes and dtypes.

    Args:
        function: what is recorded.
        examples: of its arguments.
        exact: whether results are to be the same to the bit, so that no operations are fused.

    Attributes:
        any_length: whether it is as good for vectors of any other length.

    Raises:
        Exception: of many kinds, where the function asks for the values of its arguments.
    """

    def __init__(self, function, *examples, exact=False):
        module = make_fx(function, tracing_mode="fake")(*examples)
        self.any_length = all(map(_suits_any_length, module.graph.nodes))
        if not exact:
            fuse(module.graph)
        _write_where_results_stay(module.graph)
        _write_over_what_is_read(module.graph)
        _call_by_name(module.graph)
        module.recompile()
        self._run = module.forward

    def __call__(self, *tensors) -> Any:
        return self._run(*tensors)


def recording_of(function, *examples, kind=Recording, **options):
    """A recording of the function, or itself where there can be none."""
    try:
        return kind(function, *examples, **options)
    except Exception as error:  # there is no end of what a rule may do that cannot be recorded
        _log.info("a rule is not recorded (%s)", str(error).partition("\n")[0])
        return function


def recorded(key, function, *examples, kind=Recording):
    """A recording of the function, which all optimizers of its form share, or itself."""
    found = recordings.get(key)
    if found is None:
        found = recording_of(function, *examples, kind=kind)
        if found is not function:
            recordings[key] = found
    return found


def _suits_any_length(node: Node) -> bool:
    free = (_COPY, torch.ops.aten.lift_fresh_copy.default, torch.ops.aten._to_copy.default)
    return node.op != "call_function" or node.target in free or _is_pointwise(node)


def _is_pointwise(node: Node) -> bool:
    operation = node.target
    return "out" in node.kwargs or (
        isinstance(operation, type(_COPY))
        and torch.Tag.pointwise in operation.tags
        and not schema(operation).is_mutable
    )


def _write_where_results_stay(graph: Graph) -> None:
    """An operation whose result is copied into an argument writes it there itself."""
    order = {node: k for k, node in enumerate(graph.nodes)}
    for copy in graph.find_nodes(op="call_function", target=_COPY):
        place, result = copy.args[:2]
        readers = [node for node in place.users if node is not copy]
        if (
            place.op == "placeholder"
            and _can_write(result)
            and _layout(place) == _layout(result)
            and all(_is_pointwise(node) and order[node] <= order[result] for node in readers)
        ):
            _write(result, place)
            copy.replace_all_uses_with(place)
            graph.erase_node(copy)


def _write_over_what_is_read(graph: Graph) -> None:
    """An operation writes over an earlier result of its layout that is not read after it."""
    nodes = list(graph.nodes)
    last = {read: node for node in nodes for read in node.all_input_nodes}
    # What others than these read may be seen through a view, or be handed out.
    own = {n for n in nodes if _can_write(n) and all(map(_only_reads, n.users))}
    unused: dict[Any, list[Node]] = {}
    for node in filter(_is_pointwise, nodes):
        for read in node.all_input_nodes:
            if read in own and last[read] is node:
                unused.setdefault(_layout(read), []).append(read)
        if node in own and unused.get(_layout(node)):
            _write(node, unused[_layout(node)].pop())


def _call_by_name(graph: Graph) -> None:
    """Operations on numbers become PyTorch's functions, which begin in half the time."""
    node: Any
    for node in filter(_is_pointwise, graph.nodes):
        function: Any = getattr(torch, node.target.overloadpacket.__name__, None)
        try:
            value = function(*map_arg(node.args, _value), **map_arg(node.kwargs, _value))
        except TypeError:  # there is none, or it takes other arguments
            continue
        if (value.shape, value.dtype) == (_value(node).shape, _value(node).dtype):
            node.target = function


def _only_reads(node: Node) -> bool:
    return _is_pointwise(node) or node.target is _COPY


def _can_write(node: Node) -> bool:
    """Whether the operation can be told where to write, and has not been yet."""
    free = _is_pointwise(node) and "out" not in node.kwargs
    return free and _writing(node.target) is not None


def _write(node: Node, place: Node) -> None:
    node.target = _writing(node.target)
    node.kwargs = {**node.kwargs, "out": place}


@functools.cache
def _writing(operation):
    """The form of an operation that writes its result into `out`, or None."""
    wanted = [(a.name, str(a.type)) for a in schema(operation).arguments]
    packet = operation.overloadpacket
    for form in (getattr(packet, name) for name in packet.overloads()):
        *arguments, out = schema(form).arguments or [None]
        if [(a.name, str(a.type)) for a in arguments] == wanted and out.name == "out":
            return form
    return None


def _value(node: Node):
    return node.meta["val"]


def _layout(node: Node):
    value = _value(node)
    return value.shape, value.stride(), value.dtype, value.device
