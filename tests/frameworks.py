"""What the tests ask of a framework, in one form for TensorFlow, JAX and PyTorch."""

import keras
import numpy as np
from keras import ops

BACKEND = keras.backend.backend()


def compiled(fn):
    """`fn` of tensors as one compiled program; PyTorch runs it as it is."""
    if BACKEND == "jax":
        import jax

        return jax.jit(fn)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.function(fn, autograph=False)
    return fn


def gradient(fn):
    """The gradient of a scalar function of one tensor."""
    if BACKEND == "jax":
        import jax

        return jax.grad(fn)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        def of_tensorflow(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = fn(x)
            return tape.gradient(y, x)

        return of_tensorflow
    import torch

    return torch.func.grad(fn)


def mapped(fn):
    """`fn` of one tensor for every row of a tensor at once."""
    if BACKEND == "jax":
        import jax

        return jax.vmap(fn)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return lambda rows: tf.vectorized_map(fn, rows)
    import torch

    return torch.func.vmap(fn)


def tensors(tree, dtype="float32"):
    """A nested container of arrays as tensors of the active backend."""
    return keras.tree.map_structure(lambda x: ops.convert_to_tensor(x, dtype), tree)


def arrays(tree):
    """A nested container of tensors as NumPy arrays that nothing changes any more."""
    return keras.tree.map_structure(lambda x: np.array(ops.convert_to_numpy(x)), tree)


def applied(optimizer, weights):
    """`optimizer.apply` on Keras variables as a compiled function of the gradients."""
    optimizer.build(weights)
    if BACKEND != "jax":
        return compiled(lambda gradients: optimizer.apply(gradients, weights))
    step = compiled(optimizer.stateless_apply)

    def of_jax(gradients):
        variables = [*optimizer.variables, *weights]
        state = [variable.value for variable in optimizer.variables]
        new_weights, new_state = step(state, gradients, [w.value for w in weights])
        for variable, value in zip(variables, [*new_state, *new_weights], strict=True):
            variable.assign(value)

    return of_jax
