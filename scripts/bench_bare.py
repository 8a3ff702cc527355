"""How long the arithmetic of `bench_models.py`'s convnet takes alone, written without Keras.

    .venv/bin/python scripts/bench_bare.py

Trials of Adam on its 1000 samples, three epochs of 32 steps and a validation pass each: in JAX a
compiled step, and as many trials at a time as there are cores; in PyTorch its own layers,
`channels_last`, its fused Adam, one trial after the other. What compiles is compiled beforehand.
Beside them stands the population engine, with the same and all that it does besides: Keras,
compiling, storing. `bench_tuning.py --models --tasks convnet` has the plain loop.
"""

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

SAMPLES, VALIDATION, BATCH, EPOCHS = 1000, 250, 32, 3
SHAPES = ((3, 3, 1, 32), (32,), (3, 3, 32, 64), (64,), (1600, 10), (10,))
Array = np.ndarray


def data() -> tuple[Array, Array, Array]:
    """Images [samples, 28, 28, 1], their classes, and the order of every epoch's samples."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(SAMPLES, 28, 28, 1)).astype("float32")
    order = np.stack([rng.permutation(SAMPLES) for _ in range(EPOCHS)])
    return x, rng.integers(0, 10, SAMPLES).astype("int32"), order.astype("int32")


def first_weights() -> list[Array]:
    rng = np.random.default_rng(1)
    return [rng.normal(0, 0.05, shape).astype("float32") for shape in SHAPES]


def in_jax(trials: int) -> float:
    import jax
    import jax.numpy as jnp
    from jax import lax

    x, y, order = map(jnp.asarray, data())

    def logits(w, x, key=None):
        for kernel, bias in ((w[0], w[1]), (w[2], w[3])):
            x = lax.conv_general_dilated(
                x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = jax.nn.relu(x + bias)
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        x = x.reshape(len(x), -1)
        if key is not None:
            x = jnp.where(jax.random.bernoulli(key, 0.5, x.shape), x / 0.5, 0.0)
        return x @ w[4] + w[5]

    def loss(w, x, y, key=None):
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits(w, x, key)), y[:, None], axis=1)
        return -chosen.mean()

    def step(state, chosen, rate):
        w, m, v, count, key = state
        key, drawn = jax.random.split(key)
        gradient = jax.grad(loss)(w, x[chosen], y[chosen], drawn)
        count += 1
        m = [0.9 * m + 0.1 * g for m, g in zip(m, gradient, strict=True)]
        v = [0.999 * v + 0.001 * g * g for v, g in zip(v, gradient, strict=True)]
        rate *= jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        moved = zip(w, m, v, strict=True)
        return [w - rate * m / (jnp.sqrt(v) + 1e-7) for w, m, v in moved], m, v, count, key

    # XLA's convolutions are several times slower within a loop of its own.
    stepped, measured = jax.jit(step, donate_argnums=0), jax.jit(loss)

    def trial(rate: float) -> None:
        state = [jnp.copy(w) for w in weights], [0 * w for w in weights], [0 * w for w in weights]
        state = *state, jnp.float32(0), jax.random.key(0)
        for epoch in np.asarray(order):
            for first in range(0, SAMPLES, BATCH):
                state = stepped(state, epoch[first : first + BATCH], rate)
            measured(state[0], x[:VALIDATION], y[:VALIDATION]).block_until_ready()

    weights = [jnp.asarray(w) for w in first_weights()]
    trial(1e-3)
    begun = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for run in [pool.submit(trial, 1e-3 * (1 + i)) for i in range(trials)]:
            run.result()
    return time.perf_counter() - begun


def in_torch(trials: int) -> float:
    import torch
    from torch import nn

    x, y, order = map(torch.as_tensor, data())
    x = x.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    y = y.long()

    def trial(rate: float) -> None:
        model = nn.Sequential(
            *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Dropout(0.5), nn.Linear(1600, 10)),
        ).to(memory_format=torch.channels_last)
        adam = torch.optim.Adam(model.parameters(), rate, fused=True)
        for epoch in order:
            model.train()
            for chosen in epoch.split(BATCH):
                adam.zero_grad()
                nn.functional.cross_entropy(model(x[chosen]), y[chosen]).backward()
                adam.step()
            model.eval()
            with torch.no_grad():
                nn.functional.cross_entropy(model(x[:VALIDATION]), y[:VALIDATION]).item()

    trial(1e-3)
    begun = time.perf_counter()
    for i in range(trials):
        trial(1e-3 * (1 + i))
    return time.perf_counter() - begun


def in_the_engine(trials: int) -> float:
    from bench_tuning import run

    return run("auto", "convnet", trials, None)["seconds"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)  # one of them, in this process
    options = parser.parse_args()
    if options.only:
        kind, backend = options.only
        alone = {"jax": in_jax, "torch": in_torch}[backend]
        print((alone if kind == "alone" else in_the_engine)(options.trials))
        return
    for backend in ("jax", "torch"):
        seconds = {}
        for kind in ("alone", "engine"):
            words = ["--trials", str(options.trials), "--only", kind, backend]
            done = subprocess.run(
                [sys.executable, __file__, *words],
                env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
                capture_output=True,
                text=True,
                check=True,
            )
            seconds[kind] = float(done.stdout.split()[-1])
        alone, engine = seconds["alone"], seconds["engine"]
        print(
            f"{backend:6} {options.trials} trials: {alone:.1f} s alone, {engine:.1f} s in the "
            f"engine, {engine / alone:.2f} of it",
            flush=True,
        )


if __name__ == "__main__":
    main()
