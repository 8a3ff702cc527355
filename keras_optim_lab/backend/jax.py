"""What only JAX can do."""

import atexit
import contextlib
import functools
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import keras
from jax import lax
from jax.experimental import sparse
from jax.experimental.compilation_cache import compilation_cache
from jax.extend import core

from keras_optim_lab.backend import programs, updating
from keras_optim_lab.backend.float64 import kept_in_keras
from keras_optim_lab.backend.host import cores
from keras_optim_lab.backend.jax_drawing import by_few_programs


def reuse_compiled_programs() -> None:
    """Lets a program that was compiled once serve again, however it is traced.

    A fresh model of the same shape is traced to the same program, so a trial need not wait for
    the compiler, nor the next process. A cache that the user has set up is left as it is.
    """
    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    kept = programs.prepared()
    if kept is None:
        folder = tempfile.TemporaryDirectory(prefix="keras-optim-lab-")
        atexit.register(folder.cleanup)
        kept = Path(folder.name)
    jax.config.update("jax_compilation_cache_dir", str(kept))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    compilation_cache.reset_cache()  # JAX looks for a cache once, at its first compilation


# Programs that train many rows at once; `backend.interface` says what each does.

# A program uses one core: its operations are too small to be shared out.
WORKERS = cores()
JOINS_WEIGHTS = False
STATELESS_STEPS = True
COMPILES = True


def on_host() -> bool:
    return jax.default_backend() == "cpu"


def accelerators() -> int:
    return 0 if on_host() else len(jax.local_devices())


def devices() -> list[jax.Device]:
    chosen = jax.config.values["jax_default_device"]
    return jax.local_devices() if chosen is None else [chosen]


def free_memory() -> int | None:
    if on_host():
        return None
    stats = [each.memory_stats() or {} for each in jax.local_devices()]
    free = [
        each["bytes_limit"] - each.get("bytes_in_use", 0) for each in stats if "bytes_limit" in each
    ]
    return min(free, default=None)


def prefers_vectorized() -> bool:
    # XLA has no fast batched matrix product of small matrices on a CPU: a loop takes 0.8 of the
    # time, and its rows stay in the cache.
    return not on_host()


def take(array, indices):
    return array.at[indices].get(mode="promise_in_bounds")


def gradient(loss):
    differentiated = jax.value_and_grad(loss, has_aux=True)

    def gradients(weights, *rest):
        (_, others), found = differentiated(weights, *rest)
        return found, others

    return _canonical_convolutions(gradients) if on_host() else gradients


def repeated(function):
    return function


def row_gradients(loss, repeats=False):
    # Programs of several optimizers share its trace.
    differentiated = jax.jit(jax.vmap(jax.value_and_grad(loss, has_aux=True)))

    def gradients(weights, *rest):
        (_, others), found = differentiated(weights, *rest)
        return found, others

    return gradients


def vmap(function, shared=0):
    def together(*arguments):
        return jax.vmap(function, [0] * (len(arguments) - shared) + [None] * shared)(*arguments)

    return together


def row_values(function, repeats=False, shared=0):
    return vmap(function, shared)


def update_rows(function, numbers):
    return function


def map_rows(function, logs):
    return lambda *rows: lax.map(lambda row: function(*row), rows)


def fori_loop(count, body, carry):
    return lax.fori_loop(0, count, body, carry)


def cond(condition, yes, no, state):
    if not isinstance(condition, jax.core.Tracer):  # JAX would compile a branch at every call
        return yes(state) if bool(condition) else no(state)
    return lax.cond(condition, yes, no, state)


def noise(seed, step):
    return contextlib.nullcontext()  # a row's noise comes from its own seeds, part of its state


def seeding():
    return by_few_programs() if on_host() else contextlib.nullcontext()


class Program:
    """A function of (state, …) compiled once; the state is given up at every call."""

    def __init__(self, function, *examples):
        self.traces = 0

        def counted(*arguments):
            self.traces += 1
            return function(*arguments)

        jitted = jax.jit(counted, donate_argnums=0)
        self._call = jitted.lower(*examples).compile()

    def __call__(self, *arguments):
        return self._call(*arguments)


def _put_row(state, row, values):
    # Compiled in half the time of `.at[row].set(value)`, which may scatter.
    put = lax.dynamic_update_index_in_dim
    return jax.tree.map(lambda rows, value: put(rows, value, row, 0), state, values)


put_row = jax.jit(_put_row, donate_argnums=0)


def _canonical_convolutions(function):
    """The function with every convolution in the layout that XLA's fast CPU kernels know.

    XLA transposes operands to it by itself, but not inside loops, where the gradients of
    convolutions fall back to plain loops and take four times as long.
    """

    def rewritten(*arguments):
        jaxpr, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        outputs = _evaluate(jaxpr.jaxpr, jaxpr.consts, jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shape), outputs)

    return rewritten


def _evaluate(jaxpr, consts, arguments):
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *arguments], strict=True))

    def read(variable):
        return variable.val if isinstance(variable, core.Literal) else values[variable]

    for equation in jaxpr.eqns:
        inputs = [read(variable) for variable in equation.invars]
        if equation.primitive is lax.conv_general_dilated_p:
            outputs = [_canonical_convolution(*inputs, **equation.params)]
        elif equation.primitive.name in ("jit", "pjit"):
            inner = equation.params["jaxpr"]
            outputs = _evaluate(inner.jaxpr, inner.consts, inputs)
        else:
            parameters = equation.primitive.get_bind_params(equation.params)
            outputs = equation.primitive.bind(*inputs, **parameters)
            if not equation.primitive.multiple_results:
                outputs = [outputs]
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _canonical_convolution(inputs, kernel, *, dimension_numbers, **parameters):
    rank = inputs.ndim
    batch, features, *places = dimension_numbers.lhs_spec
    outputs, channels, *window = dimension_numbers.rhs_spec
    inputs = jnp.transpose(inputs, (batch, *places, features))
    kernel = jnp.transpose(kernel, (*window, channels, outputs))
    inner = tuple(range(1, rank - 1))
    layout = lax.ConvDimensionNumbers(
        (0, rank - 1, *inner), (rank - 1, rank - 2, *range(rank - 2)), (0, rank - 1, *inner)
    )
    result = lax.conv_general_dilated_p.bind(inputs, kernel, dimension_numbers=layout, **parameters)
    batch, features, *places = dimension_numbers.out_spec
    held = (batch, *places, features)
    return jnp.transpose(result, sorted(range(rank), key=held.__getitem__))


# Derivatives; `backend.interface` says what each does.


def compiled(function):
    return jax.jit(function)


@contextlib.contextmanager
def precision(dtype):
    if dtype != "float64":
        yield
        return
    with jax.enable_x64(True), kept_in_keras():
        yield


def value_and_gradient(function):
    return jax.value_and_grad(function)


def linearize(function, x):
    y, forward = jax.linearize(function, x)
    backward = jax.linear_transpose(forward, x)
    return y, forward, lambda u: backward(u)[0]


def hessian_products(function, x):
    return jax.linearize(jax.grad(function), x)[1]


def jvp(function, x, v):
    return jax.jvp(function, (x,), (v,))[1]


def map_vectors(function, vectors):
    return lax.map(function, vectors, batch_size=128)


def normal(shape, dtype, seed, step):
    return jax.random.normal(_key(seed, step), shape, dtype)


def signs(shape, dtype, seed, step):
    return jax.random.rademacher(_key(seed, step), shape, dtype)


def _key(seed, step):
    return jax.random.fold_in(jax.random.key(seed), step)


def noise_key():
    return 0  # noise comes from seeds among the model's variables


def with_variables(model, step, *arguments):
    state, data = arguments
    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    mapping = [
        pair
        for variables, values in zip(groups, state, strict=True)
        for pair in zip(variables, values, strict=True)
    ]
    with keras.StatelessScope(state_mapping=mapping) as scope:
        logs = step(data)
    return logs, tuple(
        [scope.get_current_value(variable) for variable in variables] for variables in groups
    )


# Steps of an optimizer; `backend.interface` says what each does.

JOINED = 0  # XLA selects every number of joined weights among all of them: slower than many kernels


@functools.cache
def register(record):
    jax.tree_util.register_pytree_node(
        record,
        lambda values: (tuple(values.values()), tuple(values)),
        lambda names, values: record(dict(zip(names, values, strict=True))),
    )


def dense(gradient):
    if isinstance(gradient, sparse.JAXSparse):
        gradient = gradient.todense()
    wide = gradient.dtype in (jnp.float16, jnp.bfloat16)
    return gradient.astype("float32") if wide else gradient


def value(variable):
    return variable.value


def lerp(average, x, share):
    return average + share * (x - average)


def clip(x, bound):
    return jnp.clip(x, -bound, bound)


def eagerly(variable):
    return contextlib.nullcontext()


def beside(variable):
    return contextlib.nullcontext()


class Updater(updating.Updater):
    value = staticmethod(value)
