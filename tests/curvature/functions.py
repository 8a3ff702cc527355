"""Functions to minimize."""

import numpy as np
from keras import ops

BANANA = [-1.2, 1.0]

# No tolerance: a minimization takes all its steps.
ALL_STEPS = {"ftol": None, "xtol": None, "gtol": None}


def rosenbrock(x):
    return ops.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def saddle(x):
    return x[0] ** 2 - x[1] ** 2


def monkey_saddle(x):
    return x[0] ** 3 - 3.0 * x[0] * x[1] ** 2


# Misra1a of NIST's StRD (National Institute of Standards and Technology, nonlinear regression):
# y = b₁ (1 − exp(−b₂ x)), certified b₁ = 238.94212918, b₂ = 5.5015643181e-4.
MISRA1A_Y = np.concatenate(
    [
        [10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02],
        [44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78],
    ]
)
MISRA1A_X = np.concatenate(
    [
        [77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8],
        [378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0],
    ]
)
_T = np.linspace(0.0, 4.0, 25)
_NOISE = 0.02 * np.random.default_rng(0).normal(size=25)


def misra1a(b, xp=ops):
    x, y = _data(xp, MISRA1A_X, MISRA1A_Y)
    return b[0] * (1.0 - xp.exp(-b[1] * x)) - y


def decay(b, xp=ops):
    t, y = _data(xp, _T, 2.5 * np.exp(-1.3 * _T) + 0.5 + _NOISE)
    return b[0] * xp.exp(-b[1] * t) + b[2] - y


def peak(b, xp=ops):
    t, y = _data(xp, _T, 3.0 * np.exp(-((_T - 1.7) ** 2) / (2 * 0.4**2)) + _NOISE)
    return b[0] * xp.exp(-((t - b[1]) ** 2) / (2.0 * b[2] ** 2)) - y


def _data(xp, *arrays):
    return arrays if xp is np else [xp.convert_to_tensor(array) for array in arrays]


CURVES = {
    "misra1a": (misra1a, [250.0, 0.0005]),
    "exponential-decay": (decay, [1.0, 1.0, 0.0]),
    "gaussian-peak": (peak, [1.0, 1.5, 1.0]),
}
