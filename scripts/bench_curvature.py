"""L-BFGS against tuned Adam on physics-informed networks, and Levenberg–Marquardt on diabetes.

    KERAS_BACKEND=jax python scripts/bench_curvature.py --seconds 30 --dtype float64

Both methods train the same network from the same weights on the same full batch in the same
precision, for the same wall time after their step has been compiled. Adam gets the best of five
learning rates, each of which gets that time and falls along a cosine until its end. Losses are
measured at the end. On JAX, float64 needs JAX_ENABLE_X64=1 in the environment.
"""

import argparse
import math
import time

import keras
import numpy as np
from keras import layers, ops

import keras_optim_lab as kol
from keras_optim_lab import tasks

# The full batch comes so often in an epoch, so that what `fit` does between epochs hardly counts.
STEPS = 10 if keras.backend.backend() == "torch" else 50
RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)


class Network(kol.Model):
    """A small network whose loss is an equation and its boundary conditions."""

    def __init__(self):
        super().__init__()
        self.hidden = [layers.Dense(20, activation="tanh") for _ in range(3)]
        self.head = layers.Dense(1)

    def call(self, x):
        for layer in self.hidden:
            x = layer(x)
        return self.head(x)


class Poisson(Network):
    """uˈˈ = −π² sin(πx) on [−1, 1], u(±1) = 0: u = sin(πx)."""

    points = np.linspace(-1.0, 1.0, 128, dtype="float32")[:, None]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        equation = kol.derivative(self, x, order=2) + math.pi**2 * ops.sin(math.pi * x)
        edges = self(ops.convert_to_tensor([[-1.0], [1.0]], dtype=x.dtype))
        return ops.mean(equation**2) + 10.0 * ops.mean(edges**2)


class Burgers(Network):
    """u_t + u u_x = 0.01/π u_xx on [−1, 1] × [0, 1], u(x, 0) = −sin(πx), u(±1, t) = 0."""

    points = np.random.default_rng(0).uniform([-1.0, 0.0], 1.0, size=(1000, 2)).astype("float32")
    _s = np.linspace(-1.0, 1.0, 100, dtype="float32")[:, None]
    start = np.concatenate([_s, 0 * _s], axis=1)
    edges = np.concatenate([np.sign(_s), np.abs(_s)], axis=1)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        u_t = kol.derivative(self, x, coordinate=1)
        u_x = kol.derivative(self, x, coordinate=0)
        u_xx = kol.derivative(self, x, coordinate=0, order=2)
        equation = u_t + y_pred * u_x - 0.01 / math.pi * u_xx
        start, edges = (ops.convert_to_tensor(p, x.dtype) for p in (self.start, self.edges))
        first = self(start) + ops.sin(math.pi * start[:, :1])
        return ops.mean(equation**2) + ops.mean(first**2) + ops.mean(self(edges) ** 2)


class Clock(keras.callbacks.Callback):
    """Ends training when its time is over; the first epoch, which compiles, is not counted.

    Args:
        rate: what the learning rate falls from, along a cosine to the end; None to leave it.
    """

    def __init__(self, seconds, rate):
        super().__init__()
        self.seconds, self.rate, self.epochs, self.begun = seconds, rate, 0, None

    def on_epoch_end(self, epoch, logs=None):
        self.begun = self.begun or time.perf_counter()
        self.epochs = epoch
        part = (time.perf_counter() - self.begun) / self.seconds
        if part > 1:
            self.model.stop_training = True
        elif self.rate is not None:
            self.model.optimizer.learning_rate = self.rate * (1 + math.cos(math.pi * part)) / 2


def trained(problem, optimizer, seconds, rate=None):
    """The loss at the end, and the number of steps."""
    keras.utils.set_random_seed(0)
    model = problem()
    x = np.tile(problem.points.astype(keras.config.floatx()), (STEPS, 1))
    model(x[:1])
    model.compile(optimizer=optimizer)
    clock = Clock(seconds, rate)
    full = len(problem.points)
    model.fit(x, batch_size=full, epochs=10**9, shuffle=False, verbose=0, callbacks=[clock])
    return float(model.evaluate(x[:full], batch_size=full, verbose=0)), STEPS * clock.epochs


def physics(problem, seconds):
    name = problem.__name__
    loss, taken = trained(problem, kol.LBFGS(full_batch=True, history=50), seconds)
    print(f"{name:8} LBFGS         {loss:10.2e}  {taken:7,} steps", flush=True)
    best = math.inf
    for rate in RATES:
        adam, taken = trained(problem, kol.optimizers.Adam(rate), seconds, rate)
        print(f"{name:8} Adam {rate:8.0e} {adam:10.2e}  {taken:7,} steps", flush=True)
        best = min(best, adam)
    print(f"{name:8} the best Adam's loss is {best / loss:,.1f} times as large", flush=True)


def diabetes():
    task = tasks.get("diabetes-mlp")
    x, y = task.arrays("train")[:2]

    def losses(optimizer, epochs, batch_size):
        keras.utils.set_random_seed(0)
        model = kol.Sequential(task.build_model(0).layers)
        model.compile(optimizer=optimizer, loss="mean_squared_error")
        model.fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0)
        return float(model.evaluate(x, y, verbose=0))

    print(f"diabetes Adam, 200 epochs          {losses(kol.optimizers.Adam(), 200, 32):10.2e}")
    for steps in (5, 10, 20):
        loss = losses(kol.LevenbergMarquardt(), steps, len(x))
        print(f"diabetes LevenbergMarquardt {steps:3} steps {loss:10.2e}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="for each training")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--only", choices=("poisson", "burgers", "diabetes"))
    arguments = parser.parse_args()
    keras.config.set_floatx(arguments.dtype)
    print(f"backend {keras.backend.backend()}, {arguments.dtype}, {arguments.seconds:g} s each")
    if arguments.only in (None, "poisson"):
        physics(Poisson, arguments.seconds)
    if arguments.only in (None, "burgers"):
        physics(Burgers, arguments.seconds)
    if arguments.only in (None, "diabetes"):
        diabetes()
