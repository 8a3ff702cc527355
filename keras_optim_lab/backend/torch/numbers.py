"""Functions of single numbers as Python's own arithmetic.

Before PyTorch multiplies two numbers it does as much as before it multiplies two matrices, and the
scalars of a step are up to a hundred operations on numbers.
"""

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx


class Numbers:
    """A function of tensors of one number each, which takes and returns numbers.

    Attributes:
        dtypes: of the results.

    Raises:
        LookupError: it does what is not known here.
    """

    def __init__(self, function, *examples):
        self._function = function
        module = make_fx(function, tracing_mode="fake")(*examples)
        results: Any = module.graph.output_node().args[0]
        self.dtypes = [result.meta["val"].dtype for result in results]
        self._run = GraphModule({}, _in_python(module)).forward

    def __call__(self, *tensors) -> list[Any]:
        try:
            return self._run(*[tensor.item() for tensor in tensors])
        except (ArithmeticError, ValueError):  # where PyTorch has infinity or NaN
            return [result.item() for result in self._function(*tensors)]


def _in_python(module: GraphModule) -> Graph:
    new = Graph()
    made: dict[Any, Any] = {}
    node: Any
    for node in module.graph.nodes:
        match node.op:
            case "placeholder":
                made[node] = new.placeholder(node.name)
            case "get_attr":
                made[node] = getattr(module, node.target).item()
            case "call_function":
                arguments = [made[x] if isinstance(x, Node) else x for x in node.args]
                made[node] = new.call_function(_meaning(node), tuple(arguments))
            case "output":
                new.output([made[result] for result in node.args[0]])
    return new


def _meaning(node: Any) -> Callable[..., Any]:
    name = node.target.overloadpacket.__name__
    if name == "_to_copy" and [*node.kwargs] == ["dtype"]:
        return _kind(node.kwargs["dtype"])
    if node.kwargs or node.meta["val"].ndim:
        raise LookupError(f"no number's {node.target}")
    return _PYTHON[name]


def _kind(dtype) -> type:
    if dtype.is_floating_point:
        return float
    return bool if dtype is torch.bool else int


def _log(x):
    return math.log(x) if x else -math.inf


def _log1p(x):  # of −1 for every decay rate of 0
    return math.log1p(x) if x != -1 else -math.inf


def _same(x):
    return x


def _reciprocal(x):
    return 1.0 / x


def _square(x):
    return x * x


def _subtracted_from(x, y):
    return y - x


def _where(condition, x, y):
    return x if condition else y


_PYTHON: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "add": operator.add,
    "cos": math.cos,
    "detach": _same,
    "div": operator.truediv,
    "eq": operator.eq,
    "exp": math.exp,
    "expm1": math.expm1,
    "ge": operator.ge,
    "gt": operator.gt,
    "le": operator.le,
    "lift_fresh_copy": _same,
    "log": _log,
    "log1p": _log1p,
    "logical_and": operator.and_,
    "logical_not": operator.not_,
    "lt": operator.lt,
    "maximum": max,
    "minimum": min,
    "mul": operator.mul,
    "neg": operator.neg,
    "pow": math.pow,
    "reciprocal": _reciprocal,
    "remainder": operator.mod,
    "rsub": _subtracted_from,
    "sqrt": math.sqrt,
    "square": _square,
    "sub": operator.sub,
    "tanh": math.tanh,
    "where": _where,
}
