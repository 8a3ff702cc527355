"""The nonlinear regressions of NIST's Statistical Reference Datasets, with certified values.

The data, two starts and the certified parameters of each are in `nist_strd.json`, as the National
Institute of Standards and Technology published them (itl.nist.gov/div898/strd, public domain).
"""

import json
from pathlib import Path

import numpy as np
from keras import ops

PROBLEMS = json.loads(Path(__file__).with_name("nist_strd.json").read_text())


def starts(name):
    """Both of them, the far one first."""
    return [np.array(PROBLEMS[name][key], "float64") for key in ("start_1", "start_2")]


def residuals(name):
    """b ↦ the model's values at x minus y."""
    model = MODELS[name]
    x, y = (np.array(PROBLEMS[name][key], "float64") for key in ("x", "y"))
    y = np.log(y) if name == "Nelson" else y
    return lambda b: model(b, ops.convert_to_tensor(x)) - ops.convert_to_tensor(y)


def digits(name, b):
    """Right digits of the worst parameter."""
    return -np.log10(np.abs(np.array(b) / PROBLEMS[name]["certified"] - 1.0).max())


def _saturation(b, x):
    return b[0] * (1.0 - ops.exp(-b[1] * x))


def _decay_over_line(b, x):
    return ops.exp(-b[0] * x) / (b[1] + b[2] * x)


def _cubics(b, x):
    return (b[0] + x * (b[1] + x * (b[2] + x * b[3]))) / (1.0 + x * (b[4] + x * (b[5] + x * b[6])))


def _peaks(b, x):
    first, second = ops.exp(-(((x - b[3]) / b[4]) ** 2)), ops.exp(-(((x - b[6]) / b[7]) ** 2))
    return b[0] * ops.exp(-b[1] * x) + b[2] * first + b[5] * second


def _decays(b, x):
    return b[0] * ops.exp(-b[1] * x) + b[2] * ops.exp(-b[3] * x) + b[4] * ops.exp(-b[5] * x)


def _cycles(b, x):
    pairs = ((12.0, b[1], b[2]), (b[3], b[4], b[5]), (b[6], b[7], b[8]))
    angles = [(2.0 * np.pi * x / period, c, s) for period, c, s in pairs]
    return b[0] + sum(c * ops.cos(angle) + s * ops.sin(angle) for angle, c, s in angles)


MODELS = {
    "Bennett5": lambda b, x: b[0] * (b[1] + x) ** (-1.0 / b[2]),
    "BoxBOD": _saturation,
    "Chwirut1": _decay_over_line,
    "Chwirut2": _decay_over_line,
    "DanWood": lambda b, x: b[0] * x ** b[1],
    "ENSO": _cycles,
    "Eckerle4": lambda b, x: b[0] / b[1] * ops.exp(-(((x - b[2]) / b[1]) ** 2) / 2.0),
    "Gauss1": _peaks,
    "Gauss2": _peaks,
    "Gauss3": _peaks,
    "Hahn1": _cubics,
    "Kirby2": lambda b, x: (b[0] + x * (b[1] + x * b[2])) / (1.0 + x * (b[3] + x * b[4])),
    "Lanczos1": _decays,
    "Lanczos2": _decays,
    "Lanczos3": _decays,
    "MGH09": lambda b, x: b[0] * x * (x + b[1]) / (x * (x + b[2]) + b[3]),
    "MGH10": lambda b, x: b[0] * ops.exp(b[1] / (x + b[2])),
    "MGH17": lambda b, x: b[0] + b[1] * ops.exp(-x * b[3]) + b[2] * ops.exp(-x * b[4]),
    "Misra1a": _saturation,
    "Misra1b": lambda b, x: b[0] * (1.0 - (1.0 + b[1] * x / 2.0) ** -2.0),
    "Misra1c": lambda b, x: b[0] * (1.0 - (1.0 + 2.0 * b[1] * x) ** -0.5),
    "Misra1d": lambda b, x: b[0] * b[1] * x / (1.0 + b[1] * x),
    "Nelson": lambda b, x: b[0] - b[1] * x[0] * ops.exp(-b[2] * x[1]),
    "Rat42": lambda b, x: b[0] / (1.0 + ops.exp(b[1] - b[2] * x)),
    "Rat43": lambda b, x: b[0] / (1.0 + ops.exp(b[1] - b[2] * x)) ** (1.0 / b[3]),
    "Roszman1": lambda b, x: b[0] - b[1] * x - ops.arctan(b[2] / (x - b[3])) / np.pi,
    "Thurber": _cubics,
}
