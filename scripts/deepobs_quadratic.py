"""Trains the quadratic-deep task as DeepOBS published it and prints both results side by side.

    KERAS_BACKEND=jax .venv/bin/python scripts/deepobs_quadratic.py

Test loss after 100 epochs, mean and standard deviation over 10 seeds; published numbers from the
authors' logs (Schneider et al., 2019, arXiv:1903.05499).
"""

import argparse

import numpy as np

import keras_optim_lab as kol

PUBLISHED = [
    ("SGD", lambda: kol.optimizers.GradientDescent(1.585e-2), 87.40),
    ("momentum", lambda: kol.optimizers.Momentum(2.512e-3, 0.99, heavy_ball=True), 87.05),
    ("Adam", lambda: kol.optimizers.Adam(3.981e-2), 87.11),
]


def final_loss(task, optimizer, seed: int) -> float:
    model = task.build(optimizer, seed)
    task.fit(model, seed)
    return task.evaluate(model, "test")["loss"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    seeds = range(parser.parse_args().seeds)

    task = kol.tasks.get("quadratic-deep")
    start = task.evaluate(task.build("sgd", seed=0), "test")["loss"]
    print(f"start loss {start:.4f}, published 353.4468")
    print(f"{'optimizer':<10}{'published':>10}{'mean':>10}{'sd':>8}{'difference':>12}")
    for name, make, published in PUBLISHED:
        losses = [final_loss(task, make(), seed) for seed in seeds]
        mean, deviation = np.mean(losses), np.std(losses, ddof=1)
        difference = mean - published
        print(f"{name:<10}{published:>10.2f}{mean:>10.3f}{deviation:>8.3f}{difference:>+12.3f}")


if __name__ == "__main__":
    main()
