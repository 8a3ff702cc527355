"""Derivatives; `backend.interface` says what each does."""

import contextlib
import functools

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from keras_optim_lab.backend.float64 import kept_in_keras
from keras_optim_lab.backend.torch.private import transformed


def compiled(function):
    return torch.no_grad()(function)


def precision(dtype):
    return kept_in_keras() if dtype == "float64" else contextlib.nullcontext()


def _differentiable(function):
    """Runs a function so that it can be differentiated twice: flash attention cannot."""

    @functools.wraps(function)
    def recorded(x):
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            return function(x)

    return recorded


def value_and_gradient(function):
    def differentiated(x):
        x = x.detach().requires_grad_()
        value = _differentiable(function)(x)
        return value.detach(), _product(value, x, None)

    return differentiated


def linearize(function, x):
    x = x.detach().requires_grad_()
    y = _differentiable(function)(x)
    # The product with the transpose is linear in u; its own derivative is the product itself.
    u = torch.zeros_like(y, requires_grad=True)
    transposed = _product(y, x, u, create_graph=True)
    return (
        y.detach(),
        lambda v: _product(transposed, u, v, retain_graph=True),
        lambda u: _product(y, x, u, retain_graph=True),
    )


def hessian_products(function, x):
    x = x.detach().requires_grad_()
    gradient = _product(_differentiable(function)(x), x, None, create_graph=True)
    return lambda v: _product(gradient, x, v, retain_graph=True)


def _product(y, x, u, **options):
    """uᵀ ∂y/∂x, zeros where y does not depend on x."""
    if not y.requires_grad:
        return torch.zeros_like(x)
    with torch.enable_grad():
        (product,) = torch.autograd.grad(
            y, x, u, allow_unused=True, materialize_grads=True, **options
        )
    return product


def jvp(function, x, v):
    if transformed():
        return torch.func.jvp(function, (x,), (v,))[1]
    recorded = torch.is_grad_enabled()
    with torch.enable_grad():
        x = x if x.requires_grad else x.detach().requires_grad_()
        y = function(x)
        one_each = y.numel() == len(x)  # so that the gradient of their sum has all derivatives
        u = torch.ones_like(y, requires_grad=not one_each)
        product = _product(y, x, u, create_graph=True)
        if one_each:
            result = (product * v).flatten(1).sum(1).reshape(y.shape)
        else:  # the product is linear in u
            result = _product(product, u, v, create_graph=True)
    return result if recorded else result.detach()


def map_vectors(function, vectors):
    return torch.stack([function(vector) for vector in vectors])


def with_variables(model, step, *arguments):
    with torch.no_grad():
        return step(*arguments)
