"""What only TensorFlow can do."""

import contextlib
import functools
import math
from typing import Any

import keras
import tensorflow as tf

from keras_optim_lab.backend import updating
from keras_optim_lab.backend.host import cores
from keras_optim_lab.backend.tensorflow_private import (
    maybe_merge_call,
    prepared_functions_kept,
    without_tracing_warning,
)
from keras_optim_lab.backend.tensorflow_program import Program as Program
from keras_optim_lab.backend.tensorflow_program import on_host

# Programs that train many rows at once; `backend.interface` says what each does.

# A program uses one core: its operations are too small to be shared out.
WORKERS = cores()
JOINS_WEIGHTS = False
STATELESS_STEPS = False
COMPILES = True


def accelerators() -> int:
    return len(tf.config.list_logical_devices("GPU"))


def devices() -> list[str]:
    kind = "CPU" if on_host() else "GPU"
    return [device.name for device in tf.config.list_logical_devices(kind)]


def free_memory() -> int | None:
    return None  # TensorFlow does not tell how large a device is


def prefers_vectorized() -> bool:
    return not on_host()  # as on JAX


def reuse_compiled_programs() -> None:
    pass


def take(array, indices):
    return tf.gather(array, indices)


def gradient(loss):
    # Programs of several optimizers share its trace.
    return tf.function(_gradient(loss), autograph=False)


def _gradient(loss):
    def gradients(weights, *rest):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            value, others = loss(weights, *rest)
        return tape.gradient(value, weights, unconnected_gradients="zero"), others

    return gradients


def repeated(function):
    return function


def row_gradients(loss, repeats=False):
    return tf.function(vmap(_gradient(loss)), autograph=False)


def vmap(function, shared=0):
    def mapped(*arguments):
        own = len(arguments) - shared
        return tf.vectorized_map(lambda row: function(*row, *arguments[own:]), arguments[:own])

    return mapped


def row_values(function, repeats=False, shared=0):
    return vmap(function, shared)


def update_rows(function, numbers):
    return function


def map_rows(function, logs):
    def mapped(state, orders):
        after = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape[1:], x.dtype), state)
        return tf.map_fn(
            lambda row: function(*row),
            (state, orders),
            fn_output_signature=(after, {name: tf.TensorSpec((), tf.float32) for name in logs}),
        )

    return mapped


def fori_loop(count, body, carry):
    def step(i, *flat):
        after = body(i, tf.nest.pack_sequence_as(carry, list(flat)))
        return (i + 1, *tf.nest.flatten(after))

    flat = tf.while_loop(
        lambda i, *_: i < count,
        step,
        (tf.constant(0), *tf.nest.flatten(carry)),
        maximum_iterations=count,
    )
    return tf.nest.pack_sequence_as(carry, list(flat[1:]))


def cond(condition, yes, no, state):
    return tf.cond(condition, lambda: yes(state), lambda: no(state))


def noise(seed, step):
    return contextlib.nullcontext()  # a row's noise comes from its own seeds, part of its state


def seeding():
    return prepared_functions_kept()


def put_row(state, row, values):
    rows = tf.nest.flatten(state)
    # Nothing can be scattered into a slot that a weight lacks. The shapes are asked here: the
    # traced function gives up knowing them, to serve states of any shapes.
    filled = [index for index, leaf in enumerate(rows) if 0 not in leaf.shape]
    new = tf.nest.flatten(values)
    put = _put_row(
        [rows[index] for index in filled],
        tf.constant(row),
        [tf.convert_to_tensor(new[index]) for index in filled],
    )
    for index, leaf in zip(filled, put, strict=True):
        rows[index] = leaf
    return tf.nest.pack_sequence_as(state, rows)


@tf.function(autograph=False, reduce_retracing=True)
def _put_row(rows, row, values):
    return [
        tf.tensor_scatter_nd_update(leaf, [[row]], [value])
        for leaf, value in zip(rows, values, strict=True)
    ]


# Derivatives; `backend.interface` says what each does.


def compiled(function):
    # Every function that is minimized has a program of its own: nothing to warn of.
    return without_tracing_warning(tf.function(function, autograph=False))


def precision(dtype):
    return contextlib.nullcontext()


def value_and_gradient(function):
    def differentiated(x):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            value = function(x)
        return value, tape.gradient(value, x, unconnected_gradients="zero")

    return differentiated


def linearize(function, x):
    def forward(v):
        with tf.autodiff.ForwardAccumulator(x, v) as accumulator:
            y = function(x)
        return accumulator.jvp(y, unconnected_gradients="zero")

    def backward(u):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x, u, unconnected_gradients="zero")

    return function(x), forward, backward


def hessian_products(function, x):
    differentiated = value_and_gradient(function)

    def product(v):
        with tf.autodiff.ForwardAccumulator(x, v) as accumulator:
            gradient = differentiated(x)[1]
        return accumulator.jvp(gradient, unconnected_gradients="zero")

    return product


def jvp(function, x, v):
    # A tape loses what passes through nested forward accumulators; the derivative of a
    # vector–Jacobian product, which is linear in u, by u is exact at any depth.
    with tf.GradientTape(watch_accessed_variables=False) as outer:
        with tf.GradientTape(watch_accessed_variables=False) as inner:
            inner.watch(x)
            y = function(x)
        u = tf.ones_like(y)
        outer.watch(u)
        product = inner.gradient(y, x, u, unconnected_gradients="zero")
    if y.shape[1:].num_elements() == 1:  # the gradient of the sum of rows has them all
        others = range(1, len(x.shape))
        return tf.reshape(tf.reduce_sum(product * v, axis=[*others]), tf.shape(y))
    return outer.gradient(product, u, v, unconnected_gradients="zero")


def map_vectors(function, vectors):
    try:
        return tf.vectorized_map(function, vectors)
    except ValueError:  # convolutions have no vectorized derivative
        return tf.map_fn(function, vectors)


def normal(shape, dtype, seed, step):
    return tf.random.stateless_normal(shape, _key(seed, step), dtype=dtype)


def signs(shape, dtype, seed, step):
    drawn = tf.random.stateless_uniform(shape, _key(seed, step), 0, 2, tf.int32)
    return tf.cast(2 * drawn - 1, dtype)


def _key(seed, step):
    return tf.stack([tf.constant(seed, tf.int32), tf.cast(step, tf.int32)])


def noise_key():
    return 0  # noise comes from seeds among the model's variables


def with_variables(model, step, *arguments):
    return step(*arguments)


# Steps of an optimizer; `backend.interface` says what each does.

JOINED = 0  # XLA selects every number of joined weights among all of them: slower than many kernels
# Numbers above which waiting for XLA, which takes about a second, pays within a short training.
_WORTH_COMPILING = 2**17


def register(record):
    pass  # it takes every mapping for a container


def dense(gradient):
    if isinstance(gradient, tf.IndexedSlices):
        values = _wide(gradient.values)
        return tf.math.unsorted_segment_sum(values, gradient.indices, gradient.dense_shape[0])
    return _wide(tf.convert_to_tensor(gradient))


def _wide(tensor):
    return tf.cast(tensor, tf.float32) if tensor.dtype.size == 2 else tensor


def lerp(average, x, share):
    return average + share * (x - average)


def clip(x, bound):
    # One operation, where `tf.clip_by_value` is two.
    return tf.raw_ops.ClipByValue(t=x, clip_value_min=-bound, clip_value_max=bound)


@contextlib.contextmanager
def eagerly(variable):
    own: Any = getattr(_native(variable), "distribute_strategy", None)
    with tf.init_scope():
        # Keras is in the scope of the strategy when it builds, and not before a fit.
        elsewhere = own is not None and own is not tf.distribute.get_strategy()
        with own.scope() if elsewhere else contextlib.nullcontext():
            yield


@tf.autograph.experimental.do_not_convert
def beside(variable):
    return tf.distribute.get_strategy().extended.colocate_vars_with(_native(variable))


def value(variable):
    # Keras hands on its variables as tensors, which not every operation takes for one.
    return tf.convert_to_tensor(_native(variable))


def _native(variable):
    return variable.value if isinstance(variable, keras.Variable) else variable


class Updater(updating.Updater):
    value = staticmethod(value)

    @tf.autograph.experimental.do_not_convert
    def run(self, gradients, now):
        there = [i for i, gradient in enumerate(gradients) if gradient is not None]
        here = tf.distribute.get_replica_context()
        given = [gradients[i] for i in there]
        if here is not None and here.num_replicas_in_sync > 1:
            given = here.all_reduce(tf.distribute.ReduceOp.SUM, given)

        def update(_, *own):
            by_index = dict(zip(there, own, strict=True))
            given = [by_index.get(i) for i in range(len(gradients))]
            if not self._compiles(given):
                super(Updater, self).run(given, now)
                return
            # Variables are read and assigned inside: tensors would be copied on their way out.
            taken = tf.nest.map_structure(_read, now())
            step = functools.partial(super(Updater, self).run, given, lambda: taken)
            tf.function(step, jit_compile=True, autograph=False)()

        def on_each(strategy, gradients):
            # The first weight stands for all: within an update, each reads its device's own copy.
            first = _native(self.weights[there[0]])
            strategy.extended.update(first, update, args=gradients, group=False)

        maybe_merge_call(on_each, tf.distribute.get_strategy(), tuple(given))

    def _compiles(self, gradients) -> bool:
        """Whether XLA is to compile a step inside a graph; one that is run eagerly never."""
        method = self.step.method
        if tf.executing_eagerly() or tf.distribute.get_strategy().num_replicas_in_sync > 1:
            return False
        if method.execution != "auto":
            return method.execution == "compiled"
        # XLA has decompositions of matrices only as loops: slower than any step saves.
        pairs = zip(self.weights, gradients, strict=True)
        sizes = (math.prod(weight.shape) for weight, gradient in pairs if gradient is not None)
        return not method.branches and sum(sizes) > _WORTH_COMPILING


def _read(x):
    return None if x is None else tf.convert_to_tensor(x)
