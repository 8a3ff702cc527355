"""Time of one optimizer step: ours beside those of Keras, PyTorch, optax and pytorch_optimizer.

The contestants take turns in one run.

    KERAS_BACKEND=torch python scripts/bench_updates.py --json torch.json
    KERAS_BACKEND=jax python scripts/bench_updates.py --optimizers adam --shapes 1.85M/150
    KERAS_BACKEND=torch python scripts/bench_updates.py --optimizers muon shampoo soap \\
        --shapes transformer --fit --rounds 5

Each row gives the median time of a step, how many times as fast as the built-in it is, how many
times as long it takes as a copy of what a step must read and write, the memory that it takes
beyond weights, gradients and slots, and the time of the first call, which may compile.
"""

import argparse
import gc
import importlib
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers, ops
from rich.console import Console
from rich.table import Table

import keras_optim_lab as kol
from keras_optim_lab.optimizers.rules.kronecker import merged

BACKEND = keras.backend.backend()

# By the name of ours: the classes of Keras and PyTorch and the function of optax; None where
# there is none.
OPTIMIZERS = {
    "gradient_descent": ("SGD", "SGD", "sgd"),
    "rmsprop": ("RMSprop", "RMSprop", "rmsprop"),
    "adagrad": ("Adagrad", "Adagrad", "adagrad"),
    "adam": ("Adam", "Adam", "adam"),
    "adamw": ("AdamW", "AdamW", "adamw"),
    "nadam": ("Nadam", "NAdam", "nadam"),
    "radam": (None, "RAdam", "radam"),
    "adabound": (None, None, None),
}

# Methods on matrices: settings of ours, and by package the class and its settings that do the same.
# In as many steps as `period` each does its dear work once. pytorch_optimizer's `Shampoo` has no
# blocks, so that its embedding alone would take minutes.
MATRIX_OPTIMIZERS = {
    "muon": ({"low_precision": True}, 1, ("torch.optim", "Muon", {"lr": 2e-2})),
    "shampoo": (
        {"precondition_every": 20},
        20,
        (
            "pytorch_optimizer",
            "ScalableShampoo",
            {
                "block_size": 1024,
                "start_preconditioning_step": 20,
                "preconditioning_compute_steps": 20,
                "shape_interpretation": False,
                "graft_type": 3,
                "nesterov": False,
            },
        ),
    ),
    "soap": (
        {"max_dimension": 1024},
        10,
        ("pytorch_optimizer", "SOAP", {"max_precondition_dim": 1024}),
    ),
}


def resnet():
    """ResNet-18 for images of 32 × 32."""

    def block(x, width, stride):
        y = layers.Conv2D(width, 3, stride, padding="same", use_bias=False)(x)
        y = layers.Activation("relu")(layers.BatchNormalization()(y))
        y = layers.Conv2D(width, 3, padding="same", use_bias=False)(y)
        y = layers.BatchNormalization()(y)
        if stride > 1 or x.shape[-1] != width:
            x = layers.BatchNormalization()(layers.Conv2D(width, 1, stride, use_bias=False)(x))
        return layers.Activation("relu")(layers.Add()([x, y]))

    images = x = keras.Input((32, 32, 3))
    x = layers.Conv2D(64, 3, padding="same", use_bias=False)(x)
    for width, stride in [(64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]:
        x = block(x, width, stride)
    x = block(x, 512, 1)
    return keras.Model(images, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def transformer():
    """Six encoder layers of width 256 over sequences of 32 tokens."""
    tokens = keras.Input((32,), dtype="int32")
    x = layers.Embedding(8192, 256)(tokens)
    for _ in range(6):
        normal = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(8, 32)(normal, normal)])
        y = layers.Dense(1024, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(256)(y)])
    return keras.Model(tokens, layers.Dense(10)(layers.GlobalAveragePooling1D()(x)))


def mlp():
    """The model of the task digits-mlp."""
    images = keras.Input((64,))
    x = layers.Dense(128, activation="relu")(images)
    return keras.Model(images, layers.Dense(10)(layers.Dense(128, activation="relu")(x)))


MODELS = {"resnet18": resnet, "transformer": transformer, "mlp": mlp}


def shapes_of(name: str) -> list[tuple[int, ...]]:
    match name:
        case "33k/8":
            return [(64, 128), (128,), (128, 128), (128,), (128, 64), (64,), (64, 10), (10,)]
        case "1.85M/150":
            return [(128, 192), (192,)] * 75
        case "12.6M/24":
            return [(1024, 1024), (1024,)] * 12
        case _:
            return [tuple(v.shape) for v in MODELS[name]().trainable_variables]


def numbers(shapes, seed: int):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


# Contestants: a function that does one step.


def keras_step(optimizer, shapes, xla: bool = False):
    weights = [keras.Variable(w) for w in numbers(shapes, 0)]
    gradients = [ops.convert_to_tensor(g) for g in numbers(shapes, 1)]
    optimizer.build(weights)
    if BACKEND == "torch":
        import torch

        def step():
            with torch.no_grad():
                optimizer.apply(gradients, weights)

    elif BACKEND == "tensorflow":
        import tensorflow as tf

        @tf.function(jit_compile=xla)
        def update(gradients):
            optimizer.apply(gradients, weights)

        def step():
            update(gradients)

    else:
        import jax

        update = jax.jit(
            lambda w, state, g: optimizer.stateless_apply(state, g, w), donate_argnums=(0, 1)
        )
        held = [[w.value for w in weights], [v.value for v in optimizer.variables]]

        def step():
            held[:] = update(*held, gradients)
            jax.block_until_ready(held)

    return step


def torch_step(cls, shapes, **choices):
    import torch

    weights = [torch.nn.Parameter(torch.tensor(w)) for w in numbers(shapes, 0)]
    for weight, g in zip(weights, numbers(shapes, 1), strict=True):
        weight.grad = torch.tensor(g)
    return getattr(torch.optim, cls)(weights, lr=1e-3, **choices).step


def matrix_step(package, cls, settings, shapes):
    """A step on kernels in the form that PyTorch gives them; vectors are left to its AdamW."""
    import torch

    def made(shapes, make):
        weights = [torch.nn.Parameter(torch.tensor(w)) for w in numbers(shapes, 0)]
        for weight, g in zip(weights, numbers(shapes, 1), strict=True):
            weight.grad = torch.tensor(g)
        return make(weights)

    method = getattr(importlib.import_module(package), cls)
    matrices = [merged(shape) for shape in shapes if len(shape) > 1]
    vectors = [shape for shape in shapes if len(shape) < 2]
    optimizers = [
        made(matrices, lambda weights: method(weights, **settings)),
        made(vectors, lambda weights: torch.optim.AdamW(weights, fused=True)),
    ]
    return lambda: [optimizer.step() for optimizer in optimizers]


def optax_step(name, shapes):
    import jax
    import optax

    method = getattr(optax, name)(1e-3)
    weights = [jax.numpy.asarray(w) for w in numbers(shapes, 0)]
    gradients = [jax.numpy.asarray(g) for g in numbers(shapes, 1)]

    def update(weights, state, gradients):
        steps, state = method.update(gradients, state, weights)
        return optax.apply_updates(weights, steps), state

    jitted = jax.jit(update, donate_argnums=(0, 1))
    held = [weights, method.init(weights)]

    def step():
        held[:] = jitted(*held, gradients)
        jax.block_until_ready(held)

    return step


def contestants(name: str, shapes, executions: list[str]):
    """Makers of steps by their label; the built-in's is "keras"."""
    theirs, torchs, optaxs = OPTIMIZERS.get(name, (None, None, None))
    settings, _, reference = MATRIX_OPTIMIZERS.get(name, ({}, 1, None))
    made = {}
    for xla in [False, True] if BACKEND == "tensorflow" else [False]:
        mark = " xla" if xla else ""
        for execution in executions:
            label = f"ours{mark}" if execution == "auto" else f"ours {execution}{mark}"
            made[label] = lambda e=execution, x=xla: keras_step(
                kol.optimizers.get(name, execution=e, **settings), shapes, x
            )
        if theirs:
            made[f"keras{mark}"] = lambda x=xla: keras_step(
                getattr(keras.optimizers, theirs)(1e-3), shapes, x
            )
    if BACKEND == "torch" and reference:
        made[reference[0]] = lambda: matrix_step(*reference, shapes)
    if BACKEND == "torch" and torchs:
        made["torch foreach"] = lambda: torch_step(torchs, shapes, foreach=True)
        if torchs in ("SGD", "Adam", "AdamW", "Adagrad"):
            fused = {} if torchs == "Adagrad" else {"fused": True}
            made["torch fused"] = lambda: torch_step(torchs, shapes, **fused)
    if BACKEND == "jax" and optaxs:
        made["optax"] = lambda: optax_step(optaxs, shapes)
    return made


# Measures.


def copy_seconds(shapes, slots: int) -> float:
    """A copy that reads and writes as many bytes as a step must: w, g, slots in, w, slots out."""
    count = sum(int(np.prod(shape)) for shape in shapes)
    halves = np.zeros((2, max(1, count * (3 + 2 * slots) // 2)), "float32")
    if BACKEND == "torch":
        import torch

        source, target = torch.tensor(halves)
        copy = lambda: target.copy_(source)  # noqa: E731
    else:
        copy = lambda: np.copyto(halves[0], halves[1])  # noqa: E731
    return statistics.median(timed(copy) for _ in range(9))


def timed(step) -> float:
    begun = time.perf_counter()
    step()
    return time.perf_counter() - begun


def memory_peak(step) -> int | None:
    """Bytes that the step takes at most beyond those that are taken before it."""
    if platform.system() != "Linux":
        return None
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status("VmRSS")
    step()
    return max(0, _status("VmHWM") - before)


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def measure(name: str, shape: str, executions, rounds: int) -> list[dict]:
    shapes = shapes_of(shape)
    makers = contestants(name, shapes, executions)
    steps, first = {}, {}
    for label, make in makers.items():
        steps[label] = make()
        first[label] = timed(steps[label])
        timed(steps[label])
    times = {label: [] for label in steps}
    many = max(1, round(2e5 / sum(int(np.prod(s)) for s in shapes)))
    if name in MATRIX_OPTIMIZERS:
        many = MATRIX_OPTIMIZERS[name][1]  # the share of the dear steps is that of a training
    for _ in range(rounds):
        for label, step in steps.items():
            times[label].append(timed(lambda step=step: [step() for _ in range(many)]) / many)
    copied = copy_seconds(shapes, len(kol.optimizers.get(name).active_slots))
    rows = []
    for label, taken in times.items():
        median = statistics.median(taken)
        built_in = "keras xla" if label.endswith(" xla") else "keras"
        rows.append(
            {
                "backend": BACKEND,
                "optimizer": name,
                "weights": shape,
                "by": label,
                "milliseconds": 1e3 * median,
                "times as fast as keras": statistics.median(times[built_in]) / median
                if built_in in times
                else None,
                "times a copy": median / copied,
                "temporary MB": (memory_peak(steps[label]) or 0) / 1e6,
                "first call s": first[label],
            }
        )
    return rows


def measure_fit(name: str, model_name: str, batches: int, rounds: int) -> list[dict]:
    """Inside `fit`: the time of a training step, and on PyTorch that of its optimizer alone."""
    theirs = OPTIMIZERS.get(name, (None,))[0]
    rng = np.random.default_rng(0)
    batch = 32 if model_name == "mlp" else 4
    runs = {}
    for label in ["ours", "keras"] if theirs else ["ours"]:
        model = MODELS[model_name]()
        if model_name == "transformer":
            x = rng.integers(0, 8192, (batch * batches, 32)).astype("int32")
        else:
            x = rng.normal(size=(batch * batches, *model.input_shape[1:])).astype("float32")
        y = rng.integers(0, 10, batch * batches)
        optimizer = (
            kol.optimizers.get(name) if label == "ours" else getattr(keras.optimizers, theirs)(1e-3)
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss)
        spent = []
        if BACKEND == "torch":
            apply = optimizer.apply

            def watched(*arguments, apply=apply, spent=spent):
                spent.append(timed(lambda: apply(*arguments)))

            optimizer.apply = watched
        fit = lambda m=model, x=x, y=y, b=batch: m.fit(x, y, batch_size=b, verbose=0)  # noqa: E731
        first = timed(fit)
        spent.clear()
        runs[label] = (fit, spent, first, [])
    for _ in range(rounds):
        for fit, _, _, times in runs.values():
            times.append(timed(fit) / batches)
    medians = {label: statistics.median(run[3]) for label, run in runs.items()}
    updates = {label: statistics.median(run[1]) for label, run in runs.items() if run[1]}
    return [
        {
            "backend": BACKEND,
            "optimizer": name,
            "weights": f"fit {model_name}",
            "by": label,
            "milliseconds": 1e3 * medians[label],
            "times as fast as keras": medians["keras"] / medians[label] if theirs else None,
            "optimizer alone, milliseconds": 1e3 * updates[label] if updates else None,
            "times as fast as keras's": updates["keras"] / updates[label]
            if updates and theirs
            else None,
            "first call s": run[2],
        }
        for label, run in runs.items()
    ]


def show(rows: list[dict]) -> None:
    table = Table(title=f"{BACKEND}, {os.cpu_count()} cores")
    columns = list(dict.fromkeys(key for row in rows for key in row if key != "backend"))
    for column in columns:
        table.add_column(column)
    for row in rows:
        cells = [row.get(column) for column in columns]
        table.add_row(
            *(f"{c:.3g}" if isinstance(c, float) else "" if c is None else str(c) for c in cells)
        )
    Console(width=160).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    shapes = ["33k/8", "1.85M/150", "12.6M/24", "resnet18", "transformer"]
    every = [*OPTIMIZERS, *MATRIX_OPTIMIZERS]
    parser.add_argument("--optimizers", nargs="*", default=list(OPTIMIZERS), choices=every)
    parser.add_argument("--shapes", nargs="*", default=shapes, choices=[*shapes, "mlp"])
    parser.add_argument("--fit", nargs="*", default=[*MODELS], choices=MODELS)
    parser.add_argument("--fit-optimizers", nargs="*", default=["adam"])
    choices = ["auto", "blocked", "per_tensor", "compiled"]
    parser.add_argument("--executions", nargs="*", default=["auto"], choices=choices)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for shape in options.shapes:
        for name in options.optimizers:
            rows += measure(name, shape, options.executions, options.rounds)
            print(*(row for row in rows if row["optimizer"] == name), sep="\n", file=sys.stderr)
            gc.collect()
    for model in options.fit:
        for name in options.fit_optimizers:
            rows += measure_fit(name, model, options.batches, max(3, options.rounds // 4))
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
