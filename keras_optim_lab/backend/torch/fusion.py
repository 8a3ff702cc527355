"""Arithmetic of a graph in fewer operations, each of which is one pass over memory."""

from typing import Any

import torch
from torch.fx import Graph, Node

_aten = torch.ops.aten
_ADD, _SUB, _MUL = _aten.add.Tensor, _aten.sub.Tensor, _aten.mul.Tensor
_PRODUCT = _aten.bmm.default
_VIEWS = (_aten.expand.default, _aten.view.default, _aten._unsafe_view.default)


def fuse(graph: Graph) -> None:
    """Fewer operations, equal but for rounding.

    Moving averages become `lerp`, sums with a product `addcmul`, with one of matrices `baddbmm`.
    """
    for node in graph.nodes:
        if node.target in _VIEWS and _layout(node) == _layout(node.all_input_nodes[0]):
            node.replace_all_uses_with(node.all_input_nodes[0])
            graph.erase_node(node)
    for rewritten in (_average, _sum_with_product, _sum_with_matrix_product):
        for node in list(graph.nodes):
            with graph.inserting_before(node):
                new = rewritten(graph, node)
            if new is not None:
                new.meta = dict(node.meta)
                node.replace_all_uses_with(new)
                _erase(graph, node)


def _average(graph: Graph, node: Node) -> Node | None:
    """(a − c a) + c x, with a number c, is what `lerp` computes."""
    for rest, share in _either_order(_operands(node, _ADD)):
        for a, decayed in _passing(rest, _SUB):
            for c, whole in _either_order(_passing(decayed, _MUL)):
                for factor, x in _either_order(_passing(share, _MUL)):
                    if whole is a and factor is c and _is_number(c) and _alike(node, a, x):
                        return graph.call_function(_aten.lerp.Tensor, (a, x, c))
    return None


def _sum_with_product(graph: Graph, node: Node) -> Node | None:
    """x + y z and x − y z."""
    sums = [(pair, 1) for pair in _either_order(_operands(node, _ADD))]
    for (x, product), sign in [*sums, *((pair, -1) for pair in _operands(node, _SUB))]:
        for y, z in _passing(product, _MUL):
            if _alike(node, x) and _dtype(y) == _dtype(z) == _dtype(x):
                return graph.call_function(_aten.addcmul.default, (x, y, z), {"value": sign})
    return None


def _sum_with_matrix_product(graph: Graph, node: Node) -> Node | None:
    """b X + a Y Z, with constants a and b, and differences of the two."""
    terms = [(x, y, 1, 1) for x, y in _either_order(_operands(node, _ADD))]
    for x, y in _operands(node, _SUB):
        terms += [(x, y, 1, -1), (y, x, -1, 1)]
    for term, product, sign, own in terms:
        (x, beta), (matrices, alpha) = _scaled(term), _scaled(product)
        for y, z in _passing(matrices, _PRODUCT):
            if _alike(node, x, matrices) and (matrices is product or len(product.users) == 1):
                factors: dict[str, Any] = {"beta": sign * beta, "alpha": own * alpha}
                return graph.call_function(_aten.baddbmm.default, (x, y, z), factors)
    return None


def _scaled(node: Node) -> tuple[Node, float]:
    """A tensor and the constant that it is multiplied by."""
    match node.args:
        case Node() as x, float() as factor if node.target is _MUL:
            return x, factor
    return node, 1.0


def _operands(node: Node, operation) -> list[tuple[Node, Node]]:
    """The two tensors of an operation, if the node is one."""
    if node.target is operation and not node.kwargs:
        match node.args:
            case Node() as x, Node() as y:
                return [(x, y)]
    return []


def _passing(node: Node, operation) -> list[tuple[Node, Node]]:
    """The same, if the result is read only once."""
    return _operands(node, operation) if len(node.users) == 1 else []


def _either_order(pairs):
    return [pair for x, y in pairs for pair in ((x, y), (y, x))]


def _is_number(node: Node) -> bool:
    return node.meta["val"].ndim == 0


def _layout(node: Node):
    value = node.meta["val"]
    return value.shape, value.stride()


def _dtype(node: Node):
    return node.meta["val"].dtype


def _alike(*nodes: Node) -> bool:
    """Whether they are of one shape and one floating dtype."""
    values = [node.meta["val"] for node in nodes]
    return values[0].is_floating_point() and len({(v.shape, v.dtype) for v in values}) == 1


def _erase(graph: Graph, node: Node) -> None:
    """Removes an operation, and those that only it has read."""
    inputs = node.all_input_nodes
    graph.erase_node(node)
    for read in inputs:
        if read.op == "call_function" and not read.users:
            _erase(graph, read)
