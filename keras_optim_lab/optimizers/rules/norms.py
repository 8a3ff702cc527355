"""Lengths of whole weights, for rules that do not treat every number alone.

Weights of one shape come stacked along a first axis; the length of each has axes of size 1 in the
place of the weight's own.
"""

from keras import ops


def norm(x):
    """The Euclidean length √Σ x²."""
    return ops.sqrt(ops.sum(ops.square(x), _own_axes(x), keepdims=True))


def rms(x):
    """The root mean square √(Σ x² / n)."""
    return ops.sqrt(ops.mean(ops.square(x), _own_axes(x), keepdims=True))


def ratio(numerator, denominator):
    """Their quotient, or 1 where either is 0: there a trust ratio has nothing to compare."""
    usable = ops.logical_and(numerator > 0.0, denominator > 0.0)
    return ops.where(usable, numerator / ops.where(usable, denominator, 1.0), 1.0)


def _own_axes(x):
    return tuple(range(1, len(x.shape)))
