"""The learning-rate range test: train for a moment while η grows, and look where the loss falls."""

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_optim_lab.arguments import whole_number
from keras_optim_lab.keras_private import build_with
from keras_optim_lab.optimizers.shell.freezing import check_trainable
from keras_optim_lab.shown import Row, Shown

_MOST_STEPS = 100_000
_DIVERGED = 4.0  # times the lowest smoothed loss


@dataclass(frozen=True)
class RangeTest(Shown):
    """Learning rates and the losses of the batches that were trained with them.

    Attributes:
        rates: η of every step.
        losses: of its batch, before the step.
        smoothed: their moving average, corrected for its bias.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray

    @property
    def steepest(self) -> float:
        """η where the smoothed loss falls fastest with log η: a learning rate to begin with."""
        slopes = np.gradient(self.smoothed, np.log(self.rates))
        return float(self.rates[np.argmin(slopes)])

    @property
    def lowest(self) -> float:
        """η where the smoothed loss is lowest: from there on training soon diverges."""
        return float(self.rates[np.argmin(self.smoothed)])

    @property
    def headline(self) -> str:
        return (
            f"The loss falls fastest at η = {self.steepest:.2g} and is lowest at {self.lowest:.2g}"
        )

    def records(self) -> list[Row]:
        columns = zip(
            self.rates.tolist(), self.losses.tolist(), self.smoothed.tolist(), strict=True
        )
        return [
            dict(zip(("learning_rate", "loss", "smoothed"), row, strict=True)) for row in columns
        ]

    def _draw(self, axes: Any) -> None:
        axes.plot(self.rates, self.losses, alpha=0.3, label="batch")
        axes.plot(self.rates, self.smoothed, label="smoothed")
        axes.axvline(self.steepest, ls="--", color="0.4", lw=0.8, label=f"η = {self.steepest:.2g}")
        axes.set(xlabel="learning rate", ylabel="loss", xscale="log")
        axes.legend()

    def figure(self) -> Any:
        """A Plotly figure of the loss over η."""
        import plotly.graph_objects as go

        figure = go.Figure()
        figure.add_scatter(x=self.rates, y=self.losses, name="batch", opacity=0.3)
        figure.add_scatter(x=self.rates, y=self.smoothed, name="smoothed")
        figure.add_vline(self.steepest, line_dash="dash", annotation_text=f"{self.steepest:.2g}")
        figure.update_xaxes(title="learning rate", type="log")
        figure.update_yaxes(title="loss")
        return figure


def find_learning_rate(
    model: keras.Model,
    x: Any,
    y: Any,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    batch_size: int = 32,
    smoothing: float = 0.9,
    seed: int = 0,
) -> RangeTest:
    """Trains a compiled model while the learning rate grows from step to step.

        found = kol.find_learning_rate(model, x, y)
        model.optimizer.learning_rate = found.steepest

    It ends early once the smoothed loss is four times its lowest value, or no longer finite.
    Weights, optimizer and metrics are afterwards as they were before.

    Args:
        model: compiled, with an optimizer whose learning rate is a number.
        x, y: arrays to draw batches from.
        low, high: first and last learning rate, 0 < low < high; between them it grows by the same
            factor in every step.
        steps: at most so many batches, at least 2.
        batch_size: samples of each.
        smoothing: decay rate of the average of losses, in [0, 1).
        seed: of the order of the samples.

    Returns:
        The rates and their losses, of which `steepest` is a learning rate to begin with.

    Raises:
        TypeError, ValueError: an argument is wrong, the model's learning rate is a schedule, it has
            no trainable weights, or the loss is not finite with the first rates already.

    Reference:
        Smith, 2017, arXiv:1506.01186, section 3.3; growth by a constant factor as in fastai.
    """
    _check(model, low, high, smoothing)
    steps = whole_number("steps", steps, least=2, most=_MOST_STEPS)
    batch_size = whole_number("batch_size", batch_size)
    build_with(model, (x[:1], y[:1]))
    check_trainable("find_learning_rate", model)
    rates = np.geomspace(low, high, steps)
    with _put_back(model):
        losses = _losses(model, x, y, rates, batch_size, np.random.default_rng(seed))
        seen = list(_until_it_diverges(losses, smoothing))
    if len(seen) < 2:
        raise ValueError(
            f"find_learning_rate: the loss is not finite in step {len(seen) + 1}, with a "
            f"learning rate of {rates[len(seen)]:.3g}. If x and y are finite, give a smaller "
            "`low`."
        )
    return RangeTest(rates[: len(seen)], *np.transpose(seen))


def _check(model: keras.Model, low: float, high: float, smoothing: float) -> None:
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        raise ValueError("find_learning_rate: compile the model first, with an optimizer.")
    if not isinstance(optimizer.learning_rate, keras.Variable):
        raise ValueError(
            "find_learning_rate sets the learning rate, which is no number here but "
            f"{optimizer.get_config().get('learning_rate')!r}. Compile the model with a number, "
            "such as learning_rate=1e-3."
        )
    if not 0 < low < high <= sys.float_info.max:
        raise ValueError(f"`low` and `high` must be 0 < low < high. Received: {low=}, {high=}")
    if not 0 <= smoothing < 1:
        raise ValueError(f"`smoothing` must be in [0, 1). Received: {smoothing=}")


def _losses(
    model: keras.Model, x: Any, y: Any, rates: np.ndarray, size: int, rng: np.random.Generator
) -> Iterator[float]:
    """Trains one batch with each rate, and gives its loss, as long as that is finite."""
    for rate in rates:
        model.optimizer.learning_rate = float(rate)
        batch = rng.choice(len(x), min(size, len(x)), replace=False)
        model.reset_metrics()
        loss = float(model.train_on_batch(x[batch], y[batch], return_dict=True)["loss"])
        if not math.isfinite(loss):
            return
        yield loss


def _until_it_diverges(losses: Iterator[float], smoothing: float) -> Iterator[tuple[float, float]]:
    """Every loss with the moving average there, corrected for its bias."""
    average, lowest = 0.0, math.inf
    for t, loss in enumerate(losses, start=1):
        average = smoothing * average + (1.0 - smoothing) * loss
        smoothed = average / (1.0 - smoothing**t)
        yield loss, smoothed
        lowest = min(lowest, smoothed)
        if smoothed > _DIVERGED * lowest:
            return


@contextmanager
def _put_back(model: keras.Model) -> Iterator[None]:
    """Leaves weights, optimizer and metrics of a model as they were."""
    kept = [*model.variables, *model.optimizer.variables]
    before = [np.array(ops.convert_to_numpy(variable)) for variable in kept]
    given = model.optimizer.get_config().get("learning_rate")
    try:
        yield
    finally:
        for variable, value in zip(kept, before, strict=True):
            variable.assign(value)
        if isinstance(given, float):
            model.optimizer.learning_rate = given  # itself, of which a variable holds a part
        model.reset_metrics()
