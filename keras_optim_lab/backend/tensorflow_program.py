"""A function that TensorFlow compiles once, by XLA where that is faster."""

import tensorflow as tf


def on_host() -> bool:
    return not tf.config.list_logical_devices("GPU")


class Program:
    """A function of (state, …) traced once and compiled by XLA, where that is faster."""

    def __init__(self, function, *examples):
        self.traces = 0

        def counted(*arguments):
            self.traces += 1
            return function(*arguments)

        traced = tf.function(counted, autograph=False)
        operations = _operations(traced.get_concrete_function(*examples))
        self._call = traced
        if not operations & (_NEVER_IN_XLA | (_SLOW_IN_XLA_LOOPS if on_host() else set())):
            self._call = tf.function(
                lambda *arguments: traced(*arguments), jit_compile=True, autograph=False
            )
        try:
            self._call(*examples)  # XLA compiles, or refuses to, at the first call
        except _NOT_FOR_XLA:
            if self._call is traced:
                raise
            self._call = traced
            self._call(*examples)

    def __call__(self, *arguments):
        return self._call(*arguments)


_NOT_FOR_XLA = (
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.UnimplementedError,
)
# How long a list is, which the gradient of a recurrent layer by its input asks for, XLA takes for
# a function of what is in it: it refuses, or compiles again whenever a weight has changed.
_NEVER_IN_XLA = {"TensorListLength"}
# On a CPU XLA falls back to plain loops for these inside a loop: five times as slow as
# TensorFlow's own, eigenvectors and the gradient of an embedding forty times, and ten times as
# long to compile.
_SLOW_IN_XLA_LOOPS = {
    "SelfAdjointEigV2",
    "UnsortedSegmentSum",
    "Conv2DBackpropFilter",
    "Conv2DBackpropFilterV2",
    "Conv3DBackpropFilterV2",
    "DepthwiseConv2dNativeBackpropFilter",
}


def _operations(function) -> set[str]:
    """The types of all operations in a traced function and the functions that it calls."""
    graph = function.graph.as_graph_def()
    inner = [node for called in graph.library.function for node in called.node_def]
    return {node.op for node in [*graph.node, *inner]}
